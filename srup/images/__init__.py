"""Image files: decoded into values, encoded whole or not at all, with what came with them.

`read_pages` → `Pages` of `Image`s → `write_pages`; a still picture is one page. `read_image` and
`write_image` are for one picture.
"""

from srup.images.formats import (
    ALSO_CALLED,
    EXTENSIONS,
    FORMATS,
    Format,
    format_of,
    looks_like_image,
    named_like_image,
)
from srup.images.opening import open_image
from srup.images.pictures import to_pillow
from srup.images.provenance import Provenance
from srup.images.reading import MAX_PIXELS, from_pillow, open_bytes, read_image, read_pages
from srup.images.savable import savable
from srup.images.transparency import fill_transparent
from srup.images.values import Bytes, Compression, Floats, Image, Pages, Pixels
from srup.images.writing import (
    QUALITY,
    Encoding,
    check_holds,
    default_format,
    write_image,
    write_pages,
)

__all__ = [
    "ALSO_CALLED",
    "EXTENSIONS",
    "FORMATS",
    "MAX_PIXELS",
    "QUALITY",
    "Bytes",
    "Compression",
    "Encoding",
    "Floats",
    "Format",
    "Image",
    "Pages",
    "Pixels",
    "Provenance",
    "check_holds",
    "default_format",
    "fill_transparent",
    "format_of",
    "from_pillow",
    "looks_like_image",
    "named_like_image",
    "open_bytes",
    "open_image",
    "read_image",
    "read_pages",
    "savable",
    "to_pillow",
    "write_image",
    "write_pages",
]

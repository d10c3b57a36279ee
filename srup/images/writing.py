"""Encoding: writes `Pages` to a file in the format of its extension, with their metadata."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import PngImagePlugin

from srup.errors import EngineUnavailable, WriteError
from srup.files import placing
from srup.images import colours, metadata, png, provenance, readback, tiff
from srup.images.codec_errors import codec_errors
from srup.images.formats import FORMATS, Format, format_of, plug_in
from srup.images.pictures import pillow_info, pixels_to_pillow
from srup.images.values import Image, Pages

log = logging.getLogger(__name__)

QUALITY = 95
PNG_INSTEAD = "use {format=png}"
PNG_LEVEL = 3  # of Pillow, which writes animations
IPTC_SEGMENT = 65_500  # bytes of a JPEG file


@dataclass(frozen=True)
class Encoding:
    """How pixels are encoded; a format ignores what it has no setting for.

    `lossless` is refused by formats that are always lossy, and colours are refused by GIF unless
    `palette` allows it to reduce them to 256.
    """

    quality: int = QUALITY  # 1 to 100, of lossy formats
    lossless: bool = False
    palette: bool = False


def default_format(pages: Pages) -> str:
    """The format to write when none is asked for: TIFF for several pages, otherwise PNG."""
    return "tiff" if len(pages) > 1 and not pages.animated else "png"


def check_holds(
    path: Path, pages: Pages, sizes: Sequence[tuple[int, int]], encoding: Encoding
) -> None:
    """Raises WriteError if the format of `path` cannot hold `pages` at these `sizes`.

    `sizes` are (width, height), one for each page, after enlarging: the check comes before the
    work, so that an hour of computing does not end with a file that cannot be written.
    """
    row = FORMATS[format_of(path)]
    longest = max(max(size) for size in sizes)
    refusal = _refusal(row, pages, longest, encoding)
    if refusal:
        reason, hint = refusal
        raise WriteError(f"cannot write {path}: {row.name} {reason}", hint)
    if row.module:
        try:
            plug_in(row.module, row.extra)
        except EngineUnavailable as error:
            raise WriteError(f"cannot write {path}: {error.message}", *error.hints) from error


def _refusal(row: Format, pages: Pages, longest: int, encoding: Encoding) -> tuple[str, str] | None:
    """Why a format cannot hold `pages` with sides up to `longest`, and a hint; None if it can."""
    count = len(pages)
    if row.longest and longest > row.longest:
        return f"holds at most {row.longest} pixels a side, not {longest}", PNG_INSTEAD
    if not row.alpha and any(image.alpha is not None for image in pages.images):
        reason = "has no transparency and this image does"
        return reason, "use {format=png} or {format=webp}"
    if count > 1 and pages.animated and not row.animated:
        reason = f"holds no animation and this has {count} frames"
        return reason, "use {format=png} or {format=webp}"
    if count > 1 and not pages.animated and not row.paged:
        return f"holds one picture and this has {count} pages", "use {format=tiff}"
    coloured = any(image.pixels.shape[2] == 3 for image in pages.images)
    if row.grey_only and coloured and not encoding.palette:
        reason = "holds 256 colours"
        return reason, "use {format=png} or {format=webp}, or accept it with {palette}"
    if encoding.lossless and not row.lossless:
        return "is always lossy", "use {format=png} or {format=webp}"
    return None


def write_image(
    image: Image, path: str | Path, *, quality: int | None = None, overwrite: bool = True
) -> None:
    """Writes one image in the format of the path's extension; `quality` is 1 to 100.

    The file appears whole or not at all. Raises WriteError, and AlreadyExists as `write_pages`.
    """
    encoding = Encoding() if quality is None else Encoding(quality)
    write_pages(Pages((image,)), path, encoding=encoding, overwrite=overwrite)


def write_pages(
    pages: Pages,
    path: str | Path,
    *,
    encoding: Encoding | None = None,
    overwrite: bool = True,
) -> None:
    """Writes all pages or frames in the format of the path's extension.

    Colour profile, metadata and density come along as far as the format stores them; a warning
    names what it does not. The file appears whole or not at all. Raises WriteError, and
    AlreadyExists if there is a file that may not be replaced.
    """
    path = Path(path)
    encoding = encoding or Encoding()
    check_holds(path, pages, [image.size for image in pages.images], encoding)
    row = FORMATS[format_of(path)]
    pages = pages.map(lambda image: _storable(image, row))
    with placing(path, overwrite=overwrite) as temporary:
        try:
            _encode(pages, row, encoding, temporary, path)
        except WriteError as error:
            _encode_without_metadata(pages, row, encoding, temporary, path, error)


def _encode(pages: Pages, row: Format, encoding: Encoding, temporary: Path, path: Path) -> None:
    """Writes what is to be called `path` to a temporary file, and opens it again."""
    with codec_errors(WriteError, f"cannot write {path}: the encoder failed", PNG_INSTEAD):
        if row.name == "tiff":
            tiff.write(pages, temporary)
        elif row.name == "png" and not pages.animated:
            png.write(pages.images[0], temporary, _metadata_chunks(pages.images[0]))
        else:
            _write_with_pillow(pages, row, encoding, temporary)
        readback.check(temporary, pages, str(path), row.name)


def _encode_without_metadata(
    pages: Pages,
    row: Format,
    encoding: Encoding,
    temporary: Path,
    path: Path,
    error: WriteError,
) -> None:
    """Writes the pages without metadata that an encoder fails at: encoders look into it.

    First EXIF and its kind are left out, then the profile and the density too. Raises `error` if
    that changes nothing.
    """
    stripped = pages.map(Image.stripped)
    for fewer in (stripped, pages.map(lambda image: Image(image.pixels, image.alpha))):
        try:
            _encode(fewer, row, encoding, temporary, path)
        except WriteError:
            continue
        log.warning("%s: damaged metadata that %s cannot store: left out", path, row.name)
        return
    raise error


def _storable(image: Image, row: Format) -> Image:
    """The image as a format stores it: depth, profile and metadata; warns of what is lost."""
    if not row.sixteen_bit:
        image = image.eight()
    lost = []
    for name in ("exif", "xmp", "iptc"):
        if getattr(image, name) and name not in row.keeps:
            lost.append(name.upper())
    if lost:
        _warn_once(row.name, " and ".join(lost), "left out")
    if image.icc and "icc" not in row.keeps:
        image = _without_profile(image, row)
    image = metadata.stated(image, row.block)
    kept = {name: getattr(image, name) for name in row.keeps}
    return replace(Image(image.pixels, image.alpha), **kept)


def _without_profile(image: Image, row: Format) -> Image:
    """The image converted to sRGB, which programs assume where a file has no profile."""
    assert image.icc is not None
    converted = None
    if image.pixels.shape[2] == 3:
        converted = colours.as_srgb(image.eight().pixels, image.icc)
    if converted is None:
        _warn_once(row.name, "a colour profile", "left out")
        return image
    _warn_once(row.name, "a colour profile", "converted to sRGB")
    return replace(image.eight(), pixels=converted)


@functools.cache  # a batch of a thousand photographs would say the same a thousand times
def _warn_once(name: str, lost: str, done: str) -> None:
    log.warning("%s cannot store %s: %s", name, lost, done)


def _write_with_pillow(pages: Pages, row: Format, encoding: Encoding, path: Path) -> None:
    """Pillow takes the first picture and an iterable of the others."""
    first, *others = pages.images
    options = _options(first, row, encoding)
    if len(pages) > 1:
        options |= {"save_all": True, "append_images": _Frames(others, row)}
        options |= _animation_options(pages, row)
    name = "HEIF" if row.name == "heic" else row.name.upper()
    _pillow_frame(first, row).save(path, name, **options)


class _Frames:
    """Makes Pillow images on demand, so that they need not all lie in memory.

    An iterable and not an iterator, because Pillow may go over it more than once.
    """

    def __init__(self, images: Sequence[Image], row: Format) -> None:
        self.images, self.row = images, row

    def __iter__(self) -> Iterator[Pillow.Image]:
        return (_pillow_frame(image, self.row) for image in self.images)


def _pillow_frame(image: Image, row: Format) -> Pillow.Image:
    return _quantized(image) if row.grey_only else pixels_to_pillow(image)


def _quantized(image: Image) -> Pillow.Image:
    """The image with a palette of 256 colours, or of 255 and one that is transparent."""
    if image.alpha is None and image.pixels.shape[2] == 1:
        return Pillow.fromarray(image.pixels[:, :, 0])
    if image.alpha is None:
        return pixels_to_pillow(image).quantize(256)
    reduced = pixels_to_pillow(replace(image, alpha=None)).convert("RGB").quantize(255)
    transparent = ((image.alpha < 128) * 255).astype(np.uint8)
    reduced.paste(255, mask=Pillow.fromarray(transparent))
    reduced.info["transparency"] = 255
    return reduced


def _animation_options(pages: Pages, row: Format) -> dict[str, Any]:
    """Durations and repetitions in Pillow's terms, which differ between formats."""
    if row.name == "png":  # the only one that stores fractions of a millisecond
        options: dict[str, Any] = {"duration": list(pages.durations)}
    else:
        options = {"duration": [round(duration) for duration in pages.durations]}
    if row.name == "gif":
        # GIF counts repetitions after the first showing, 0 for ever; without a count it plays once.
        if pages.plays != 1:
            options["loop"] = max(pages.plays - 1, 0)
        # 2 clears a frame before the next: otherwise the old one shows through transparent pixels.
        options["disposal"] = 0 if pages.images[0].alpha is None else 2
    elif row.name != "avif":  # Pillow writes AVIF animations to play for ever
        options["loop"] = pages.plays
    return options


def _options(image: Image, row: Format, encoding: Encoding) -> dict[str, Any]:
    """What Pillow's `save` takes for a format, metadata included."""
    options = pillow_info(image)
    if row.lossy:
        options["quality"] = encoding.quality
    if row.name in ("jpeg", "avif"):
        options["subsampling"] = "4:4:4"  # halved chroma would undo what was just enlarged
    if row.name == "heic":
        options["chroma"] = "444"
        if encoding.lossless:
            # Quality -1 is lossless for pillow_heif; matrix 0 keeps RGB, as YCbCr would round.
            options |= {"quality": -1, "matrix_coefficients": 0}
    if row.name == "webp" and encoding.lossless:
        options |= {"lossless": True, "exact": True}  # exact: colours under transparent pixels too
    if row.name == "jxl":
        options["lossless"] = encoding.lossless or encoding.quality == 100
    if row.name == "png":
        options |= {"compress_level": PNG_LEVEL, "pnginfo": _png_texts(image)}
    if row.name == "jpeg":
        options |= _jpeg_segments(image, row)
    if row.name == "gif" and image.provenance:
        options["comment"] = provenance.as_comment(image.provenance)
    return options


def _jpeg_segments(image: Image, row: Format) -> dict[str, Any]:
    """Pillow's options for metadata of a JPEG file; blocks too large for a segment are left out."""
    extra = b""
    if image.iptc:
        block = b"Photoshop 3.0\0" + metadata.resources(image.iptc)
        if len(block) <= IPTC_SEGMENT:
            # APP13, written by hand: Pillow has no option for IPTC.
            extra = b"\xff\xed" + (len(block) + 2).to_bytes(2, "big") + block
        else:
            _warn_once("jpeg", f"{len(block)} bytes of IPTC", "left out")
    options: dict[str, Any] = {"extra": extra}
    for name, value in (("exif", image.exif), ("xmp", image.xmp)):
        if value and len(value) > row.block:
            _warn_once("jpeg", f"{len(value)} bytes of {name.upper()}", "left out")
            options[name] = b""
    return options


def _png_texts(image: Image) -> PngImagePlugin.PngInfo:
    """The text chunks of a PNG file, where XMP and IPTC are stored too."""
    info = PngImagePlugin.PngInfo()
    for key, value in image.text:
        if value.isascii():
            info.add_text(key, value)
        else:
            info.add_itxt(key, value)
    if image.xmp:
        info.add_itxt(metadata.PNG_XMP, image.xmp.decode("utf-8", "replace"))
    if image.iptc:
        # ImageMagick's way to put IPTC into PNG, which ExifTool reads as well.
        block = metadata.resources(image.iptc)
        info.add_text("Raw profile type iptc", f"\niptc\n{len(block):8}\n{block.hex()}\n", zip=True)
    return info


def _metadata_chunks(image: Image) -> Iterator[bytes]:
    """The PNG chunks of an image's metadata, taken from an empty picture that Pillow encodes."""
    mode = "L" if image.pixels.shape[2] == 1 else "RGB"
    options = {"pnginfo": _png_texts(image), **pillow_info(image)}
    for name, data, crc in PngImagePlugin.getchunks(Pillow.new(mode, (1, 1)), **options):
        if name not in (b"IHDR", b"IDAT", b"IEND"):
            yield len(data).to_bytes(4, "big") + name + data + crc

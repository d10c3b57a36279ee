"""Decoding: reads a file of any format into `Pages`, upright, with its metadata."""

from __future__ import annotations

import logging
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image as Pillow
from PIL import ImageSequence, TiffImagePlugin, UnidentifiedImageError

from srup.errors import EngineUnavailable, ReadError
from srup.files import NotRegular, check_regular
from srup.images import colours, heads, jxl, sixteen_bit, tiff
from srup.images.carried import Carried, orientation_of
from srup.images.codec_errors import codec_errors
from srup.images.compression import compression_of
from srup.images.formats import plug_in
from srup.images.opening import ImageFile, open_image, sound
from srup.images.values import Image, Pages, Pixels

log = logging.getLogger(__name__)

MAX_PIXELS = 500_000_000  # of all pages together
MAX_PAGES = 20_000  # of a document; Pillow's time to find them grows with their square
HEAD = 4096  # bytes at the beginning of a file that tell what it is
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
HDR = {b"\x76\x2f\x31\x01": "OpenEXR", b"#?RADIANCE": "Radiance", b"#?RGBE": "Radiance"}
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273
SUBFILE, REDUCED_OR_MASK = 254, 5  # a TIFF tag, and its bits 1 (smaller version) and 4 (mask)


def read_image(source: ImageFile, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Reads the image in a file, with its EXIF orientation applied.

    Of several pages or frames it is the first, with a warning. Raises ReadError if the file holds
    no image, is damaged, or has more than `max_pixels`.
    """
    pages = read_pages(source, max_pixels=max_pixels)
    if len(pages) > 1:
        log.warning("%s has %d frames or pages: only the first is used", _name(source), len(pages))
    return pages.images[0]


def read_pages(source: ImageFile, *, max_pixels: int = MAX_PIXELS) -> Pages:
    """Reads all pages of a document or frames of an animation; most files have one image.

    Frames come complete and all images upright. Raises ReadError if the file holds no image, is
    damaged, or has more than `max_pixels` in all images together.
    """
    name = _name(source)
    with _reading(name, max_pixels), _opened(source, name) as opened:
        # asked first: reading goes on to other pages
        compression = compression_of(opened, _head(source), partial(_bytes_at, source))
        return replace(_pages(opened, source, name, max_pixels), compression=compression)


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Opens the file of a picture that is read elsewhere. Raises ReadError as `read_pages` does."""
    with _reading(str(path), MAX_PIXELS):
        check_regular(path)
        file = path.open("rb")
    with file:
        yield file


def _name(source: ImageFile) -> str:
    return str(source) if isinstance(source, (str, Path)) else "standard input"


def _check_pixels(pixels: int, limit: int, name: str) -> None:
    """Raises ReadError above the limit.

    To be called before anything is decoded: a small file can state any size (a decompression bomb).
    """
    if pixels > limit:
        raise _too_large(name, limit)


def _too_large(name: str, limit: int) -> ReadError:
    return ReadError(
        f"cannot read {name}: it has more than {limit / 1e6:g} megapixels",
        "{max_pixels} raises this limit",
    )


@contextmanager
def _reading(name: str, max_pixels: int) -> Iterator[None]:
    """Turns whatever decoders raise into a ReadError that says what to do.

    Raises OutOfMemory and InternalError as `codec_errors` does.
    """
    damaged, advice = f"cannot read {name}: damaged or cut short", "get a whole copy of it"
    try:
        with codec_errors(ReadError, damaged, advice), _known_errors(name, max_pixels):
            yield
    except OSError as error:
        if error.errno is not None:
            about = f"cannot read {name}: {error.strerror}; check the name and the disk"
            raise ReadError(about) from error
        raise ReadError(f"{damaged} ({error})", advice) from error


@contextmanager
def _known_errors(name: str, max_pixels: int) -> Iterator[None]:
    """Turns the errors that say what is wrong into a ReadError."""
    try:
        with warnings.catch_warnings(), bomb_limit.at(max_pixels):
            warnings.simplefilter("ignore")
            yield
    except FileNotFoundError as error:
        raise ReadError(f"cannot read {name}: no such file; check the name") from error
    except IsADirectoryError as error:
        raise ReadError(f"cannot read {name}: it is a folder; name the files in it") from error
    except PermissionError as error:
        raise ReadError(f"cannot read {name}: no permission; check its owner and mode") from error
    except NotRegular as error:
        raise ReadError(f"cannot read {name}: {error.strerror}; save it as a file") from error
    except UnidentifiedImageError as error:
        raise ReadError(
            f"cannot read {name}: not an image in a format srup knows; convert it to PNG or JPEG"
        ) from error
    except Pillow.DecompressionBombError as error:
        raise _too_large(name, max_pixels) from error
    except EngineUnavailable as error:
        raise ReadError(f"cannot read {name}: {error.message}", *error.hints) from error
    # What decoders raise when a file is damaged, srup's own too.
    except (SyntaxError, ValueError, EOFError, IndexError, struct.error) as error:
        raise ReadError(
            f"cannot read {name}: damaged or cut short ({error}); get a whole copy of it"
        ) from error


class _BombLimit:
    """Sets Pillow's limit against decompression bombs while any thread decodes.

    The limit is one for the process, so it is the largest that a decoding thread asks for.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.active: list[int] = []
        self.before = Pillow.MAX_IMAGE_PIXELS

    @contextmanager
    def at(self, pixels: int) -> Iterator[None]:
        """Allows images of so many pixels within the block."""
        with self.lock:
            if not self.active:
                self.before = Pillow.MAX_IMAGE_PIXELS
            self.active.append(pixels)
            self._set()
        try:
            yield
        finally:
            with self.lock:
                self.active.remove(pixels)
                self._set()

    def _set(self) -> None:
        if self.active:
            # Pillow warns above this number and refuses at twice as many pixels.
            Pillow.MAX_IMAGE_PIXELS = (max(self.active) + 1) // 2
        else:
            Pillow.MAX_IMAGE_PIXELS = self.before


bomb_limit = _BombLimit()


@contextmanager
def _opened(source: ImageFile, name: str) -> Iterator[Pillow.Image]:
    """Opens the file, not yet decoded; `info` has a profile if the file names one."""
    with suppress(AttributeError):
        source.seek(0)  # type: ignore[union-attr]
    head = _head(source)
    for magic, kind in HDR.items():
        if head.startswith(magic):
            raise _high_dynamic_range(name, kind)
    if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
        plug_in("pillow_heif", "heif")
    if head.startswith((jxl.CODESTREAM, jxl.CONTAINER)):
        plug_in("pillow_jxl", "jxl")
    primaries, transfer = _colour_codes(head)
    if transfer in HDR_TRANSFERS:
        raise _high_dynamic_range(name, HDR_TRANSFERS[transfer])
    with open_image(source) as opened:
        if not opened.info.get("icc_profile") and opened.mode in ("RGB", "RGBA"):
            opened.info["icc_profile"] = colours.profile_of(primaries)
        yield opened


def _head(source: ImageFile) -> bytes:
    return _bytes_at(source, 0, HEAD)


def _bytes_at(source: ImageFile, place: int, count: int) -> bytes:
    """So many bytes of a file, fewer at its end; an open file stays where it was."""
    if isinstance(source, (str, Path)):
        check_regular(Path(source))
        with Path(source).open("rb") as file:
            file.seek(place)
            return file.read(count)
    before = source.tell()
    source.seek(place)
    found = source.read(count)
    source.seek(before)
    return found


def _high_dynamic_range(name: str, kind: str) -> ReadError:
    return ReadError(
        f"cannot read {name}: a picture of high dynamic range ({kind}); "
        "tone-map it to 8 or 16 bits first"
    )


def _colour_codes(head: bytes) -> tuple[int, int]:
    """The codes of ITU-T H.273 for (primaries, transfer) in a PNG, AVIF or HEIC file; 0 if none."""
    chunk = heads.chunk(head, b"cICP")
    if len(chunk) >= 2:
        return chunk[0], chunk[1]
    codes = heads.item_property(head, b"colr", b"nclx")
    return int.from_bytes(codes[4:6], "big"), int.from_bytes(codes[6:8], "big")


def _pages(opened: Pillow.Image, source: ImageFile, name: str, max_pixels: int) -> Pages:
    if isinstance(opened, TiffImagePlugin.TiffImageFile):
        return _document(opened, source, name, max_pixels)
    count = getattr(opened, "n_frames", 1)
    if count > 1 and opened.format in ("GIF", "PNG", "WEBP", "AVIF"):
        _check_pixels(opened.width * opened.height * count, max_pixels, name)
        return _animation(opened, name, max_pixels)
    # An MPO file is a JPEG of a phone or camera with previews or gain maps behind the picture:
    # nobody misses them, so there is no warning.
    if count > 1 and opened.format != "MPO":
        log.warning("%s has %d frames or pages: only the first is used", name, count)
    _check_pixels(opened.width * opened.height, max_pixels, name)
    return Pages((_image(opened, source, Carried(name), 0),))


def _document(
    opened: TiffImagePlugin.TiffImageFile, source: ImageFile, name: str, max_pixels: int
) -> Pages:
    """The pages of a TIFF file, without smaller versions and masks that lie between them."""
    numbers: list[int] = []
    pixels = 0
    for number, page in enumerate(ImageSequence.Iterator(opened)):
        if number >= MAX_PAGES:
            raise ReadError(f"cannot read {name}: it has more than {MAX_PAGES} pages; split it")
        if not numbers or not _is_reduced_or_mask(opened):
            numbers.append(number)
            pixels += page.width * page.height  # pages differ in size
            _check_pixels(pixels, max_pixels, name)
    images, carried = [], Carried(name)
    for number in numbers:
        opened.seek(number)
        images.append(_image(opened, source, carried, number))
    return Pages(tuple(images))


def _is_reduced_or_mask(opened: TiffImagePlugin.TiffImageFile) -> bool:
    kind = opened.tag_v2.get(SUBFILE, 0)
    return isinstance(kind, int) and bool(kind & REDUCED_OR_MASK)


def _animation(opened: Pillow.Image, name: str, max_pixels: int) -> Pages:
    """The frames of an animation, complete: Pillow composes those that change only a part."""
    if opened.format == "WEBP":
        # Opaque frames that do not fill the picture leave the rest transparent, and Pillow calls
        # that RGB all the same.
        opened._mode = opened.rawmode = "RGBA"  # type: ignore[attr-defined]
    Carried(name).check(opened)
    first = from_pillow(opened, name=name)
    # A PNG file may begin with a picture for programs that do not show animations.
    skipped = 1 if opened.info.get("default_image") else 0
    images: list[Image] = []
    durations: list[float] = []
    decoded = 0  # pixels
    for number, frame in enumerate(ImageSequence.Iterator(opened)):
        decoded += frame.width * frame.height  # a GIF file grows with frames that stick out
        _check_pixels(decoded, max_pixels, name)
        frame.load()
        if number < skipped:
            continue
        images.append(_frame(frame, first, name))
        durations.append(float(frame.info.get("duration", 0)))
    if len(images) < 2:  # a damaged file may state more frames than it has
        return _same_channels(Pages(tuple(images) or (first,)))
    return _same_channels(Pages(tuple(images), tuple(durations), _plays(opened)))


def _frame(frame: Pillow.Image, first: Image, name: str) -> Image:
    """A frame with the metadata of the first one, without what sticks out of the picture."""
    width, height = first.size
    pixels, alpha = _upright(_planes(frame, name), orientation_of(frame))
    alpha = None if alpha is None else alpha[:height, :width]
    return replace(first, pixels=pixels[:height, :width], alpha=alpha)


def _plays(opened: Pillow.Image) -> int:
    """How many times an animation is shown; 0 for ever."""
    loop = opened.info.get("loop")
    if opened.format != "GIF":
        return int(loop or 0)
    # GIF counts repetitions after the first showing; one without a count is shown once.
    if loop is None:
        return 1
    return int(loop) + 1 if loop else 0


def _same_channels(pages: Pages) -> Pages:
    """Makes frames all grey or all coloured; with alpha in all, or in none if all are opaque."""
    grey = all(_is_grey(image.pixels) for image in pages.images)
    opaque = all(image.alpha is None or bool((image.alpha == 255).all()) for image in pages.images)

    def change(image: Image) -> Image:
        height, width = image.pixels.shape[:2]
        pixels, alpha = image.pixels, image.alpha
        pixels = pixels[:, :, :1] if grey else np.broadcast_to(pixels, (height, width, 3))
        if opaque:
            alpha = None
        elif alpha is None:
            alpha = np.full((height, width), 255, np.uint8)
        return image.with_pixels(pixels, alpha)

    return pages.map(change)


def _is_grey(pixels: Pixels) -> bool:
    return pixels.shape[2] == 1 or bool((pixels[:, :, :1] == pixels).all())


def from_pillow(opened: Pillow.Image, *, name: str = "the image") -> Image:
    """Converts a Pillow image of any mode to an `Image`, with its EXIF orientation applied.

    `name` is what warnings and errors call it. Raises ReadError for 32 bits per channel, and for an
    image without pixels.
    """
    if not (opened.width and opened.height):
        raise ReadError(f"cannot read {name}: it has no pixels")
    opened.load()
    return _with_planes(Carried(name).image(opened), opened, name)


def _image(opened: Pillow.Image, source: ImageFile, carried: Carried, page: int) -> Image:
    """One page, with 16 bits per channel if it has them; read by libvips if Pillow would drop 8."""
    carried.check(opened)
    planes = None
    if _loses_bits(opened):
        pixels = opened.width * opened.height
        with sound(source) as file:
            planes = sixteen_bit.read(file, str(opened.format), page, pixels, carried.name)
    if planes is None:
        opened.load()
        return _with_planes(carried.image(opened), opened, carried.name)
    turned, alpha = _upright(planes, orientation_of(opened))
    return _with_fitting_profile(replace(carried.image(opened), pixels=turned, alpha=alpha))


def _upright(
    planes: tuple[Pixels, Pixels | None], orientation: int
) -> tuple[Pixels, Pixels | None]:
    """Pixels and alpha with an EXIF orientation applied."""
    pixels, alpha = planes
    if orientation == 1:
        return planes
    turned = sixteen_bit.turned(pixels, orientation)
    return turned, None if alpha is None else sixteen_bit.turned(alpha, orientation)


def _loses_bits(opened: Pillow.Image) -> bool:
    """Whether a file has more bits per channel than Pillow would read of it."""
    if opened.mode in ("I", "F"):  # 32 bits, which are refused later
        return False
    if opened.mode.startswith("I;16") and "transparency" not in opened.info:
        return False
    if isinstance(opened, TiffImagePlugin.TiffImageFile):
        return bool(max(opened.tag_v2.get(tiff.BITS, (1,))) > 8)
    tiles = getattr(opened, "tile", ())
    return opened.format == "PNG" and any(";16" in str(tile.args) for tile in tiles)


def _with_planes(empty: Image, decoded: Pillow.Image, name: str) -> Image:
    """The metadata of `empty` with the pixels of `decoded`, as RGB or grey, upright."""
    orientation = orientation_of(decoded)
    if decoded.mode in ("CMYK", "LAB"):
        decoded = colours.to_srgb(decoded, empty.icc, name)
        empty = replace(empty, icc=colours.SRGB)
    pixels, alpha = _upright(_planes(decoded, name), orientation)
    # A palette of greys is a grey picture, unless its profile is one for colours.
    if decoded.mode == "P" and _is_grey(pixels) and colours.space_of(empty.icc) in (b"", b"GRAY"):
        pixels = pixels[:, :, :1]
    return _with_fitting_profile(replace(empty, pixels=pixels, alpha=alpha))


def _with_fitting_profile(image: Image) -> Image:
    """Without the profile if it is for grey and the pixels are RGB, or the other way round."""
    space = {1: b"GRAY", 3: b"RGB "}[image.pixels.shape[2]]
    icc = image.icc or b""
    # A block shorter than a profile's header cannot be judged, so it stays.
    if len(icc) < colours.HEADER or colours.space_of(icc) == space:
        return image
    return replace(image, icc=None)


def _planes(image: Pillow.Image, name: str) -> tuple[Pixels, Pixels | None]:
    """Pixels H×W×(1|3) and alpha H×W or None, of a Pillow image of any mode."""
    if image.mode.startswith("I;16"):
        return np.array(image).astype(np.uint16)[:, :, None], None
    if image.mode in ("I", "F"):
        raise _high_dynamic_range(name, "32 bits per channel")
    transparent = "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if not transparent:
        planes = np.asarray(image.convert(mode))
        return planes.reshape(*planes.shape[:2], -1), None
    planes = np.asarray(image.convert(mode + "A"))
    return planes[:, :, :-1], planes[:, :, -1]

"""Decoding: a file of any format becomes `Pages`, upright, with what came along."""

from __future__ import annotations

import logging
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, ImageOps, ImageSequence, TiffImagePlugin, UnidentifiedImageError
from PIL import Image as Pillow

from srup.errors import EngineUnavailable, ReadError
from srup.images import colours, metadata, sixteen_bit, tiff
from srup.images.formats import plug_in
from srup.images.values import Image, Pages, Pixels

log = logging.getLogger(__name__)

MAX_PIXELS = 500_000_000  # of all pages together; what claims more is refused before it is decoded
PLUGINS = {
    b"heic": "heif",
    b"heix": "heif",
    b"heim": "heif",
    b"heis": "heif",
    b"hevc": "heif",
    b"mif1": "heif",
    b"msf1": "heif",
}
JXL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
HDR = {b"\x76\x2f\x31\x01": "OpenEXR", b"#?RADIANCE": "Radiance", b"#?RGBE": "Radiance"}
BRIGHT = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273 that reach beyond white
PHOTOSHOP = 0x0404
SUBFILE, REDUCED_OR_MASK = 254, 5


def read_image(source: str | Path | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Image:
    """The image in a file, EXIF orientation applied; the first one, with a warning, where there are
    several.

    Raises ReadError if there is none, it is damaged or has more than `max_pixels`.
    """
    pages = read_pages(source, max_pixels=max_pixels)
    if len(pages) > 1:
        log.warning("%s has %d frames or pages: only the first is used", _name(source), len(pages))
    return pages.images[0]


def read_pages(source: str | Path | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Pages:
    """Every page of a document or frame of an animation in a file, complete and upright; of most
    files one image.

    Raises ReadError if there is none, it is damaged or they have more than `max_pixels` together.
    """
    name = _name(source)
    with _reading(name, max_pixels), _opened(source, name) as opened:
        pixels = opened.width * opened.height * getattr(opened, "n_frames", 1)
        if pixels > max_pixels:
            raise _too_large(name, max_pixels)
        return _pages(opened, source, name)


def _name(source: str | Path | BinaryIO) -> str:
    return str(source) if isinstance(source, (str, Path)) else "standard input"


def _too_large(name: str, limit: int) -> ReadError:
    return ReadError(
        f"cannot read {name}: it has more than {limit / 1e6:g} megapixels; --max-pixels raises this limit"
    )


@contextmanager
def _reading(name: str, max_pixels: int) -> Iterator[None]:
    """What goes wrong with a file, in one line that says what to do."""
    try:
        with warnings.catch_warnings(), _limit.at(max_pixels):
            warnings.simplefilter("ignore")
            yield
    except FileNotFoundError as error:
        raise ReadError(f"cannot read {name}: no such file; check the name") from error
    except IsADirectoryError as error:
        raise ReadError(
            f"cannot read {name}: it is a folder; name its files (srup upscale {name}/*)"
        ) from error
    except PermissionError as error:
        raise ReadError(f"cannot read {name}: no permission; check its owner and mode") from error
    except UnidentifiedImageError as error:
        raise ReadError(
            f"cannot read {name}: not an image in a format srup knows; convert it to PNG or JPEG first"
        ) from error
    except Pillow.DecompressionBombError as error:
        raise _too_large(name, max_pixels) from error
    except EngineUnavailable as error:
        raise ReadError(f"cannot read {name}: {error}") from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        IndexError,
        struct.error,
    ) as error:  # Pillow's decoders, on damage
        raise ReadError(
            f"cannot read {name}: damaged or cut short ({error}); get a whole copy of it"
        ) from error


class _Limit:
    """Pillow's guard against decompression bombs, one for the process, set to ours while any thread
    decodes.
    """

    def __init__(self) -> None:
        self.lock, self.active, self.theirs = threading.Lock(), list[int](), Pillow.MAX_IMAGE_PIXELS

    @contextmanager
    def at(self, pixels: int) -> Iterator[None]:
        with self.lock:
            if not self.active:
                self.theirs = Pillow.MAX_IMAGE_PIXELS
            self.active.append(pixels)
            Pillow.MAX_IMAGE_PIXELS = (
                max(self.active) // 2
            )  # it warns from there on and refuses twice as much
        try:
            yield
        finally:
            with self.lock:
                self.active.remove(pixels)
                Pillow.MAX_IMAGE_PIXELS = max(self.active) // 2 if self.active else self.theirs


_limit = _Limit()


def _opened(source: str | Path | BinaryIO, name: str) -> Pillow.Image:
    with suppress(AttributeError):
        source.seek(0)  # type: ignore[union-attr]
    head = _head(source)
    for magic, kind in HDR.items():
        if head.startswith(magic):
            raise _high_dynamic_range(name, kind)
    if head[4:8] == b"ftyp" and head[8:12] in PLUGINS:
        plug_in("pillow_heif", "heif")
    if head.startswith(JXL):
        plug_in("pillow_jxl", "jxl")
    primaries, transfer = _colour_codes(head)
    if transfer in BRIGHT:
        raise _high_dynamic_range(name, BRIGHT[transfer])
    opened = Pillow.open(source)
    if not opened.info.get("icc_profile") and opened.mode in ("RGB", "RGBA"):
        opened.info["icc_profile"] = colours.profile_of(primaries)
    return opened


def _head(source: str | Path | BinaryIO) -> bytes:
    if isinstance(source, (str, Path)):
        with Path(source).open("rb") as file:
            return file.read(4096)
    head = source.read(4096)
    source.seek(0)
    return head


def _high_dynamic_range(name: str, kind: str) -> ReadError:
    return ReadError(
        f"cannot read {name}: a picture of high dynamic range ({kind}); tone-map it to 8 or 16 bits first"
    )


def _colour_codes(head: bytes) -> tuple[int, int]:
    """The primaries and transfer characteristics that a PNG, AVIF or HEIC file states at its
    beginning; 0 if none.
    """
    png, nclx = head.find(b"cICP"), head.find(b"colrnclx")
    if head.startswith(b"\x89PNG") and 0 < png < len(head) - 6:
        return head[png + 4], head[png + 5]
    if head[4:8] == b"ftyp" and 0 < nclx < len(head) - 12:
        return int.from_bytes(head[nclx + 8 : nclx + 10], "big"), int.from_bytes(
            head[nclx + 10 : nclx + 12], "big"
        )
    return 0, 0


def _pages(opened: Pillow.Image, source: str | Path | BinaryIO, name: str) -> Pages:
    count = getattr(opened, "n_frames", 1)
    if count > 1 and opened.format in ("GIF", "PNG", "WEBP", "AVIF"):
        return _animation(opened, name)
    if count > 1 and opened.format == "TIFF":
        return _document(opened, source, name)
    if (
        count > 1 and opened.format != "MPO"
    ):  # of phones and cameras: previews and gain maps behind the picture
        log.warning("%s has %d frames or pages: only the first is used", name, count)
    return Pages((_image(opened, source, name, 0),))


def _document(opened: Pillow.Image, source: str | Path | BinaryIO, name: str) -> Pages:
    """The pages of a TIFF file, without the smaller versions and masks that may lie between them."""
    images: list[Image] = []
    for number in range(opened.n_frames):  # type: ignore[attr-defined]
        opened.seek(number)
        if not images or not opened.tag_v2.get(SUBFILE, 0) & REDUCED_OR_MASK:  # type: ignore[attr-defined]
            images.append(_image(opened, source, name, number))
    return Pages(tuple(images))


def _animation(opened: Pillow.Image, name: str) -> Pages:
    """The frames of an animation; Pillow composes partial ones."""
    if (
        opened.format == "WEBP"
    ):  # opaque frames that do not fill the picture leave the rest of it transparent; Pillow calls that RGB
        opened._mode = opened.rawmode = "RGBA"  # type: ignore[attr-defined]
    first = from_pillow(opened, name=name)
    skipped = (
        1 if opened.info.get("default_image") else 0
    )  # of a PNG file, for programs that show no animations
    images: list[Image] = []
    durations: list[float] = []
    for number, frame in enumerate(ImageSequence.Iterator(opened)):
        frame.load()
        if number < skipped:
            continue
        pixels, alpha = _planes(frame, name)
        images.append(replace(first, pixels=pixels, alpha=alpha))
        durations.append(float(frame.info.get("duration", 0)))
    return _alike(
        Pages(tuple(images), tuple(durations), _plays(opened))
        if len(images) > 1
        else Pages(tuple(images))
    )


def _plays(opened: Pillow.Image) -> int:
    """How often an animation is shown.

    GIF counts repetitions, and one without a count is shown once.
    """
    loop = opened.info.get("loop")
    if opened.format == "GIF":
        return 1 if loop is None else loop + 1 if loop else 0
    return int(loop or 0)


def _alike(pages: Pages) -> Pages:
    """All frames grey or all in colour, all with alpha or, where nothing is transparent, none."""
    grey = all(_is_grey(image.pixels) for image in pages.images)
    opaque = all(image.alpha is None or bool((image.alpha == 255).all()) for image in pages.images)

    def change(image: Image) -> Image:
        pixels = (
            image.pixels[:, :, :1]
            if grey
            else np.broadcast_to(image.pixels, (*image.pixels.shape[:2], 3))
        )
        alpha = (
            np.full(image.pixels.shape[:2], 255, np.uint8) if image.alpha is None else image.alpha
        )
        return image.with_pixels(pixels, None if opaque else alpha)

    return pages.map(change)


def _is_grey(pixels: Pixels) -> bool:
    return pixels.shape[2] == 1 or bool((pixels[:, :, :1] == pixels).all())


def from_pillow(opened: Pillow.Image, *, name: str = "the image") -> Image:
    """A Pillow image of any mode as an `Image`, EXIF orientation applied."""
    carried = _carried(opened)  # before it is turned: that writes EXIF anew
    return _with_planes(
        carried, opened if _is_upright(opened) else ImageOps.exif_transpose(opened), name
    )


def _is_upright(opened: Pillow.Image) -> bool:
    """JPEG XL turns by its own header and ignores EXIF, unless what it holds is a JPEG file."""
    return opened.format == "JXL" and not getattr(opened, "jpeg", False)


def _image(opened: Pillow.Image, source: str | Path | BinaryIO, name: str, page: int) -> Image:
    """The image of a file, with 16 bits per channel where it has them."""
    if (
        opened.mode in ("I", "F")
        or not _is_deep(opened)
        or (opened.mode.startswith("I;16") and "transparency" not in opened.info)
    ):
        opened.load()
        return from_pillow(opened, name=name)
    planes = sixteen_bit.read(source, page, name)
    if planes is None:
        opened.load()
        return from_pillow(opened, name=name)
    orientation = opened.getexif().get(ExifTags.Base.Orientation, 1)
    pixels, alpha = (
        None if plane is None else sixteen_bit.turned(plane, orientation) for plane in planes
    )
    assert pixels is not None
    return _matching(replace(_carried(opened), pixels=pixels, alpha=alpha))


def _is_deep(opened: Pillow.Image) -> bool:
    """Whether a file has more than eight bits per channel."""
    if isinstance(opened, TiffImagePlugin.TiffImageFile):
        return bool(max(opened.tag_v2.get(258, (1,))) > 8)
    return opened.format == "PNG" and any(
        ";16" in str(tile.args) for tile in getattr(opened, "tile", ())
    )


def _carried(opened: Pillow.Image) -> Image:
    """What came with an image, on an empty one."""
    info = opened.info
    dpi, swapped = info.get("dpi"), opened.getexif().get(ExifTags.Base.Orientation, 1) > 4
    xmp = info.get("xmp") or (_jxl_xmp(opened.fc) if opened.format == "JXL" else None)  # type: ignore[attr-defined]
    icc = info.get("icc_profile")
    return Image(
        np.zeros((0, 0, 3), np.uint8),
        icc=icc or None,
        exif=_exif(opened),
        xmp=metadata.xmp_upright(xmp.encode() if isinstance(xmp, str) else bytes(xmp))
        if xmp
        else None,
        iptc=_iptc(opened),
        dpi=_density(dpi[::-1] if swapped else dpi) if dpi else None,
        text=_text(opened),
    )


def _jxl_xmp(data: bytes) -> bytes | None:
    """The XML box of a JPEG XL file, which its plugin does not hand on."""
    place = 0
    while data[4:8] == b"JXL " and place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big") or len(data) - place
        if data[place + 4 : place + 8] == b"xml ":
            return data[place + 8 : place + length]
        place += max(length, 8)
    return None


def _density(dpi: tuple[Any, ...]) -> tuple[float, float] | None:
    across, down = (float(value) for value in dpi)
    return (
        (across, down) if 1 < across < 1e6 and 1 < down < 1e6 else None
    )  # Pillow says 1 where a TIFF file says nothing


def _exif(opened: Pillow.Image) -> bytes | None:
    raw = opened.info.get("exif")
    if raw:
        return metadata.upright(raw)
    if isinstance(opened, TiffImagePlugin.TiffImageFile):
        return tiff.exif_of(opened)
    exif = opened.getexif()  # what a Pillow image was given, or a PNG file has as text
    exif.pop(ExifTags.Base.Orientation, None)
    return exif.tobytes() if len(exif) else None


def _iptc(opened: Pillow.Image) -> bytes | None:
    """IIM records, from where JPEG, TIFF and PNG keep them."""
    if isinstance(opened, TiffImagePlugin.TiffImageFile):
        raw = opened.tag_v2._tagdata.get(
            tiff.IPTC
        )  # as the file has them: Pillow takes one number for all of them
        return metadata.iim(raw) if raw else metadata.iim(opened.tag_v2.get(tiff.RESOURCES, b""))
    resources = opened.info.get("photoshop")
    if isinstance(resources, dict):
        found = resources.get(PHOTOSHOP)
        return found if isinstance(found, bytes) else None
    raw = opened.info.get("Raw profile type iptc")
    return (
        metadata.iim(bytes.fromhex("".join(raw.split("\n")[3:]))) if isinstance(raw, str) else None
    )


def _text(opened: Pillow.Image) -> tuple[tuple[str, str], ...]:
    """The texts of a PNG file that are not metadata in disguise."""
    texts = getattr(opened, "text", {})
    return tuple(
        (key, str(value))
        for key, value in texts.items()
        if not key.startswith(("Raw profile type", "XML:com.adobe"))
    )


def _with_planes(carried: Image, turned: Pillow.Image, name: str) -> Image:
    if turned.mode in ("CMYK", "LAB"):
        turned = colours.to_srgb(turned, carried.icc, name)
        carried = replace(carried, icc=colours.SRGB)
    pixels, alpha = _planes(turned, name)
    if turned.mode == "P" and _is_grey(pixels) and (carried.icc or b"")[16:20] in (b"", b"GRAY"):
        pixels = pixels[:, :, :1]
    return _matching(replace(carried, pixels=pixels, alpha=alpha))


def _matching(image: Image) -> Image:
    """Without a profile that is not one for such pixels."""
    space = {1: b"GRAY", 3: b"RGB "}[image.pixels.shape[2]]
    return (
        image
        if (image.icc or b"")[16:20] in (b"", space) or len(image.icc or b"") < 128
        else replace(image, icc=None)
    )


def _planes(image: Pillow.Image, name: str) -> tuple[Pixels, Pixels | None]:
    """Pixels H×W×(1|3) and alpha, whatever the mode."""
    if image.mode.startswith("I;16"):
        return np.array(image).astype(np.uint16)[:, :, None], None
    if image.mode in ("I", "F"):
        raise _high_dynamic_range(name, "32 bits per channel")
    transparent = "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
    grey = image.mode in ("1", "L", "LA", "La")
    planes = np.asarray(
        image.convert(
            ("LA" if transparent else "L") if grey else ("RGBA" if transparent else "RGB")
        )
    )
    if not transparent:
        return planes.reshape(*planes.shape[:2], -1), None
    return planes[:, :, :-1], planes[:, :, -1]

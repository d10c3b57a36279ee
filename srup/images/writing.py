"""Encoding: `Pages` become a file of the format its name asks for, with what came along."""

from __future__ import annotations

import functools
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import PngImagePlugin

from srup.errors import EngineUnavailable, WriteError
from srup.files import replacing
from srup.images import colours, metadata, sixteen_bit, tiff
from srup.images.formats import FORMATS, Format, format_of, plug_in
from srup.images.pictures import described, picture
from srup.images.values import Image, Pages

log = logging.getLogger(__name__)

QUALITY = 95
PNG_LEVEL = 3  # of 9 photographs: 2.7 times as fast as Pillow's 6, 0.4 % more bytes (python -m tests.benchmarks.png)
SEGMENT = 65_502  # bytes of XMP that a JPEG file has room for in one piece
IPTC_SEGMENT = 65_500


@dataclass(frozen=True)
class Encoding:
    """How a file is to be written.

    `quality` (1–100) is for lossy formats; `palette` allows a GIF to show 256 colours for all.
    """

    quality: int = QUALITY
    lossless: bool = False
    palette: bool = False


def default_format(pages: Pages) -> str:
    """The format that holds all there is where none was asked for."""
    return "tiff" if len(pages) > 1 and not pages.animated else "png"


def check_holds(
    path: Path, pages: Pages, sizes: Sequence[tuple[int, int]], encoding: Encoding
) -> None:
    """Raises WriteError if the format of `path` cannot hold `pages` of `sizes`: known before the
    work, not after it.
    """
    row, longest, count = FORMATS[format_of(path)], max(max(size) for size in sizes), len(pages)
    colour = any(image.pixels.shape[2] == 3 for image in pages.images)
    alpha = any(image.alpha is not None for image in pages.images)
    refusals = (
        (
            row.longest and longest > row.longest,
            f"ends at {row.longest} pixels a side, not {longest}",
            "-f png",
        ),
        (alpha and not row.alpha, "has no transparency and this image does", "-f png or -f webp"),
        (
            count > 1 and pages.animated and not row.animated,
            f"cannot move and this has {count} frames",
            "-f png or -f webp",
        ),
        (
            count > 1 and not pages.animated and not row.paged,
            f"holds one picture and this has {count} pages",
            "-f tiff",
        ),
        (
            colour and row.grey_only and not encoding.palette,
            "holds 256 colours",
            "-f png or -f webp, or accept it with --palette",
        ),
        (encoding.lossless and not row.lossless, "is never without loss", "-f png or -f webp"),
    )
    for refused, reason, instead in refusals:
        if refused:
            raise WriteError(f"cannot write {path}: {row.name} {reason}; use {instead}")
    if row.module:
        try:
            plug_in(row.module, row.extra)
        except EngineUnavailable as error:
            raise WriteError(f"cannot write {path}: {error}") from error


def write_image(image: Image, path: str | Path, *, quality: int | None = None) -> None:
    """`write_pages` of one image."""
    write_pages(Pages((image,)), path, encoding=Encoding(QUALITY if quality is None else quality))


def write_pages(pages: Pages, path: str | Path, *, encoding: Encoding | None = None) -> None:
    """Writes every page or frame in the format the path's extension names, with profile, metadata
    and density.

    The file appears whole or not at all. Raises WriteError.
    """
    path, encoding = Path(path), encoding or Encoding()
    check_holds(path, pages, [image.size for image in pages.images], encoding)
    row = FORMATS[format_of(path)]
    pages = pages.map(lambda image: _kept(image if row.sixteen_bit else image.eight(), row))
    with replacing(path) as temporary:
        if row.name == "tiff":
            tiff.write(pages, temporary)
        elif row.name == "png" and sixteen_bit.needed(pages.images[0]) and not pages.animated:
            _write_sixteen_bit_png(pages.images[0], temporary)
        else:
            _write(pages, row, encoding, temporary)


def _kept(image: Image, row: Format) -> Image:
    """What the format has a place for, with EXIF and XMP that say the size as it is."""
    exif = metadata.sized(image.exif, image.size, image.dpi) if image.exif else None
    xmp = metadata.xmp_sized(image.xmp, image.size) if image.xmp else None
    kept: dict[str, Any] = {
        "icc": image.icc,
        "exif": exif,
        "xmp": xmp,
        "iptc": image.iptc,
        "dpi": image.dpi,
        "text": image.text,
    }
    lost = [name for name in ("exif", "xmp", "iptc") if kept[name] and name not in row.keeps]
    if lost:
        _tell_once(row.name, " and ".join(name.upper() for name in lost), "left out")
    if image.icc and "icc" not in row.keeps:
        image = _without_profile(image, row)
    return replace(
        Image(image.pixels, image.alpha),
        **{name: value for name, value in kept.items() if name in row.keeps},
    )


def _without_profile(image: Image, row: Format) -> Image:
    """In the colours of sRGB, which is what is taken of a file that does not say."""
    assert image.icc is not None
    converted = (
        colours.as_srgb(image.eight().pixels, image.icc) if image.pixels.shape[2] == 3 else None
    )
    _tell_once(
        row.name, "a colour profile", "left out" if converted is None else "converted to sRGB"
    )
    return image if converted is None else replace(image.eight(), pixels=converted)


@functools.cache
def _tell_once(name: str, lost: str, done: str) -> None:
    log.warning("%s has no place for %s: %s", name, lost, done)


def _write(pages: Pages, row: Format, encoding: Encoding, path: Path) -> None:
    """With Pillow, which wants the first picture and an iterator of the others."""
    first, *others = pages.images
    options = _options(first, row, encoding)
    if len(pages) > 1:
        options |= {"save_all": True, "append_images": _Frames(others, row), **_timing(pages, row)}
    _frame(first, row).save(path, {"heic": "HEIF"}.get(row.name, row.name.upper()), **options)


class _Frames:
    """Pictures made as they are asked for; Pillow may ask more than once."""

    def __init__(self, images: Sequence[Image], row: Format) -> None:
        self.images, self.row = images, row

    def __iter__(self) -> Iterator[Pillow.Image]:
        return (_frame(image, self.row) for image in self.images)


def _frame(image: Image, row: Format) -> Pillow.Image:
    return _quantized(image) if row.grey_only else picture(image)


def _quantized(image: Image) -> Pillow.Image:
    """With a palette of 256 colours, or of 255 and a transparent one."""
    if image.alpha is None:
        return (
            Pillow.fromarray(image.pixels[:, :, 0])
            if image.pixels.shape[2] == 1
            else picture(image).quantize(256)
        )
    reduced = picture(replace(image, alpha=None)).convert("RGB").quantize(255)
    reduced.paste(255, mask=Pillow.fromarray(((image.alpha < 128) * 255).astype(np.uint8)))
    reduced.info["transparency"] = 255
    return reduced


def _timing(pages: Pages, row: Format) -> dict[str, Any]:
    durations: Sequence[float] = (
        [round(duration) for duration in pages.durations] if row.name != "png" else pages.durations
    )
    timing: dict[str, Any] = {"duration": list(durations)}
    if row.name == "gif":
        timing |= {} if pages.plays == 1 else {"loop": max(pages.plays - 1, 0)}
        timing["disposal"] = 2 if pages.images[0].alpha is not None else 0
        return timing
    return timing if row.name == "avif" else timing | {"loop": pages.plays}


def _options(image: Image, row: Format, encoding: Encoding) -> dict[str, Any]:
    options = described(image)
    if row.lossy:
        options |= {"quality": encoding.quality}
    if row.name in ("jpeg", "avif"):
        options["subsampling"] = "4:4:4"
    if row.name == "heic":
        options |= {"quality": -1, "matrix_coefficients": 0} if encoding.lossless else {}
        options["chroma"] = "444"
    if row.name == "webp" and encoding.lossless:
        options |= {"lossless": True, "exact": True}
    if row.name == "jxl":
        options["lossless"] = encoding.lossless or encoding.quality == 100
    if row.name == "png":
        options |= {"compress_level": PNG_LEVEL, "pnginfo": _png_texts(image)}
    if row.name == "jpeg":
        options |= _segments(image)
    return options


def _segments(image: Image) -> dict[str, Any]:
    """What a JPEG file keeps in segments of 64 KB."""
    extra = b""
    if image.iptc:
        block = b"Photoshop 3.0\0" + metadata.resources(image.iptc)
        if len(block) <= IPTC_SEGMENT:
            extra = b"\xff\xed" + (len(block) + 2).to_bytes(2, "big") + block
        else:
            _tell_once("jpeg", f"{len(block)} bytes of IPTC", "left out")
    found: dict[str, Any] = {"extra": extra}
    for name, value in (("exif", image.exif), ("xmp", image.xmp)):
        if value and len(value) > SEGMENT:
            _tell_once("jpeg", f"{len(value)} bytes of {name.upper()}", "left out")
            found[name] = b""
    return found


def _png_texts(image: Image) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for key, value in image.text:
        info.add_text(key, value) if value.isascii() else info.add_itxt(key, value)
    if image.xmp:
        info.add_itxt("XML:com.adobe.xmp", image.xmp.decode("utf-8", "replace"))
    if image.iptc:
        block = metadata.resources(image.iptc)
        info.add_text("Raw profile type iptc", f"\niptc\n{len(block):8}\n{block.hex()}\n", zip=True)
    return info


def _write_sixteen_bit_png(image: Image, path: Path) -> None:
    """Pixels by libvips; before them the chunks that Pillow would write of the same metadata."""
    pixels = path.with_name(f"{path.name}.pixels.png")
    try:
        sixteen_bit.write(image, pixels, compression=PNG_LEVEL)
        with pixels.open("rb") as source, path.open("wb") as target:
            target.write(source.read(33))  # the signature and IHDR
            target.writelines(_chunks(image))
            source.seek(
                source.read(4096).index(b"IDAT") + 33 - 4
            )  # past what libvips adds of its own
            shutil.copyfileobj(source, target, 1 << 20)
    finally:
        pixels.unlink(missing_ok=True)


def _chunks(image: Image) -> Iterator[bytes]:
    shell = Pillow.new("L" if image.pixels.shape[2] == 1 else "RGB", (1, 1))
    for name, data, crc in PngImagePlugin.getchunks(
        shell, pnginfo=_png_texts(image), **described(image)
    ):
        if name not in (b"IHDR", b"IDAT", b"IEND"):
            yield len(data).to_bytes(4, "big") + name + data + crc

"""Image files: read into values, written whole or not at all."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, ImageOps, UnidentifiedImageError
from PIL import Image as Pillow

from srup.errors import ReadError, WriteError
from srup.files import replacing

log = logging.getLogger(__name__)

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]

EXTENSIONS = {  # output format → the extension it is written with; the first of a kind wins for `-f`
    "png": ".png",
    "jpeg": ".jpg",
    "webp": ".webp",
    "tiff": ".tif",
    "bmp": ".bmp",
    "avif": ".avif",
}
OPAQUE = ("jpeg", "bmp")  # formats without transparency


@dataclass(frozen=True)
class Image:
    """`pixels` H×W×3 (RGB) or H×W×1 (grey), `alpha` H×W, uint8, upright; and what came with them in the file."""

    pixels: Bytes
    alpha: Bytes | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)"""
        return self.pixels.shape[1], self.pixels.shape[0]

    def with_pixels(self, pixels: Bytes, alpha: Bytes | None) -> Image:
        return replace(self, pixels=pixels, alpha=alpha)


def read_image(path: str | Path) -> Image:
    """The image in a file, EXIF orientation applied. Raises ReadError if there is none or it is damaged."""
    with _reading(path), Pillow.open(path) as opened:
        opened.load()
        return from_pillow(opened, name=str(path))


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            yield
    except FileNotFoundError as error:
        raise ReadError(f"cannot read {path}: no such file; check the name") from error
    except IsADirectoryError as error:
        raise ReadError(f"cannot read {path}: it is a folder; name its files (srup upscale {path}/*)") from error
    except PermissionError as error:
        raise ReadError(f"cannot read {path}: no permission; check its owner and mode") from error
    except UnidentifiedImageError as error:
        raise ReadError(f"cannot read {path}: not an image in a format srup knows; convert it to PNG or JPEG first") from error
    except Pillow.DecompressionBombError as error:
        raise ReadError(f"cannot read {path}: {error}; cut it into parts first") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:  # what Pillow's decoders raise on damage
        raise ReadError(f"cannot read {path}: damaged or cut short ({error}); get a whole copy of it") from error


def from_pillow(opened: Pillow.Image, *, name: str = "the image") -> Image:
    """A Pillow image of any mode as an `Image`, EXIF orientation applied."""
    if getattr(opened, "n_frames", 1) > 1:
        log.warning("%s has %d frames or pages: only the first is used", name, opened.n_frames)  # type: ignore[attr-defined]
    upright = ImageOps.exif_transpose(opened)
    pixels, alpha = _planes(upright, name)
    exif = upright.getexif()
    exif.pop(ExifTags.Base.Orientation, None)
    dpi = upright.info.get("dpi")
    return Image(
        pixels,
        alpha,
        icc=upright.info.get("icc_profile") if upright.mode not in ("CMYK", "LAB") else None,
        exif=exif.tobytes() if len(exif) else None,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
    )


def _planes(image: Pillow.Image, name: str) -> tuple[Bytes, Bytes | None]:
    """Pixels H×W×(1|3) and alpha, whatever the mode."""
    if image.mode.startswith("I;16"):
        log.warning("%s has 16 bits per channel: 8 are kept", name)
        return np.round(np.asarray(image, np.float64) / 257).astype(np.uint8)[:, :, None], None
    if image.mode in ("I", "F"):
        raise ReadError(f"cannot read {name}: 32 bits per channel; convert it to 8 bits first")
    transparent = "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
    grey = image.mode in ("1", "L", "LA", "La")
    planes = np.asarray(image.convert(("LA" if transparent else "L") if grey else ("RGBA" if transparent else "RGB")))
    if not transparent:
        return planes.reshape(*planes.shape[:2], -1), None
    return planes[:, :, :-1], planes[:, :, -1]


def to_pillow(image: Image) -> Pillow.Image:
    """A Pillow image of mode L, LA, RGB or RGBA; profile, EXIF and density in its `info`."""
    planes = image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])
    made = Pillow.fromarray(np.ascontiguousarray(planes.squeeze(2) if planes.shape[2] == 1 else planes))
    made.info.update(_carried(image))
    return made


def format_of(path: Path) -> str:
    """The output format a file name asks for. Raises WriteError if srup writes none of that name."""
    name = {"jpg": "jpeg", "tif": "tiff"}.get(path.suffix[1:].lower(), path.suffix[1:].lower())
    if name not in EXTENSIONS:
        raise WriteError(f"cannot write {path}: srup writes {', '.join(EXTENSIONS)}; name one by the extension or with -f")
    return name


def check_holds(path: Path, size: tuple[int, int], *, alpha: bool) -> None:
    """Raises WriteError if the format of `path` cannot hold such an image: known before the work, not after it."""
    name = format_of(path)
    limit = {"jpeg": 65_535, "webp": 16_383, "avif": 65_536}.get(name)
    if limit and max(size) > limit:
        raise WriteError(f"cannot write {path}: {name} ends at {limit} pixels a side, not {size[0]}×{size[1]}; use -f png")
    if alpha and name in OPAQUE:
        raise WriteError(f"cannot write {path}: {name} has no transparency and this image does; use -f png or -f webp")


def write_image(image: Image, path: str | Path, *, quality: int | None = None) -> None:
    """Writes the image in the format its extension names, with its profile, metadata and density.

    `quality` (1–100) is for the lossy formats (95 unless given). The file appears whole or not at all. Raises WriteError.
    """
    path = Path(path)
    check_holds(path, image.size, alpha=image.alpha is not None)
    options = _options(image, format_of(path), 95 if quality is None else quality)
    with replacing(path) as temporary:
        to_pillow(image).save(temporary, format_of(path).upper(), **options)


def _carried(image: Image) -> dict[str, Any]:
    """What came with the image, in Pillow's words."""
    carried = {"icc_profile": image.icc, "exif": image.exif, "dpi": image.dpi}
    return {key: value for key, value in carried.items() if value is not None}


def _options(image: Image, name: str, quality: int) -> dict[str, Any]:
    options = _carried(image)
    if name in ("jpeg", "webp", "avif"):
        options["quality"] = quality
    if name in ("jpeg", "avif"):
        options["subsampling"] = "4:4:4"
    if name == "png":
        options["compress_level"] = 4  # of a 16 MP photograph: 2.6 times as fast as Pillow's 6, 4 % more bytes
    if name == "tiff":
        options["compression"] = "tiff_deflate"
    return options


def bled(pixels: Bytes, alpha: Bytes) -> Bytes:
    """The pixels with the colours of what is visible spread under what is fully transparent.

    A file says anything it likes under alpha 0, often black; a network would mix that into the edge as a dark fringe. Filled from
    coarser and coarser averages of the visible pixels (push-pull: Gortler et al., "The Lumigraph", SIGGRAPH 1996).
    """
    visible = (alpha > 0)[:, :, None]
    if visible.all() or not visible.any():
        return pixels
    weight = visible.astype(np.float32)
    filled = _push_pull(np.multiply(pixels, weight, dtype=np.float32), weight)
    return np.where(visible, pixels, np.round(filled).clip(0, 255).astype(np.uint8))


def _push_pull(total: Floats, weight: Floats) -> Floats:
    """Where weight is 0, colours from the level above; elsewhere total / weight. Both H×W×C."""
    here = total / np.maximum(weight, 1e-6)
    if weight.all() or max(total.shape[:2]) == 1:
        return here
    above = _push_pull(_halved(total), _halved(weight))
    below = above.repeat(2, 0).repeat(2, 1)[: total.shape[0], : total.shape[1]]
    return np.where(weight > 0, here, below)


def _halved(planes: Floats) -> Floats:
    """Sums over 2×2 pixels; an odd last row or column counts alone."""
    height, width, channels = planes.shape
    even = np.pad(planes, ((0, height % 2), (0, width % 2), (0, 0)))
    return np.asarray(even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, channels).sum((1, 3)))

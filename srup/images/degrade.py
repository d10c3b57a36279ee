"""Making an image worse, as cameras and the web do: blur, noise, JPEG and WebP.

A spec says what is done, in order: "noise:5+jpeg:75". Training draws such operations at random,
evaluation applies those it is given.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image as Pillow

from srup.errors import UsageError
from srup.images.values import Bytes, Floats

CLEAN = "clean"  # the spec of no operation
SENSOR_SPREAD = 0.90427  # root mean square that demosaicing leaves of noise of σ 1


@dataclass(frozen=True)
class Kind:
    """A way of making an image worse; its strength lies in `low` … `high`.

    `apply(pixels, strength, random)` takes and returns H×W×3.
    """

    apply: Callable[[Bytes, float, np.random.Generator], Bytes]
    low: float
    high: float
    strength: str  # what the number after the colon is
    whole: bool = False  # whether that number has no fraction


@dataclass(frozen=True)
class Operation:
    """One step of a degradation: the name of a row of `KINDS`, and how strong it is."""

    kind: str
    strength: float


def parsed(spec: str) -> tuple[Operation, ...]:
    """The operations of a spec, in the order applied; none for "clean". Raises UsageError."""
    if spec == CLEAN:
        return ()
    return tuple(_operation(part) for part in spec.split("+"))


def _operation(part: str) -> Operation:
    name, _, number = part.partition(":")
    if name not in KINDS:
        raise UsageError(f"no way to degrade is called {part!r}; there are {known()}")
    kind = KINDS[name]
    try:
        strength = float(number)
    except ValueError:
        strength = math.nan
    fits = kind.low <= strength <= kind.high  # never true of nan
    if not fits or (kind.whole and strength != int(strength)):
        number = "whole number" if kind.whole else "number"
        raise UsageError(
            f"{part!r} needs a {number} from {kind.low:g} to {kind.high:g} after the colon, "
            f"its {kind.strength}; as in {name}:{kind.high / 2:g}"
        )
    return Operation(name, strength)


def known() -> str:
    """The specs there are, in words."""
    kinds = ", ".join(f"{name}:N ({kind.strength})" for name, kind in KINDS.items())
    return f"{kinds}, several joined by +, and {CLEAN}"


def degraded(
    pixels: Bytes, operations: tuple[Operation, ...], random: np.random.Generator
) -> Bytes:
    """An image H×W×3 after the operations, each of which ends in bytes."""
    for operation in operations:
        pixels = KINDS[operation.kind].apply(pixels, operation.strength, random)
    return pixels


def degraded_by(spec: str, pixels: Bytes) -> Bytes:
    """An image H×W×3 degraded by a spec, with the same noise at every call. Raises UsageError."""
    return degraded(pixels, parsed(spec), np.random.default_rng(0))


def _blurred(pixels: Bytes, sigma: float, _: np.random.Generator) -> Bytes:
    """A Gaussian blur; the outermost pixels are repeated outside of the image."""
    radius = math.ceil(3 * sigma)
    if radius == 0:
        return pixels
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).astype(np.float32)
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((radius, radius), (radius, radius), (0, 0)), "edge")
    rows = np.zeros((height, *padded.shape[1:]), np.float32)
    for place, weight in enumerate(kernel):
        rows += weight * padded[place : place + height]
    result = np.zeros(pixels.shape, np.float32)
    for place, weight in enumerate(kernel):
        result += weight * rows[:, place : place + width]
    return _to_bytes(result)


def _with_noise(pixels: Bytes, sigma: float, random: np.random.Generator) -> Bytes:
    """White Gaussian noise: each pixel and channel has its own."""
    return _to_bytes(pixels + sigma * random.standard_normal(pixels.shape, np.float32))


def _with_sensor_noise(pixels: Bytes, sigma: float, random: np.random.Generator) -> Bytes:
    """White noise of the sensor as it is after demosaicing: alike in neighbours and channels.

    Demosaicing is linear here, so the noise alone is demosaiced, and scaled to the root mean square
    `sigma` over pixels and channels.
    """
    height, width = pixels.shape[:2]
    # two pixels more on each side, which is how far demosaicing looks
    mosaic = random.standard_normal((height + 4, width + 4), np.float32)
    noise = _demosaiced(mosaic)[2:-2, 2:-2]
    return _to_bytes(pixels + sigma / SENSOR_SPREAD * noise)


def _demosaiced(mosaic: Floats) -> Floats:
    """H×W values behind a Bayer filter (red at the top left) as H×W×3.

    Green is interpolated bilinearly, red and blue by their differences from it. Two pixels at each
    edge are not right.
    """
    rows, columns = np.indices(mosaic.shape) % 2
    four = _neighbours(mosaic, 0) + _neighbours(mosaic, 1)
    green = np.where(rows != columns, mosaic, four / 4)
    planes = [green]
    for parity in (0, 1):  # red, blue
        measured = (rows == parity) & (columns == parity)
        difference = np.where(measured, mosaic - green, 0)
        for axis in (0, 1):
            difference = difference + _neighbours(difference, axis) / 2
        planes.append(green + difference)
    return np.stack([planes[1], planes[0], planes[2]], 2)


def _neighbours(plane: Floats, axis: int) -> Floats:
    """The sum of the two neighbours of each value along an axis."""
    return np.roll(plane, 1, axis) + np.roll(plane, -1, axis)


def _to_bytes(values: Floats) -> Bytes:
    return values.round().clip(0, 255).astype(np.uint8)


def _as_jpeg(pixels: Bytes, quality: float, _: np.random.Generator) -> Bytes:
    """As JPEG stores it with chroma halved in both directions, which cameras and the web do."""
    return _reopened(pixels, "JPEG", quality=int(quality), subsampling="4:2:0")


def _as_full_chroma_jpeg(pixels: Bytes, quality: float, _: np.random.Generator) -> Bytes:
    return _reopened(pixels, "JPEG", quality=int(quality), subsampling="4:4:4")


def _as_webp(pixels: Bytes, quality: float, _: np.random.Generator) -> Bytes:
    return _reopened(pixels, "WEBP", quality=int(quality))


def _reopened(pixels: Bytes, format_: str, **options: Any) -> Bytes:
    """The pixels after they were saved, to memory, and opened again."""
    file = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(pixels)).save(file, format_, **options)
    return np.array(Pillow.open(file).convert("RGB"))  # a copy, for Pillow's own is read-only


KINDS: Mapping[str, Kind] = {
    "blur": Kind(_blurred, 0, 10, "σ in pixels"),
    "noise": Kind(_with_noise, 0, 100, "σ of 255"),
    "sensor-noise": Kind(_with_sensor_noise, 0, 100, "σ of 255"),
    "jpeg": Kind(_as_jpeg, 1, 100, "quality", whole=True),
    "jpeg444": Kind(_as_full_chroma_jpeg, 1, 100, "quality", whole=True),
    "webp": Kind(_as_webp, 1, 100, "quality", whole=True),
}

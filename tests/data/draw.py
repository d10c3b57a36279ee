"""Draws a test picture with edges at all angles, texture, text and gradients.

`python tests/data/draw.py sample.png [WIDTH HEIGHT]`.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

OVER = 4  # drawn this many times larger and averaged, for edges as soft as those of a photograph


def draw(width: int = 320, height: int = 240) -> Image.Image:
    """An RGB picture of this size; the same at every call."""
    picture = Image.fromarray(_sky_and_cloth(width * OVER, height * OVER))
    pen = ImageDraw.Draw(picture)
    _star(pen, width * OVER * 0.27, height * OVER * 0.45, min(width, height) * OVER * 0.36)
    _rings(pen, width * OVER * 0.76, height * OVER * 0.3, min(width, height) * OVER * 0.22)
    _words(pen, width * OVER, height * OVER)
    return picture.resize((width, height), Image.Resampling.BOX)


def _sky_and_cloth(width: int, height: int) -> np.ndarray:
    """A gradient of colours above; below, a weave that gets finer to the right, and grain."""
    y, x = np.mgrid[:height, :width]
    across, down = x / width, y / height
    sky = np.stack([90 + 110 * across, 140 + 60 * down, 215 - 90 * across * down], -1)
    warp = np.sin(x**1.25 / (3.0 * OVER))
    weft = np.sin(y * 1.9 / OVER + x / (5 * OVER))
    weave = 0.5 + 0.25 * warp + 0.25 * weft
    grain = np.random.default_rng(7).normal(0, 10, (height // OVER, width // OVER, 1))
    grain = grain.repeat(OVER, 0).repeat(OVER, 1)
    cloth = np.stack([150 * weave + 60, 105 * weave + 45, 70 * weave + 40], -1) + grain
    return np.where((down > 0.62)[:, :, None], cloth, sky).clip(0, 255).astype(np.uint8)


def _star(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float) -> None:
    """Rays at every angle, thinner towards the middle."""
    for ray in range(36):
        angle, half = math.tau * ray / 36, math.tau / 144
        corners = [(x, y)]
        for side in (angle - half, angle + half):
            corners.append((x + radius * math.cos(side), y + radius * math.sin(side)))
        pen.polygon(corners, fill=("#20242b", "#f3ead7", "#a3312b")[ray % 3])


def _rings(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float) -> None:
    """Circles, closer towards the middle."""
    for ring in range(12):
        r = radius * (1 - ring / 12) ** 1.4
        pen.ellipse([x - r, y - r, x + r, y + r], fill=("#f7f3e8", "#23395b")[ring % 2])


def _words(pen: ImageDraw.ImageDraw, width: int, height: int) -> None:
    """A line of text in four sizes."""
    for row, size in enumerate((16, 12, 9, 7)):
        font = ImageFont.load_default(size * OVER)
        place = (width * 0.05, height * 0.68 + sum((20, 15, 12, 9)[:row]) * OVER)
        pen.text(place, "Sharp edges, small letters, 0123456789", fill="#fdfdf6", font=font)


if __name__ == "__main__":
    draw(*map(int, sys.argv[2:4])).save(Path(sys.argv[1]))

"""Pictures side by side, with names above the columns and beside the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GAP = 8  # pixels between cells
LABEL = 36  # height of a line of names, in pixels
INK = "#222222"


def sheet(columns: Sequence[str], rows: Mapping[str, Sequence[NDArray[np.uint8]]]) -> Image.Image:
    """A sheet of cells H×W×3, all of one size: a row for each name, "" for a row without one."""
    height, width = next(iter(rows.values()))[0].shape[:2]
    font = ImageFont.load_default(20)
    side = max(int(font.getlength(name)) + 2 * GAP if name else 0 for name in rows)
    size = (side + len(columns) * (width + GAP) - GAP, LABEL + len(rows) * (height + GAP) - GAP)
    made = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(made)
    for column, name in enumerate(columns):
        pen.text((side + column * (width + GAP) + 4, 6), name, INK, font)
    for row, (name, cells) in enumerate(rows.items()):
        top = LABEL + row * (height + GAP)
        pen.text((0, top + 4), name, INK, font)
        for column, cell in enumerate(cells):
            made.paste(Image.fromarray(cell), (side + column * (width + GAP), top))
    return made

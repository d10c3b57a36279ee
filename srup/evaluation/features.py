"""What a network sees: the maps after each of its stages, drawn as a labelled grid.

After the figure of feature maps in the IMDN paper (https://arxiv.org/abs/1909.11856). The maps are the stages' own state: after a
block of IMDN, what it distilled, 16 channels from each of its four steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from srup.networks.base import Network
from srup.networks.stages import pad_to_multiple, states

TILE, GAP, EDGE = 150, 6, 14  # pixels
COLUMNS = 9
INK, SOFT, GROUND = "#1d1f22", "#63676e", "#ffffff"
TITLE, HEAD, LABEL = 20, 15, 12  # sizes of letters


@dataclass(frozen=True)
class FeatureMap:
    """What one stage made: of its state the widest tensor, of equals the last, C×H×W."""

    stage: int
    values: NDArray[np.float32]

    @property
    def is_image(self) -> bool:
        return len(self.values) == 3


@torch.no_grad()
def maps(network: Network, image: Tensor) -> list[FeatureMap]:
    """The map after each stage of the network over an image 1×3×H×W in [0, 1], run whole. Sides may be padded by what it needs."""
    found: list[FeatureMap] = []

    def run(padded: Tensor) -> Tensor:
        state = [padded]
        for number, state in enumerate(states(network.stages(), padded), 1):
            widest = max(reversed(state), key=lambda tensor: tensor.shape[1])
            found.append(FeatureMap(number, widest[0].float().cpu().numpy().copy()))
        return state[-1]

    pad_to_multiple(network, image, run)
    return found


def grid(
    found: Sequence[FeatureMap], title: str, channels: int | None = COLUMNS - 1
) -> Image.Image:
    """The maps as a picture: for each stage the mean over its channels and `channels` of them, evenly spread (None: all).

    Every tile is stretched from its own 1st to its 99th percentile; the last stage's is the result itself, in colour.
    """
    strips = [_strip(each, len(found), channels) for each in found]
    width = max(strip.width for strip in strips)
    width = (
        max(width, COLUMNS * (TILE + GAP) + 2 * EDGE - GAP)
        if len(found) > 1
        else max(width, 4 * TILE)
    )
    sheet = Image.new(
        "RGB", (width, sum(strip.height for strip in strips) + 3 * EDGE + TITLE), GROUND
    )
    ImageDraw.Draw(sheet).text(
        (EDGE, EDGE), title.replace("×", "x"), INK, _font(TITLE)
    )  # Pillow's font has no ×
    top = 2 * EDGE + TITLE
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _strip(each: FeatureMap, stages: int, channels: int | None) -> Image.Image:
    """A heading and the tiles of one stage."""
    count, height, width = each.values.shape
    tiles = _tiles(each, channels)
    tall = max(round(TILE * height / width), 1)
    rows = -(-len(tiles) // COLUMNS)
    columns = min(len(tiles), COLUMNS)
    size = (
        columns * (TILE + GAP) + 2 * EDGE - GAP,
        HEAD + GAP + rows * (tall + LABEL + 2 * GAP) + EDGE,
    )
    strip = Image.new("RGB", (max(size[0], 6 * TILE), size[1]), GROUND)
    pen = ImageDraw.Draw(strip)
    what = "the image" if each.is_image else f"{count} channels"
    pen.text(
        (EDGE, 0), f"stage {each.stage} of {stages}: {what}, {width}x{height}", INK, _font(HEAD)
    )
    for number, (label, values) in enumerate(tiles):
        left = EDGE + number % COLUMNS * (TILE + GAP)
        top = HEAD + 2 * GAP + number // COLUMNS * (tall + LABEL + 2 * GAP)
        strip.paste(
            Image.fromarray(values).resize((TILE, tall), Image.Resampling.BICUBIC), (left, top)
        )
        pen.text((left, top + tall + 1), label, SOFT, _font(LABEL))
    return strip


def _tiles(each: FeatureMap, channels: int | None) -> list[tuple[str, NDArray[np.uint8]]]:
    if each.is_image:
        return [
            ("as it is", np.rint(each.values.clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))
        ]
    count = len(each.values)
    shown = (
        range(count)
        if channels is None
        else sorted({int(place) for place in np.linspace(0, count - 1, min(channels, count))})
    )
    return [
        ("mean", stretched(each.values.mean(0))),
        *((f"{number + 1}", stretched(each.values[number])) for number in shown),
    ]


def stretched(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values H×W as grey levels, from black at the 1st to white at the 99th percentile; a flat map is middle grey."""
    low, high = np.percentile(values, (1, 99))
    if high - low <= 1e-12:
        return np.full(values.shape, 128, np.uint8)
    levels = ((values - low) / (high - low)).clip(0, 1) * 255
    return np.asarray(np.rint(levels), np.uint8)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)

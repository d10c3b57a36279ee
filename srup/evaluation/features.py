"""Feature maps of a network after each of its stages, drawn as a labelled grid.

After the figure of feature maps in the IMDN paper (https://arxiv.org/abs/1909.11856). The maps are
the stages' own state: after a block of IMDN, the distilled features, 16 channels from each of its
four steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
COLUMNS = 9  # tiles in a row
INK, SOFT, GROUND = "#1d1f22", "#63676e", "#ffffff"
TITLE, HEAD, LABEL = 20, 15, 12  # font sizes


@dataclass(frozen=True)
class FeatureMap:
    """The map C×H×W after one stage: the tensor of its state with the most channels."""

    stage: int
    values: NDArray[np.float32]

    @property
    def is_image(self) -> bool:
        """Whether the map has three channels, as the last stage's result has."""
        return len(self.values) == 3


@torch.no_grad()
def maps(network: Network, image: Tensor) -> list[FeatureMap]:
    """The map after each stage of the network over an image 1×3×H×W in [0, 1].

    The image is run as one window. Maps may be larger by the padding that the network needs.
    """
    found: list[FeatureMap] = []

    def run(padded: Tensor) -> Tensor:
        state = [padded]
        for number, state in enumerate(states(network.stages(), padded), 1):
            # Among equally wide tensors the last is the stage's own result, not what it was given.
            widest = max(reversed(state), key=lambda tensor: tensor.shape[1])
            found.append(FeatureMap(number, widest[0].float().cpu().numpy().copy()))
        return state[-1]

    pad_to_multiple(network, image, run)
    return found


def grid(
    found: Sequence[FeatureMap], title: str, channels: int | None = COLUMNS - 1
) -> Image.Image:
    """The maps as a picture: a strip for each stage, with the mean over its channels first.

    `channels` of them follow, evenly spread (None: all). Every tile is stretched from its own 1st
    to its 99th percentile; the last stage's is the result itself, in colour.
    """
    strips = [_strip(each, len(found), channels) for each in found]
    least = _width_of(COLUMNS) if len(found) > 1 else 4 * TILE
    width = max(least, *(strip.width for strip in strips))
    height = sum(strip.height for strip in strips) + 3 * EDGE + TITLE
    sheet = Image.new("RGB", (width, height), GROUND)
    plain_title = title.replace("×", "x")  # Pillow's font has no ×
    ImageDraw.Draw(sheet).text((EDGE, EDGE), plain_title, INK, _font(TITLE))
    top = 2 * EDGE + TITLE
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _width_of(columns: int) -> int:
    return columns * (TILE + GAP) + 2 * EDGE - GAP


def _strip(each: FeatureMap, stages: int, channels: int | None) -> Image.Image:
    """A heading and the tiles of one stage."""
    count, height, width = each.values.shape
    tiles = _tiles(each, channels)
    tile_height = max(round(TILE * height / width), 1)
    row_height = tile_height + LABEL + 2 * GAP
    rows = -(-len(tiles) // COLUMNS)
    total_width = max(_width_of(min(len(tiles), COLUMNS)), 6 * TILE)
    strip = Image.new("RGB", (total_width, HEAD + GAP + rows * row_height + EDGE), GROUND)
    pen = ImageDraw.Draw(strip)
    what = "the image" if each.is_image else f"{count} channels"
    heading = f"stage {each.stage} of {stages}: {what}, {width}x{height}"
    pen.text((EDGE, 0), heading, INK, _font(HEAD))
    for number, (label, values) in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        left, top = EDGE + column * (TILE + GAP), HEAD + 2 * GAP + row * row_height
        tile = Image.fromarray(values).resize((TILE, tile_height), Image.Resampling.BICUBIC)
        strip.paste(tile, (left, top))
        pen.text((left, top + tile_height + 1), label, SOFT, _font(LABEL))
    return strip


def _tiles(each: FeatureMap, channels: int | None) -> list[tuple[str, NDArray[np.uint8]]]:
    """Labels and grey levels of a stage's tiles; of an image the one tile in colour."""
    if each.is_image:
        colours = np.rint(each.values.clip(0, 1) * 255).astype(np.uint8)
        return [("as it is", colours.transpose(1, 2, 0))]
    chosen = _chosen(len(each.values), channels)
    tiles = [(f"{number + 1}", stretched(each.values[number])) for number in chosen]
    return [("mean", stretched(each.values.mean(0))), *tiles]


def _chosen(count: int, channels: int | None) -> Iterable[int]:
    """The numbers of `channels` channels evenly spread among `count`; None: all."""
    if channels is None:
        return range(count)
    return sorted(set(np.linspace(0, count - 1, min(channels, count)).astype(int).tolist()))


def stretched(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values H×W as grey levels, black at the 1st and white at the 99th percentile.

    A flat map becomes middle grey.
    """
    low, high = np.percentile(values, (1, 99))
    if high - low <= 1e-12:
        return np.full(values.shape, 128, np.uint8)
    levels = ((values - low) / (high - low)).clip(0, 1) * 255
    return np.asarray(np.rint(levels), np.uint8)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)

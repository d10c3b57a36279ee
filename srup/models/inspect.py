"""What kind of picture is this? Compression, noise, earlier enlarging; photograph or drawing.

    inspection_of(read_pages("photo.jpg")).noise

It takes a few hundredths of a second, whatever the size: a fixed sample of tiles is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from srup.images import Compression, Floats, Image, Pages, Pixels, fill_transparent
from srup.models.jpeg_traces import Tiles, jpeg_traces

Kind = Literal["photograph", "drawing"]
Bands = tuple[Floats, Floats, Floats, Floats]  # of a Haar transform: coarse, across, down, diagonal

SIDES = (64, 32, 16)  # pixels of a tile: the first that fits into the picture
MOST_TILES = 200
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Y of JPEG (BT.601, full range)

# Thresholds were chosen on photographs of which all this is known: tests.benchmarks.inspect.
BLOCKY = 1.05  # blockiness from which a picture was compressed
# Noise
FEWEST, FEWEST_FLAT = 192, 12  # blocks of 8×8 pixels: to choose from, and chosen
FLATTEST, FLATTEST_COARSE = 0.02, 0.01  # share of blocks that noise is measured in
DARKEST, BRIGHTEST = 16, 239  # means of blocks in which noise is not clipped
HIDING = 70  # quality below which noise of a σ below VISIBLE leaves nothing to measure
VISIBLE = 2.0
# In small pictures hardly a block of 8×8 is flat: there blocks of 4×4 count, which overlap.
SMALL_BLOCK = 4  # pixels a side
FLATTEST_SMALL, FEWEST_SMALL = 80, 1600  # blocks that noise is measured in, and to choose from
SMALL = 4 * 64 * FEWEST  # pixels of a picture that is looked at as a whole then
VISIBLE_SMALL = 4.0  # what is less may as well be detail
# Spectrum
FINEST = slice(26, 31)  # cycles in 64 pixels; 32 and 24 are those of JPEG's borders
DETAIL = 100.0  # power times f² without which a picture is too smooth to tell
EMPTY, FULL = 0.05, 0.2  # share of the finest detail in an enlarged picture, and in a sharp one
ROUNDING = 0.083  # power of rounding to 8 bits
# Drawings
FLAT = 0.35  # share of neighbours of one colour in a drawing, at least
SHADES, SHADES_LOSSY = 2.5, 6.0  # shades for each edge in a drawing, times that share, at most
SLIGHT, STRONG = 2, 24  # differences below are neither shades nor edges; those above are edges


@dataclass(frozen=True)
class Inspection:
    """What was found about a picture. None is what could not be told, never a guess.

    `compression` is what the file's header says, the rest was measured in the pixels. `traces` is
    the quality, as libjpeg counts, of the coarsest JPEG compression that they show. `noise` is its
    σ in each channel, as far as compression left it. `enlarged` is true where the finest detail is
    missing, as in a picture that was enlarged before, or one that is blurred.
    """

    size: tuple[int, int]  # (width, height) in pixels
    compression: Compression | None = None
    kind: Kind | None = None
    traces: int | None = None  # 1–100
    blockiness: float | None = None  # of 8×8 pixels: differences at borders ÷ others, 1 for none
    noise: float | None = None  # in units of 255
    enlarged: bool | None = None

    @property
    def quality(self) -> int | None:
        """The lowest quality that header or pixels speak of, 1–100; None if neither does.

        This and `noise` say how far the picture is from the clean ones that most networks are for.
        """
        header = self.compression.quality if self.compression else None
        known = [quality for quality in (header, self.traces) if quality is not None]
        return min(known, default=None)

    @property
    def compressed(self) -> bool:
        """Whether anything says that it was compressed with loss, now or before."""
        lossy = bool(self.compression and self.compression.lossy)
        return lossy or self.traces is not None or self.blocky

    @property
    def blocky(self) -> bool:
        """Whether it has the borders of blocks that compression leaves."""
        return self.blockiness is not None and self.blockiness > BLOCKY


def inspection_of(pages: Pages) -> Inspection:
    """What the first page or frame is like, by its pixels and its file's compression.

    Of a picture with transparency only visible parts are looked at. One with a side below 16 pixels
    is too small to tell anything, below 64 to tell whether it was enlarged, and one of fewer than
    about 128×128 too small for blockiness and for noise of a σ below 4, of fewer than about 48×48
    for any noise.
    """
    image, compression = pages.images[0], pages.compression
    colours = _sample(image)
    if not len(colours):
        return Inspection(image.size, compression)
    luma = colours @ LUMA if colours.shape[3] == 3 else colours[:, :, :, 0]
    traces = jpeg_traces(luma)
    found = Inspection(
        image.size,
        compression,
        traces=traces.quality,
        blockiness=traces.blockiness,
        enlarged=_enlarged(luma),
    )
    found = replace(found, kind=_kind(colours, compressed=found.compressed))
    green = colours.shape[3] // 2  # or the only one
    offset = traces.offset if found.compressed else (0, 0)
    channel = _from_block(colours[:, :, :, green], offset)
    if len(_blocks(channel, 8)) >= FEWEST:
        return replace(found, noise=_noise(channel, found))
    if math.prod(image.size) <= SMALL:
        channel = _values(image)[None, :, :, green]
    return replace(found, noise=_noise_of_small(channel, found))


def _from_block(tiles: Tiles, offset: tuple[int, int]) -> Tiles:
    """Tiles N×S×S without what is before the first block of 8×8 pixels and behind the last."""
    rows, columns = (slice(start, start + (tiles.shape[1] - start) // 8 * 8) for start in offset)
    return tiles[:, rows, columns]


def _sample(image: Image) -> Tiles:
    """Tiles N×S×S×C of the picture, in units of 255, at multiples of 8 pixels: at most MOST_TILES.

    They are drawn at random, the same at every call. Tiles with hidden pixels are taken only where
    there are no others; these pixels then get the colours around them.
    """
    sides = [side for side in SIDES if side <= min(image.size)]
    if not sides:
        return np.zeros((0, 0, 0, 1), np.float32)
    side = sides[0]
    rows, columns = _visible_tiles(image, side)
    chosen = np.random.default_rng(0).permutation(len(rows))[:MOST_TILES]
    corners = zip(rows[chosen] * side, columns[chosen] * side, strict=True)
    tiles = [_values(image, np.s_[y : y + side, x : x + side]) for y, x in corners]
    return np.array(tiles, np.float32).reshape(-1, side, side, image.pixels.shape[2])


def _values(image: Image, here: tuple[slice, slice] = np.s_[:, :]) -> Floats:
    """A part of the picture H×W×C, or all of it, in units of 255, hidden pixels filled."""
    pixels: Pixels = image.pixels[here]
    if image.alpha is not None:
        pixels = fill_transparent(pixels, image.alpha[here])
    values: Floats = pixels.astype(np.float32) * (255 / np.iinfo(pixels.dtype).max)
    return values


def _visible_tiles(image: Image, side: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns, counted in tiles, of those that are opaque, or else of those not hidden."""
    width, height = image.size
    rows, columns = height // side, width // side
    wanted = np.ones((rows, columns), bool)
    if image.alpha is not None:
        alpha = image.alpha[: rows * side, : columns * side].reshape(rows, side, columns, side)
        opaque = alpha.min((1, 3)) == np.iinfo(alpha.dtype).max
        wanted = opaque if opaque.any() else alpha.max((1, 3)) > 0
    found = np.nonzero(wanted)
    return found[0], found[1]


def _enlarged(luma: Tiles) -> bool | None:
    """Whether the finest detail is missing, along rows and columns: enlarged before, or blurred.

    Spectra of pictures fall about as 1/f² (Field, "Relations between the statistics of natural
    images and the response properties of cortical cells", JOSA A 1987). Here the power times f² of
    the finest detail, just below Nyquist's frequency, is compared with where it is largest. None in
    between, and where there is no detail or tiles are too small.
    """
    side = luma.shape[1]
    if side < SIDES[0]:
        return None
    window = np.hanning(side + 2)[1:-1].astype(np.float32)
    shares = []
    for lines in (luma, luma.transpose(0, 2, 1)):
        centred = (lines - lines.mean(2, keepdims=True)) * window
        power = (
            np.square(np.abs(np.fft.rfft(centred, axis=2))).mean((0, 1)) / np.square(window).sum()
        )
        weighted = np.maximum(power - ROUNDING, 0) * np.arange(side // 2 + 1) ** 2
        largest = weighted[2 : FINEST.start].max()
        if largest > DETAIL:
            shares.append(weighted[FINEST].mean() / largest)
    share = max(shares, default=None)
    if share is None or EMPTY < share < FULL:
        return None
    return bool(share <= EMPTY)


def _kind(colours: Tiles, *, compressed: bool) -> Kind:
    """A drawing has many neighbours of one colour, and few shades beside its edges.

    Compression makes shades around edges.
    """
    differences = np.abs(np.diff(colours, axis=2))
    steps = differences[:, :, :, 0]
    for channel in range(1, differences.shape[3]):
        steps = np.maximum(steps, differences[:, :, :, channel])
    strong = (steps > STRONG).mean()
    shades = ((steps > SLIGHT) & (steps <= STRONG)).mean()
    flat = (steps == 0).mean()
    most = (SHADES_LOSSY if compressed else SHADES) * flat * strong
    return "drawing" if flat > FLAT and shades < most else "photograph"


def _noise(channel: Tiles, found: Inspection) -> float | None:
    """σ of the noise in tiles of one channel, whole blocks of 8×8 pixels, in units of 255.

    It is measured in the diagonal Haar coefficients, as by Donoho and Johnstone ("Ideal spatial
    adaptation by wavelet shrinkage", Biometrika 1994), of the flattest blocks alone. Which are flat
    is decided by the other coefficients, which are independent of these if there is only noise, so
    that the choice does not favour blocks with little of it. Compression and enlarging remove the
    finest coefficients first, so there those of the next scale count if they are larger.
    """
    usable = _usable(_blocks(channel, 8), found, FEWEST // 4)
    fine = _haar(channel)
    flattest = max(FEWEST_FLAT, int(FLATTEST * usable.sum()))
    noise = _deviation([_blocks(band, 4)[usable] for band in fine], flattest)
    if found.compressed or found.enlarged:
        coarse = [_blocks(band, 2)[usable] for band in _haar(fine[0])]
        flattest = max(FEWEST_FLAT, int(FLATTEST_COARSE * usable.sum()))
        noise = max(noise, _deviation(coarse, flattest))
    hidden = found.quality is not None and found.quality < HIDING and noise < VISIBLE
    return None if hidden else noise


def _noise_of_small(channel: Tiles, found: Inspection) -> float | None:
    """The same in N×H×W of a small picture, where a block may begin at every pixel.

    None where it may be detail, which flat blocks of a small picture are not free of, and where
    there are too few of them.
    """
    blocks = sliding_window_view(channel, (SMALL_BLOCK, SMALL_BLOCK), (1, 2))
    blocks = blocks.reshape(-1, SMALL_BLOCK, SMALL_BLOCK)
    if len(blocks) < FEWEST_SMALL:
        return None
    usable = _usable(blocks.reshape(len(blocks), -1), found, FEWEST_SMALL // 4)
    bands = [band.reshape(len(band), -1) for band in _haar(blocks[usable])]
    noise = _deviation(bands, FLATTEST_SMALL)
    return noise if noise >= VISIBLE_SMALL else None


def _usable(blocks: Floats, found: Inspection, fewest: int) -> NDArray[np.bool_]:
    """Which blocks of pixels noise can be measured in: none is clipped there.

    In lossless photographs blocks of one value, such as borders, are left out. All blocks if fewer
    than `fewest` are left.
    """
    lowest, highest, mean = blocks.min(1), blocks.max(1), blocks.mean(1)
    usable = (lowest > 0) & (highest < 255) & (mean >= DARKEST) & (mean <= BRIGHTEST)
    if found.kind == "photograph" and not found.compressed:
        usable &= lowest < highest
    return usable if usable.sum() >= fewest else np.ones(len(blocks), bool)


def _haar(planes: Floats) -> Bands:
    """One step of the orthonormal Haar transform of N×S×S: coarse, across, down, diagonal."""
    a, b = planes[:, ::2, ::2], planes[:, ::2, 1::2]
    c, d = planes[:, 1::2, ::2], planes[:, 1::2, 1::2]
    return (a + b + c + d) / 2, (a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2


def _deviation(bands: Sequence[Floats], flattest: int) -> float:
    """The deviation of diagonal coefficients in the flattest of blocks, which are rows.

    From their mean absolute value, because the median of a few whole numbers is too coarse.
    """
    coarse, across, down, diagonal = bands
    energy = coarse.var(1) + np.square(across).mean(1) + np.square(down).mean(1)
    count = min(flattest, len(energy))
    chosen = diagonal[np.argpartition(energy, count - 1)[:count]]
    return float(np.abs(chosen).mean() * np.sqrt(np.pi / 2))


def _blocks(planes: Floats, side: int) -> Floats:
    """The blocks of side×side in planes N×H×W, as rows."""
    rows, columns = planes.shape[1] // side, planes.shape[2] // side
    blocks = planes.reshape(-1, rows, side, columns, side).transpose(0, 1, 3, 2, 4)
    return blocks.reshape(-1, side * side)

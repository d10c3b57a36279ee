"""What JPEG leaves in pixels: borders of 8×8 blocks, and coefficients that are multiples of steps.

So a picture that was saved again, as PNG or as JPEG of a higher quality, still tells what it was.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srup.images.compression import jpeg_table

Tiles = NDArray[np.float32]
Strengths = tuple[NDArray[np.float64], NDArray[np.float64]]  # of rows and columns, by offset

BLOCK = 8
SHARP = 8.0  # differences above are edges of the picture, and count no more than this
UNSEEN = 0.02  # added to all differences, so that flat pictures have no grid
FEWEST_LEVELS = 16  # of luma in a picture that may have been compressed
FEWEST_BLOCKS = 256  # from which blockiness can be told
OFFSET_SEEN = 1.02  # a grid that stands out by less is not looked at
# Frequencies (down, across) whose steps are estimated: the lowest ones, which are rarely all zero.
FREQUENCIES = [
    (down, across)
    for down, across in itertools.product(range(6), repeat=2)
    if 0 < down + across < 6
]
LARGEST_STEP = 128
LARGEST = 400  # coefficients beyond are left out: they are few
BINS = 2  # of a histogram of coefficients, for each whole number
# Deviations of coefficients from multiples of the step: rounding to 8 bits alone, then also saving
# once more at a high quality.
DEVIATIONS = (0.4, 0.7, 1.2, 2.0)
OUTLIERS = 0.05  # share of coefficients that may have any value, as where pixels were clipped
CLEAR = 20.0  # log-likelihood ratio from which a step is believed
COMPARABLE = 0.2  # likelihood of another quality of the same grid, if it is to count
ENOUGH = 8  # frequencies with a clear step that make an estimate
ENOUGH_TILES = 96  # whose coefficients are looked at


@dataclass(frozen=True)
class JpegTraces:
    """What was found.

    `blockiness` is how much larger differences across the borders of a grid of 8×8 pixels are than
    the next largest, of rows and columns the lower: 1 for none, None if there are too few blocks to
    tell. `offset` is the first row and column of that grid, 0–7. `quality` is libjpeg's for the
    coarsest compression that left clear traces, None where there are none.
    """

    blockiness: float | None
    offset: tuple[int, int]
    quality: int | None


def jpeg_traces(luma: Tiles) -> JpegTraces:
    """Traces of JPEG in tiles N×S×S of luma in 0–255.

    S is a multiple of 8 from 16 on, and all tiles lie at multiples of 8 of the picture, so that a
    grid has the same offset in all of them.
    """
    strengths = _grid_strengths(luma)
    qualities = []
    # Pictures of two or three values have few different coefficients, which pass for multiples.
    if np.count_nonzero(np.bincount(luma.astype(np.uint8).ravel())) >= FEWEST_LEVELS:
        for offset in _offsets(strengths):
            qualities += _qualities(luma[:ENOUGH_TILES], offset)
    blockiness = None
    if luma.size >= FEWEST_BLOCKS * BLOCK**2:
        blockiness = min(_prominence(strength) for strength in strengths)
    down, across = (int(strength.argmax()) for strength in strengths)
    return JpegTraces(blockiness, (down, across), min(qualities, default=None))


def _grid_strengths(luma: Tiles) -> Strengths:
    """For each offset 0–7 of a grid, rows and columns: the mean difference at its borders.

    The differences are a-b-c+d of four neighbours, which is 0 on slopes and on straight edges along
    the axes (Fan and de Queiroz, "Identification of bitmap compression history: JPEG detection and
    quantizer estimation", IEEE TIP 2003, compare them so).
    """
    across = luma[:, :, 1:] - luma[:, :, :-1]
    mixed = np.abs(across[:, 1:] - across[:, :-1])
    np.minimum(mixed, SHARP, out=mixed)
    return _strengths(mixed.mean((0, 2))), _strengths(mixed.mean((0, 1)))


def _strengths(differences: NDArray[np.float32]) -> NDArray[np.float64]:
    """For each offset, the mean of every eighth difference, and a little that hides the smallest.

    The first difference lies between pixels 0 and 1, which is the border of a grid of offset 1.
    """
    means = [differences[(offset - 1) % BLOCK :: BLOCK].mean() for offset in range(BLOCK)]
    return np.array(means, np.float64) + UNSEEN


def _prominence(strength: NDArray[np.float64]) -> float:
    """The largest of eight ÷ the second; of an enlarged picture several offsets are strong.

    1 where nothing differs inside of blocks: that is a mosaic, or enlarged without smoothing.
    """
    second, largest = np.sort(strength)[-2:]
    return float(largest / second) if second > 2 * UNSEEN else 1.0


def _offsets(strengths: Strengths) -> list[tuple[int, int]]:
    """The offsets (rows, columns) of grids worth a closer look: 0, and the strongest besides.

    Two grids are in a picture that was cropped between being compressed twice.
    """
    candidates = []
    for strength in strengths:
        other = int(strength[1:].argmax()) + 1
        seen = strength[other] > OFFSET_SEEN * np.median(strength)
        candidates.append((0, other) if seen else (0,))
    rows, columns = candidates
    return [(row, column) for row in rows for column in columns]


def _qualities(luma: Tiles, offset: tuple[int, int]) -> list[int]:
    """The qualities that the steps of coefficients on one grid speak for, at most one for each
    deviation.

    The quality is the one in whose table these steps have the nearest sum. What speaks for it must
    not be little beside what speaks for another, because with large deviations a step may be taken
    for a multiple of it.
    """
    counts = _histograms(luma, offset)
    steps_by_quality = _tables()
    found: dict[int, float] = {}  # quality → likelihood
    for gains in _gains():
        # Not by BLAS, whose threads take longer to wake up than this takes.
        likelihoods = np.einsum("fb,bs->fs", counts, gains)  # frequencies × steps
        clear = likelihoods.max(1) > CLEAR
        if clear.sum() >= ENOUGH:
            steps = (likelihoods.argmax(1) + 1)[clear].sum()
            quality = int(np.abs(steps_by_quality[:, clear].sum(1) - steps).argmin()) + 1
            found[quality] = float(likelihoods.max(1)[clear].sum())
    least = COMPARABLE * max(found.values(), default=0.0)
    return [quality for quality, likelihood in found.items() if likelihood > least]


def _histograms(luma: Tiles, offset: tuple[int, int]) -> NDArray[np.float32]:
    """How many DCT coefficients have each size, for each of `FREQUENCIES`."""
    coefficients = np.abs(_coefficients(luma, offset)) * BINS
    bins = LARGEST * BINS
    rows = []
    for down, across in FREQUENCIES:
        sizes = coefficients[:, down, across].astype(np.int32)
        rows.append(np.bincount(np.minimum(sizes, bins), minlength=bins + 1)[:bins])
    return np.array(rows, np.float32)


def _coefficients(luma: Tiles, offset: tuple[int, int]) -> NDArray[np.float32]:
    """DCT coefficients of the whole blocks of a grid, as JPEG defines them: blocks×6×6."""
    down, across = offset
    tiles = luma[:, down:, across:]
    rows, columns = tiles.shape[1] // BLOCK, tiles.shape[2] // BLOCK
    tiles = tiles[:, : rows * BLOCK, : columns * BLOCK]
    blocks = tiles.reshape(-1, rows, BLOCK, columns, BLOCK).transpose(0, 1, 3, 2, 4)
    basis = _cosines()
    return np.asarray(basis @ blocks.reshape(-1, BLOCK, BLOCK) @ basis.T)


@functools.cache
def _cosines() -> NDArray[np.float32]:
    """The first six basis functions of the DCT-II of eight samples, of norm 1: 6×8."""
    frequency, sample = np.mgrid[:6, :BLOCK]
    basis = np.cos(np.pi * (2 * sample + 1) * frequency / (2 * BLOCK)) / 2
    basis[0] /= np.sqrt(2)
    return np.asarray(basis, np.float32)


@functools.cache
def _tables() -> NDArray[np.int64]:
    """libjpeg's steps for each quality 1–100 and each of `FREQUENCIES`."""
    tables = np.array([jpeg_table(quality) for quality in range(1, 101)])
    down, across = np.array(FREQUENCIES).T
    return np.asarray(tables[:, down, across])


@functools.cache
def _gains() -> list[NDArray[np.float32]]:
    """What a coefficient of each size says for each step, for each of `DEVIATIONS`: bins×steps.

    It is the logarithm of how likely the size is if coefficients are multiples of the step, apart
    from a normal deviation, over how likely it is if they are not. Coefficients that round to 0 say
    nothing: natural pictures are full of them. Of a step and its half, which fits the same
    coefficients, the step is the likelier one.
    """
    sizes = (np.arange(LARGEST * BINS)[:, None] + 0.5) / BINS
    steps = np.arange(1, LARGEST_STEP + 1)
    multiples = np.rint(sizes / steps)
    squares = (sizes - multiples * steps) ** 2
    silent = (multiples == 0) | (sizes < 1)
    gains = []
    for deviation in DEVIATIONS:
        density = np.exp(-squares / (2 * deviation**2)) / (np.sqrt(2 * np.pi) * deviation)
        gain = np.log((1 - OUTLIERS) * steps * density + OUTLIERS)
        gains.append(np.where(silent, 0, gain).astype(np.float32))
    return gains

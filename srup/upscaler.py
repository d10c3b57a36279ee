"""One image from end to end: `load` makes an `Upscaler`, and an `Upscaler` makes images larger."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor, nn

from srup import costs, engines, memory, registry
from srup.canvas import canvas
from srup.engines.pytorch import full_precision, pick_device
from srup.ensemble import ORIENTATIONS, self_ensemble
from srup.errors import UnsoundResult, UsageError
from srup.images import Image, Pages, Pixels, bled, from_pillow, read_image, to_pillow
from srup.networks.base import Network
from srup.networks.stages import Stage, fitted, whole
from srup.registry import Model
from srup.resize import imresize
from srup.sizes import Target
from srup.tiling import MEMORY, SMALLEST, cropped, tiled, windows
from srup.weights import Progress as DownloadProgress

log = logging.getLogger(__name__)

Progress = Callable[[float, float], None]
Change = Callable[[Tensor], Tensor]
Size = tuple[int, int] | Target

TILINGS = ("exact", "acs")
LARGEST = 384  # pixels a side of a window on a processor: speed is flat from about 192 on, what is held back grows
WORKSPACE = 2 << 30  # bytes that a stage may take on a processor
BLOCK = 64  # pixels a side
BAND = 256  # rows or columns that are resized at a time
DARK = 1 / 16  # of white: what is brighter on average cannot have become black
ADVICE = "nothing was written; take another network with -m, or another device with -d cpu"
MAPS = 8  # like the largest one: about what a stage holds at once, with what the allocator keeps


@dataclass(frozen=True)
class Upscaler:
    """Networks to run one after the other, and how. Calling it enlarges an image `scale` times, or to `size`."""

    models: tuple[Model, ...]
    networks: tuple[Network, ...]
    scale: float
    device: torch.device
    engine: str = "pytorch"
    tile: int | str = "auto"
    tiling: str = "exact"
    self_ensemble: bool = False
    spare: int = MEMORY  # bytes of maps and results that stay in memory; what is beyond lies on disk

    @property
    def network(self) -> nn.Module:
        """The network, N×3×H×W RGB in [0, 1] at both ends, unclipped; the last one where several are chained."""
        return self.networks[-1]

    @property
    def native(self) -> int:
        """How many times the networks enlarge together; 0 means any."""
        return math.prod(model.scale for model in self.models)

    @overload
    def __call__(self, image: Pages, *, size: Size | None = ..., progress: Progress | None = ...) -> Pages: ...
    @overload
    def __call__(self, image: Image, *, size: Size | None = ..., progress: Progress | None = ...) -> Image: ...
    @overload
    def __call__(
        self, image: str | Path | Pillow.Image, *, size: Size | None = ..., progress: Progress | None = ...
    ) -> Pillow.Image: ...
    @overload
    def __call__(
        self, image: NDArray[np.uint8], *, size: Size | None = ..., progress: Progress | None = ...
    ) -> NDArray[np.uint8]: ...
    @overload
    def __call__(
        self, image: NDArray[np.uint16], *, size: Size | None = ..., progress: Progress | None = ...
    ) -> NDArray[np.uint16]: ...

    def __call__(
        self,
        image: Pages | Image | str | Path | Pillow.Image | Pixels,
        *,
        size: Size | None = None,
        progress: Progress | None = None,
    ) -> Pages | Image | Pillow.Image | Pixels:
        """The enlarged image, in kind: `Pages` for `Pages`, an `Image` for an `Image`, an array (H×W or H×W×C, uint8 or uint16)
        for an array, else a Pillow image.

        `size` is (width, height), or a Target that decides for each page; by default `round(width·scale)` × `round(height·scale)`.
        Raises ReadError, UnsoundResult, OutOfMemory.
        """
        if isinstance(image, Pages):
            return replace(image, images=tuple(self._each(image.images, size, progress)))
        if isinstance(image, Image):
            return self._enlarge(image, size if isinstance(size, Target) else _target(size, self.scale), progress)
        if isinstance(image, np.ndarray):
            return self._array(image, size, progress)
        own = from_pillow(image) if isinstance(image, Pillow.Image) else read_image(image)
        return to_pillow(self(own, size=size, progress=progress))

    def _each(self, images: Sequence[Image], size: Size | None, progress: Progress | None) -> Iterator[Image]:
        """Each page enlarged; together they stay within `spare`."""
        held = 0
        for number, image in enumerate(images):
            left = replace(self, spare=max(self.spare - held, 0))
            enlarged = left(image, size=size, progress=_share(progress, number, len(images)))
            held += enlarged.nbytes
            yield enlarged

    def _array(self, image: Pixels, size: Size | None, progress: Progress | None) -> Pixels:
        known = image.dtype in (np.uint8, np.uint16) and image.ndim in (2, 3)
        if not known or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
            raise UsageError(f"an array must be uint8 or uint16, H×W or H×W×1, 3 or 4, not {image.dtype} {image.shape}")
        planes = image.reshape(*image.shape[:2], -1)
        alpha = planes[:, :, 3] if planes.shape[2] == 4 else None
        enlarged = self(Image(planes[:, :, :3], alpha), size=size, progress=progress)
        result = enlarged.pixels if enlarged.alpha is None else np.dstack([enlarged.pixels, enlarged.alpha])
        return result.reshape(*result.shape[:2], *image.shape[2:])

    def _enlarge(self, image: Image, target: Target, progress: Progress | None) -> Image:
        size, final = target.enlarged(image.size), target.size(image.size)
        pixels = image.pixels if image.alpha is None else bled(image.pixels, image.alpha)
        try:
            enlarged = self._sound(pixels, size, progress)
        except UnsoundResult as error:
            log.warning("%s: once more in full precision", error)
            with full_precision():
                enlarged = self._sound(pixels, size, progress)
        alpha = None
        if image.alpha is not None:
            levels = np.float32(np.iinfo(image.alpha.dtype).max)
            alpha = _resized((image.alpha / levels).astype(np.float32)[:, :, None], size, image.alpha.dtype, self.spare)[:, :, 0]
        return image.with_pixels(_cropped(enlarged, final), None if alpha is None else _cropped(alpha, final))

    def _sound(self, pixels: Pixels, size: tuple[int, int], progress: Progress | None) -> Pixels:
        """What `colours` makes, if it is a picture. Raises UnsoundResult."""
        enlarged = self.colours(pixels, size, progress)
        check_not_black(pixels, enlarged)
        return enlarged

    def colours(self, pixels: Pixels, size: tuple[int, int], progress: Progress | None) -> Pixels:
        """Pixels H×W×C (C = 1 or 3) enlarged to `size`, of the same depth. Raises UnsoundResult for NaN."""
        height, width, channels = pixels.shape
        levels = np.iinfo(pixels.dtype).max
        # a network of any scale restores what is of the right size already
        start = pixels if self.native else imresize(pixels.astype(np.float32), size=size).clip(0, levels)
        exact = not self.native or size == (width * self.native, height * self.native)
        colours = _tensor(start)
        for index, network in enumerate(self.networks):
            last = index == len(self.networks) - 1
            begin = partial(_floats, levels=levels) if index == 0 else None
            due = ((_grey, channels == 1), (partial(_whole, levels=levels), exact))
            finish = [function for function, wanted in due if last and wanted]
            colours = self._run(network, colours, begin, finish, _share(progress, index, len(self.networks)))
        result = _array_of(colours, pixels.dtype if exact else None)
        return result if exact else _resized(result, size, pixels.dtype, self.spare)

    def _run(
        self, network: Network, image: Tensor, begin: Change | None, finish: Sequence[Change], progress: Progress | None
    ) -> Tensor:
        """The network over an image; `begin` is applied to the image and each of `finish` to the result, window by window."""
        if not self.self_ensemble:
            return self._tile(network, image, begin, finish, progress)
        shares = iter(_share(progress, turn, len(ORIENTATIONS)) for turn in range(len(ORIENTATIONS)))
        result = self_ensemble(lambda turned: self._tile(network, turned, begin, [], next(shares)), image)
        for function in finish:
            result = function(result)
        return result

    def _tile(
        self, network: Network, image: Tensor, begin: Change | None, finish: Sequence[Change], progress: Progress | None
    ) -> Tensor:
        """The network over an image in this upscaler's windows."""
        own = network.stages()
        own[-1] = _followed(own[-1], [_finite, *finish])
        own[0] = _preceded(own[0], begin) if begin else own[0]
        stages = engines.find(self.engine)(own, device=self.device)
        size = window_size(network, self.tile, self.device)
        log.info("%s: %s tiling, windows of %s", type(network).__name__, self.tiling, f"{size} px" if size else "the whole image")
        if self.tiling == "acs":

            def enlarge(crop: Tensor) -> Tensor:
                return fitted(network, crop, lambda padded: whole(stages, padded))

            return cropped(enlarge, image, size=size, multiple=network.multiple, progress=progress)
        parked = min(memory.available() // 4, self.spare)
        workers = window_workers(self.device)
        return fitted(network, image, lambda padded: tiled(stages, padded, size, memory=parked, workers=workers, progress=progress))


def load(
    name: str = registry.DEFAULT,
    *,
    scale: float = 4,
    weights: str | Path | None = None,
    device: str = "auto",
    engine: str = "pytorch",
    tile: int | str = "auto",
    tiling: str = "exact",
    self_ensemble: bool = False,
    progress: DownloadProgress | None = None,
) -> Upscaler:
    """An Upscaler for `scale`, its weights downloaded and verified if need be.

    A fixed-scale network asked for another scale runs the least chain of its own scales that suffices, and the result is resized
    down. `weights` is a checkpoint of one's own, for a network that needs no chain. `tile` is "auto", "none" or a window's side in
    pixels. `self_ensemble` takes the mean over eight orientations: eight times the work, about 0.1 dB. Raises UnknownModel,
    ScaleError, EngineUnavailable, WeightsError.
    """
    if tiling not in TILINGS:
        raise UsageError(f"tiling {tiling!r} is neither of {' and '.join(TILINGS)}")
    if not (tile in ("auto", "none") or (isinstance(tile, int) and tile >= 1)):
        raise UsageError(f"tile {tile!r} is neither auto, none nor a number of pixels")
    models = registry.route(name, scale, own_weights=weights is not None)
    if weights is not None and len(models) > 1:
        raise UsageError(f"--weights holds one network, and ×{scale:g} takes {len(models)} with {name}; ask for a smaller scale")
    where = pick_device(device)
    networks = tuple(_network(model, weights, progress).to(where) for model in models)
    return Upscaler(models, networks, scale, where, engine, tile, tiling, self_ensemble)


def untrained(
    models: tuple[Model, ...],
    *,
    scale: float,
    device: str,
    tile: int | str,
    tiling: str,
    self_ensemble: bool,
    engine: str = "pytorch",
) -> Upscaler:
    """An Upscaler that takes as long and as much as a loaded one, for forecasts: nothing is read or downloaded."""
    where = pick_device(device)
    networks = tuple(registry.build(model).to(where) for model in models)
    return Upscaler(models, networks, scale, where, engine, tile, tiling, self_ensemble)


def _network(model: Model, weights: str | Path | None, progress: DownloadProgress | None) -> Network:
    path = weights or registry.weights_file(model, progress=progress)
    return registry.load_weights(registry.build(model), path)


def window_size(network: Network, tile: int | str, device: torch.device) -> int | None:
    """The side of a window in pixels: as told, or the largest that a share of the free memory allows; None for one window."""
    if tile == "none":
        return None
    if isinstance(tile, int):
        return tile
    share = torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else min(memory.available() // 8, WORKSPACE)
    side = math.isqrt(int(share / window_workers(device) / (costs.largest_map(network) * 4 * MAPS))) // 32 * 32
    return max(SMALLEST, side if device.type == "cuda" else min(side, LARGEST))


def window_workers(device: torch.device) -> int:
    """How many windows are computed at a time: on a processor, threads over windows beat threads inside the operators."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def tensor_of(pixels: NDArray[Any]) -> Tensor:
    """Pixels H×W×C (C = 1 or 3), 0–255 or as many as their type holds → 1×3×H×W in [0, 1], channels last."""
    return _floats(_tensor(pixels), levels=np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 255)


def _tensor(pixels: NDArray[Any]) -> Tensor:
    """Pixels H×W×C → 1×C×H×W, the same values; uint16 as the int16 of the same bits, which torch can do more with.

    The batch axis comes before the permutation: after it, its stride would not be that of channels last, and PyTorch would
    convolve the whole image by other sums than its windows.
    """
    values = np.ascontiguousarray(pixels)
    values = values.view(np.int16) if values.dtype == np.uint16 else values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an array of a file is read-only, and nothing is written to it
        return torch.from_numpy(values)[None].permute(0, 3, 1, 2)


def _array_of(image: Tensor, dtype: np.dtype[Any] | None) -> NDArray[Any]:
    """1×C×H×W → H×W×C, whole numbers as `dtype`."""
    values: NDArray[Any] = image[0].permute(1, 2, 0).numpy()
    return values if dtype is None else values.view(dtype)


def _floats(image: Tensor, *, levels: int) -> Tensor:
    """N×C×H×W (C = 1 or 3) in 0–levels → N×3×H×W in [0, 1], channels last."""
    values = image.int().bitwise_and_(0xFFFF) if image.dtype == torch.int16 else image
    colours = values.to(torch.float32).expand(-1, 3, -1, -1)
    return colours.contiguous(memory_format=torch.channels_last) / levels


def _finite(image: Tensor) -> Tensor:
    if not torch.isfinite(image.sum()):
        raise UnsoundResult(f"the network made numbers of it that are none (NaN or infinite); {ADVICE}")
    return image


def _grey(image: Tensor) -> Tensor:
    return image.mean(1, keepdim=True)


def _whole(image: Tensor, *, levels: int) -> Tensor:
    """[0, 1] → whole numbers up to `levels`."""
    values = image.mul(levels).round_().clamp_(0, levels)
    return values.byte() if levels == 255 else values.int().to(torch.int16)


def to_bytes(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """An array in [0, 1] as bytes, rounded."""
    return np.rint(image * 255).clip(0, 255).astype(np.uint8)


def _resized(image: NDArray[np.float32], size: tuple[int, int], dtype: np.dtype[Any], spare: int) -> Pixels:
    """An image H×W×C in [0, 1] at another size as whole numbers: in bands, so that it is never there twice as floats."""
    _, width, channels = image.shape
    levels = np.iinfo(dtype).max
    upright = _array_of(canvas((1, channels, size[1], width), torch.float32, spare=spare // 2).tensor, None)
    for left in range(0, width, BAND):
        band = image[:, left : left + BAND]
        upright[:, left : left + BAND] = imresize(band, size=(band.shape[1], size[1]))
    kind = torch.uint8 if dtype == np.uint8 else torch.int16
    result = _array_of(canvas((1, channels, size[1], size[0]), kind, spare=spare // 2).tensor, dtype)
    for top in range(0, size[1], BAND):
        band = imresize(upright[top : top + BAND], size=(size[0], min(BAND, size[1] - top)))
        result[top : top + BAND] = np.rint(band * np.float32(levels)).clip(0, levels)
    return result


def check_not_black(before: Pixels, after: Pixels) -> None:
    """Raises UnsoundResult if a part of the result is black throughout where the image (H×W×C both) is not."""
    rows, columns = (Fraction(after.shape[axis], before.shape[axis]) for axis in (0, 1))
    dark = DARK * int(np.iinfo(before.dtype).max)
    for part in windows(before.shape[0], before.shape[1], BLOCK):
        top, bottom = math.ceil(part.top * rows), int(part.bottom * rows)
        left, right = math.ceil(part.left * columns), int(part.right * columns)
        there = after[top:bottom, left:right]
        if there.size and not there.any() and before[part.top : part.bottom, part.left : part.right].mean() > dark:
            raise UnsoundResult(f"the network made black of what is not (at {left}, {top}); {ADVICE}")


def _cropped(plane: Pixels, size: tuple[int, int]) -> Pixels:
    """The middle of H×W or H×W×C."""
    width, height = size
    top, left = (plane.shape[0] - height) // 2, (plane.shape[1] - width) // 2
    return plane[top : top + height, left : left + width]


def _target(size: tuple[int, int] | None, scale: float) -> Target:
    return Target(width=size[0], height=size[1], fit="stretch") if size else Target(scale)


def _followed(stage: Stage, functions: Sequence[Change]) -> Stage:
    """A stage whose result goes through `functions`, pixel by pixel."""

    def run(state: list[Tensor], context: Tensor | None) -> list[Tensor]:
        (result,) = stage.run(state, context)
        for function in functions:
            result = function(result)
        return [result]

    return replace(stage, run=run)


def _preceded(stage: Stage, function: Change) -> Stage:
    """A first stage whose image goes through `function`, pixel by pixel."""
    return replace(stage, run=lambda state, context: stage.run([function(image) for image in state], context))


def _share(progress: Progress | None, index: int, count: int) -> Progress | None:
    """Progress of one network as progress of all."""
    return progress and (lambda done, total: progress(index + done / total, count))

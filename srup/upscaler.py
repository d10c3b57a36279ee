"""One image from end to end: `load` makes an `Upscaler`, and an `Upscaler` makes images larger."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor, nn

from srup import costs, engines, memory, registry
from srup.engines.pytorch import pick_device
from srup.ensemble import ORIENTATIONS, self_ensemble
from srup.errors import UsageError
from srup.images import Image, bled, from_pillow, read_image, to_pillow
from srup.networks.stages import Network, Stage, fitted, whole
from srup.registry import Model
from srup.resize import imresize
from srup.sizes import Target
from srup.tiling import MEMORY, SMALLEST, cropped, tiled
from srup.weights import Progress as DownloadProgress

log = logging.getLogger(__name__)

Progress = Callable[[float, float], None]
Finish = Callable[[Tensor], Tensor]

TILINGS = ("exact", "acs")
LARGEST = 384  # pixels a side of a window on a processor: speed is flat from about 192 on, what is held back grows
WORKSPACE = 2 << 30  # bytes that a stage may take on a processor
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

    @property
    def network(self) -> nn.Module:
        """The network, N×3×H×W RGB in [0, 1] at both ends, unclipped; the last one where several are chained."""
        return self.networks[-1]

    @property
    def native(self) -> int:
        """How many times the networks enlarge together; 0 means any."""
        return math.prod(model.scale for model in self.models)

    @overload
    def __call__(self, image: Image, *, size: tuple[int, int] | None = ..., progress: Progress | None = ...) -> Image: ...
    @overload
    def __call__(
        self, image: str | Path | Pillow.Image, *, size: tuple[int, int] | None = ..., progress: Progress | None = ...
    ) -> Pillow.Image: ...
    @overload
    def __call__(
        self, image: NDArray[np.uint8], *, size: tuple[int, int] | None = ..., progress: Progress | None = ...
    ) -> NDArray[np.uint8]: ...

    def __call__(
        self,
        image: Image | str | Path | Pillow.Image | NDArray[np.uint8],
        *,
        size: tuple[int, int] | None = None,
        progress: Progress | None = None,
    ) -> Image | Pillow.Image | NDArray[np.uint8]:
        """The enlarged image, in kind: an `Image` for an `Image`, an array (H×W or H×W×C, uint8) for an array, else a Pillow image.

        `size` is (width, height), by default `round(width·scale)` × `round(height·scale)`. Raises ReadError, OutOfMemory.
        """
        if isinstance(image, Image):
            return self._enlarge(image, size or Target(self.scale).size(image.size), progress)
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
                raise UsageError(f"an array must be uint8, H×W or H×W×1, 3 or 4, not {image.dtype} {image.shape}")
            flat = image.squeeze(2) if image.ndim == 3 and image.shape[2] == 1 else image
            enlarged = np.asarray(self(Pillow.fromarray(np.ascontiguousarray(flat)), size=size, progress=progress))
            return enlarged.reshape(*enlarged.shape[:2], *image.shape[2:])
        own = from_pillow(image) if isinstance(image, Pillow.Image) else read_image(image)
        return to_pillow(self(own, size=size, progress=progress))

    def _enlarge(self, image: Image, size: tuple[int, int], progress: Progress | None) -> Image:
        pixels = image.pixels if image.alpha is None else bled(image.pixels, image.alpha)
        alpha = None if image.alpha is None else imresize(image.alpha, size=size)
        return image.with_pixels(self._colours(pixels, size, progress), alpha)

    def _colours(self, pixels: NDArray[np.uint8], size: tuple[int, int], progress: Progress | None) -> NDArray[np.uint8]:
        """Pixels H×W×C (C = 1 or 3) enlarged to `size`."""
        height, width, channels = pixels.shape
        if not self.native:  # such a network restores what is already of the size asked for
            pixels = imresize(pixels.astype(np.float32), size=size).clip(0, 255)
        exact = not self.native or size == (width * self.native, height * self.native)
        colours = tensor_of(pixels)
        for index, network in enumerate(self.networks):
            last = index == len(self.networks) - 1
            finish = [function for function, due in ((_grey, channels == 1), (_bytes, exact)) if last and due]
            colours = self._run(network, colours, finish, _share(progress, index, len(self.networks)))
        result: NDArray[Any] = colours[0].permute(1, 2, 0).numpy()
        return result if exact else to_bytes(imresize(result, size=size))

    def _run(self, network: Network, image: Tensor, finish: Sequence[Finish], progress: Progress | None) -> Tensor:
        """The network over an image; each of `finish` is applied to the result, window by window where it can be."""
        if not self.self_ensemble:
            return self._tile(network, image, finish, progress)
        shares = iter(_share(progress, turn, len(ORIENTATIONS)) for turn in range(len(ORIENTATIONS)))
        result = self_ensemble(lambda turned: self._tile(network, turned, [], next(shares)), image)
        for function in finish:
            result = function(result)
        return result

    def _tile(self, network: Network, image: Tensor, finish: Sequence[Finish], progress: Progress | None) -> Tensor:
        """The network over an image in this upscaler's windows."""
        *before, last = network.stages()
        stages = engines.find(self.engine)([*before, _followed(last, finish)], device=self.device)
        size = window_size(network, self.tile, self.device)
        log.info("%s: %s tiling, windows of %s", type(network).__name__, self.tiling, f"{size} px" if size else "the whole image")
        if self.tiling == "acs":

            def enlarge(crop: Tensor) -> Tensor:
                return fitted(network, crop, lambda padded: whole(stages, padded))

            return cropped(enlarge, image, size=size, multiple=network.multiple, progress=progress)
        parked = min(memory.available() // 4, MEMORY)
        return fitted(network, image, lambda padded: tiled(stages, padded, size, memory=parked, progress=progress))


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
    side = math.isqrt(int(share / (costs.largest_map(network) * 4 * MAPS))) // 32 * 32
    return max(SMALLEST, side if device.type == "cuda" else min(side, LARGEST))


def tensor_of(pixels: NDArray[Any]) -> Tensor:
    """Pixels H×W×C (C = 1 or 3) in 0–255 → 1×3×H×W in [0, 1], channels last.

    The batch axis comes before the permutation: after it, its stride would not be that of channels last, and PyTorch would
    convolve the whole image by other sums than its windows.
    """
    colours = np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(np.float32)
    return torch.from_numpy(colours)[None].permute(0, 3, 1, 2) / 255


def _grey(image: Tensor) -> Tensor:
    return image.mean(1, keepdim=True)


def _bytes(image: Tensor) -> Tensor:
    return image.mul(255).round_().clamp_(0, 255).byte()


def to_bytes(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """An array in [0, 1] as bytes, rounded."""
    return np.rint(image * 255).clip(0, 255).astype(np.uint8)


def _followed(stage: Stage, functions: Sequence[Finish]) -> Stage:
    """A stage whose result goes through `functions`, pixel by pixel."""

    def run(state: list[Tensor], context: Tensor | None) -> list[Tensor]:
        (result,) = stage.run(state, context)
        for function in functions:
            result = function(result)
        return [result]

    return replace(stage, run=run)


def _share(progress: Progress | None, index: int, count: int) -> Progress | None:
    """Progress of one network as progress of all."""
    return progress and (lambda done, total: progress(index + done / total, count))

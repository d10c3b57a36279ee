"""One image from end to end: `load` makes an `Upscaler`, and an `Upscaler` makes images larger."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image as Pillow

from srup import memory, processor
from srup.errors import EngineUnavailable, ScaleError, UnsoundResult, UsageError
from srup.files import hashed
from srup.images import (
    Image,
    Pages,
    Pixels,
    Provenance,
    fill_transparent,
    from_pillow,
    read_image,
    savable,
)
from srup.inference import engines
from srup.inference.arguments import check_kinds, check_pixels, size_of
from srup.inference.arrays import array_of, image_of
from srup.inference.canvas import MapSpec, canvas
from srup.inference.engines import ADVICE, Conversion, Program
from srup.inference.overlapping import blended, cropped
from srup.inference.run_options import (
    TILINGS,
    EngineName,
    Precision,
    RunOptions,
    Tile,
    Tiling,
)
from srup.inference.self_ensemble import ORIENTATIONS, self_ensemble
from srup.inference.target import Target
from srup.inference.tiling import MEMORY, tiled
from srup.inference.windows import SMALLEST, windows
from srup.models import registry, routing, weights
from srup.models.registry import Model
from srup.models.weights import verified
from srup.networks.stages import Array, Stage, pad_to_multiple, whole
from srup.progress import Progress, ignore, share
from srup.resize import imresize
from srup.version import __version__

log = logging.getLogger(__name__)

Size = tuple[int, int] | Target
Kind = TypeVar("Kind", np.uint8, np.uint16, np.float32, np.float64)  # of an array

# Pixels a side of a window on a processor. From 384 on little is gained: 6 % up to 512, for a tenth
# more memory (12 megapixels with `lite` through PyTorch).
LARGEST = {"pytorch": 512, "openvino": 384}  # OpenVINO holds more for each window
# With AMX convolutions are so fast that maps must come from the cache: then a window's largest map
# takes at most so many times a core's cache of level 2.
CACHES = 4
LEAST_MARGINS = 8  # the least side of a window, in margins, where the memory allows
LEAST_SHARED = 128  # pixels a side of windows that are made smaller so that no core is idle
WORKSPACE = 2 << 30  # bytes that a stage may take on a processor
BLOCK = 64  # pixels a side
BAND = 256  # rows or columns that are resized at a time
DARK = 1 / 16  # of white: what is brighter on average cannot have become black
DIGITS = 16  # of the digest by which a result names a checkpoint of the user's own
MAPS = 8  # like the largest one: about what a stage holds at once, with what the allocator keeps


@dataclass(frozen=True)
class Upscaler:
    """Networks to run one after the other, and how.

    Calling it enlarges an image `scale` times, or to `size`. `weights` names a checkpoint of the
    user's own by the beginning of its digest.
    """

    models: tuple[Model, ...]
    programs: tuple[Program, ...]
    scale: float
    tile: Tile = "auto"
    tiling: Tiling = "exact"
    precision: Precision = "auto"
    self_ensemble: bool = False
    memory_budget: int = (
        MEMORY  # bytes of maps and results that stay in memory; what is beyond lies on disk
    )
    weights: str = ""

    @property
    def network(self) -> Any:
        """The network, a `torch.nn.Module`, N×3×H×W RGB in [0, 1] at both ends, unclipped; the last
        one where several are chained.

        Raises EngineUnavailable where another engine than PyTorch runs it.
        """
        if self.programs[-1].network is None:
            raise EngineUnavailable(
                "the module is there with PyTorch alone; load it with engine='pytorch'"
            )
        return self.programs[-1].network

    @property
    def native(self) -> int:
        """How many times the networks enlarge together; 0 means any."""
        return math.prod(model.scale for model in self.models)

    @overload
    def __call__(
        self, image: Pages, *, size: Size | None = ..., progress: Progress | None = ...
    ) -> Pages: ...
    @overload
    def __call__(
        self, image: Image, *, size: Size | None = ..., progress: Progress | None = ...
    ) -> Image: ...
    @overload
    def __call__(
        self,
        image: str | Path | BinaryIO | Pillow.Image,
        *,
        size: Size | None = ...,
        progress: Progress | None = ...,
    ) -> Pillow.Image: ...
    @overload
    def __call__(
        self, image: NDArray[Kind], *, size: Size | None = ..., progress: Progress | None = ...
    ) -> NDArray[Kind]: ...

    def __call__(
        self,
        image: Pages | Image | str | Path | BinaryIO | Pillow.Image | NDArray[Any],
        *,
        size: Size | None = None,
        progress: Progress | None = None,
    ) -> Pages | Image | Pillow.Image | NDArray[Any]:
        """The enlarged image, in kind: `Pages` for `Pages`, an `Image` for an `Image`, an array of
        the same type (H×W or H×W×C; uint8, uint16, or floats in [0, 1]) for an array, else a Pillow
        image that is saved with its EXIF, XMP and density.

        `size` is (width, height), or a Target that decides for each page; by default
        `round(width·scale)` × `round(height·scale)`. Floats are computed as 16 bits per channel.
        Raises UsageError for an array or size that cannot be, ScaleError beyond 32 times,
        ReadError, UnsoundResult, OutOfMemory.
        """
        if isinstance(image, Pages):
            images = tuple(self._each(image.images, size, progress))
            return replace(image, images=images, compression=None)  # no file holds them yet
        if isinstance(image, Image):
            return self._enlarge(image, self._target(size), progress)
        if isinstance(image, np.ndarray):
            return array_of(self(image_of(image), size=size, progress=progress), image)
        return savable(self(_opened(image), size=size, progress=progress))

    # pages share one budget of memory
    def _each(
        self, images: Sequence[Image], size: Size | None, progress: Progress | None
    ) -> Iterator[Image]:
        """Each page enlarged; together they stay within `memory_budget`."""
        held = 0
        for number, image in enumerate(images):
            left = replace(self, memory_budget=max(self.memory_budget - held, 0))
            enlarged = left(image, size=size, progress=share(progress, number, len(images)))
            held += enlarged.nbytes
            yield enlarged

    def _enlarge(self, image: Image, target: Target, progress: Progress | None) -> Image:
        check_pixels(image.size)
        if target.factor(image.size) > routing.LARGEST_SCALE:
            raise ScaleError(
                f"{target.factor(image.size):g} times larger is out of range: "
                f"srup enlarges at most {routing.LARGEST_SCALE} times"
            )
        size, final = target.enlarged(image.size), target.size(image.size)
        pixels = image.pixels
        if min(pixels.strides) < 0:  # PyTorch takes no array that runs backwards
            pixels = np.ascontiguousarray(pixels)
        # colours under what is transparent would bleed into the edges
        if image.alpha is not None:
            pixels = fill_transparent(pixels, image.alpha)
        # float16 overflows where an image is extreme; full precision does not
        upscaler = self
        try:
            enlarged = self._sound(pixels, size, progress)
        except UnsoundResult as error:
            log.warning("%s: once more in full precision", error)
            upscaler = replace(self, precision="fp32")
            enlarged = upscaler._sound(pixels, size, progress)
        alpha = None
        if image.alpha is not None:  # the networks know colours alone
            alpha = _cropped(self._resized_alpha(image.alpha, size), final)
        made = upscaler._provenance(image, target.factor(image.size))
        return replace(image.with_pixels(_cropped(enlarged, final), alpha), provenance=made)

    def _provenance(self, image: Image, factor: float) -> Provenance:
        """What makes the enlarged image of `image`."""
        last, full = self.models[-1], self.in_full(image.pixels)
        files = [row.digest.partition(":")[2][:16] for row in self.models if row.is_file]
        precisions = dict.fromkeys("fp32" if full else each.precision for each in self.programs)
        return Provenance(
            __version__,
            network=routing.in_words(self.models).replace("×", "x"),
            scale=f"{factor:g}",
            precision=" ".join(precisions),
            strength=f"{last.strength:g}" if last.origin and not self.weights else "",
            source_size="{}x{}".format(*image.size),
            self_ensemble="yes" if self.self_ensemble else "",
            weights=self.weights or " ".join(files),
        )

    def _resized_alpha(self, alpha: Pixels, size: tuple[int, int]) -> Pixels:
        levels = np.float32(np.iinfo(alpha.dtype).max)
        plane = (alpha / levels).astype(np.float32)[:, :, None]
        return _resized(plane, size, alpha.dtype, self.memory_budget)[:, :, 0]

    def _target(self, size: Size | None) -> Target:
        if isinstance(size, Target):
            return size
        if size is None:
            return Target(self.scale)
        width, height = size_of(size)
        return Target(width=width, height=height, fit="stretch")

    def _sound(self, pixels: Pixels, size: tuple[int, int], progress: Progress | None) -> Pixels:
        """What `colours` makes, if it is a picture. Raises UnsoundResult."""
        enlarged = self.colours(pixels, size, progress)
        check_not_black(pixels, enlarged)
        return enlarged

    def colours(self, pixels: Pixels, size: tuple[int, int], progress: Progress | None) -> Pixels:
        """Pixels H×W×C (C = 1 or 3) enlarged to `size`, of the same depth.

        Raises UnsoundResult for NaN.
        """
        height, width, channels = pixels.shape
        levels = np.iinfo(pixels.dtype).max
        start: NDArray[Any] = pixels
        if not self.native:  # a network of any scale restores what is of the right size already
            start = imresize(pixels.astype(np.float32), size=size).clip(0, levels)
        exact = self.is_exact((width, height), size)
        colours = start[None].transpose(0, 3, 1, 2)
        full = self.in_full(pixels)
        conversions = self.conversions(levels, grey=channels == 1, exact=exact)
        for index, (program, conversion) in enumerate(zip(self.programs, conversions, strict=True)):
            part = share(progress, index, len(self.programs))
            colours = self._run(program, colours, conversion, full, part)
        result: Pixels = colours[0].transpose(1, 2, 0)
        if exact:
            return result
        return _resized(result, size, pixels.dtype, self.memory_budget)

    def is_exact(self, before: tuple[int, int], size: tuple[int, int]) -> bool:
        """Whether the networks make an image of `before` exactly as large as `size`."""
        return not self.native or size == (before[0] * self.native, before[1] * self.native)

    def conversions(self, levels: int, *, grey: bool, exact: bool) -> list[Conversion]:
        """What each network's image is converted from and to, for pixels of 0 to `levels`.

        The first takes whole numbers. The last gives whole numbers if its image is `exact`, not
        resized any more; between networks colours are float32 in [0, 1].
        """
        last = len(self.programs) - 1
        made = []
        for index in range(len(self.programs)):
            before = levels if index == 0 else None
            after = levels if index == last and exact else None
            made.append(Conversion(before, after, index == last and grey))
        return made

    def in_full(self, pixels: Pixels) -> bool:
        """Whether pixels are computed in float32: of 16 bits, bfloat16 keeps 8."""
        chosen = {program.precision for program in self.programs}
        return (
            self.precision == "fp32"
            or chosen == {"fp32"}
            or (self.precision == "auto" and pixels.dtype == np.uint16)
        )

    def _run(
        self,
        program: Program,
        image: NDArray[Any],
        conversion: Conversion,
        full: bool,
        progress: Progress | None,
    ) -> NDArray[Any]:
        """The network over an image N×C×H×W."""
        if not self.self_ensemble:
            return self.compute(program, image, conversion, full, progress)
        entering, leaving = Conversion(before=conversion.before), replace(conversion, before=None)
        shares = iter(share(progress, turn, len(ORIENTATIONS)) for turn in range(len(ORIENTATIONS)))
        return leaving.postprocess(
            self_ensemble(
                lambda turned: self.compute(program, turned, entering, full, next(shares)), image
            )
        )

    def compute(
        self,
        program: Program,
        image: NDArray[Any],
        conversion: Conversion,
        full: bool,
        progress: Progress | None,
    ) -> NDArray[Any]:
        """One network over an image N×C×H×W, in this upscaler's windows."""
        stages = program.stages(conversion, full)
        size = window_size(program, stages, self.tile, image.shape[2], image.shape[3])
        margin = max(stage.margin for stage in stages)
        cut = f"windows of {size} px and {margin} px around each" if size else "one window"
        if program.overlap and size:
            cut += f", blended over {program.overlap} px since it looks at the whole image"
        computed_by = (replace(program, precision="fp32") if full else program).computed_by
        log.info("%s: %s tiling, %s; %s", program.name, self.tiling, cut, computed_by)
        if self.tiling == "acs":

            def enlarge(crop: NDArray[Any]) -> NDArray[Any]:
                enlarged: NDArray[Any] = pad_to_multiple(
                    program, crop, lambda padded: whole(stages, padded)
                )
                return enlarged

            return cropped(enlarge, image, size=size, multiple=program.multiple, progress=progress)
        if program.overlap and size:
            return self._blended(program, image, conversion, full, size, progress)
        # what is free is asked now: another image may be on its way beside this one
        parked = min(memory.available() // 4, self.memory_budget)

        def in_windows(padded: NDArray[Any]) -> NDArray[Any]:
            return tiled(
                stages,
                padded,
                size,
                memory=parked,
                workers=program.workers,
                pool=program.pool,
                progress=progress,
            )

        result: NDArray[Any] = pad_to_multiple(program, image, in_windows)
        return result

    def _blended(
        self,
        program: Program,
        image: NDArray[Any],
        conversion: Conversion,
        full: bool,
        size: int,
        progress: Progress | None,
    ) -> NDArray[Any]:
        """One network over an image N×C×H×W, in windows that give way to one another."""
        entering, leaving = Conversion(before=conversion.before), replace(conversion, before=None)
        stages = program.stages(entering, full)

        def enlarge(crop: NDArray[Any]) -> NDArray[Any]:
            return pad_to_multiple(program, crop, lambda padded: whole(stages, padded))

        overlap, told = program.overlap, progress or ignore
        made = blended(enlarge, image, size, overlap, stages[0].stride, told)
        return leaving.postprocess(made)


def load(
    name: str = registry.DEFAULT,
    *,
    scale: float | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    engine: EngineName = "auto",
    precision: Precision = "auto",
    tile: Tile = "auto",
    tiling: Tiling = "exact",
    self_ensemble: bool = False,
    strength: float = 1.0,
    progress: Progress | None = None,
) -> Upscaler:
    """An Upscaler for `scale`, its weights downloaded and verified if need be.

    `name` is that of a network, or the path of a checkpoint whose network is known. `scale` is 4
    where it is left out, or what the checkpoint can.
    A fixed-scale network asked for another scale runs the least chain of its own scales that
    suffices, and the result is resized down. `weights` is a checkpoint of one's own, for a network
    that needs no chain. `tile` is "auto", "none" or a window's side in pixels. `precision` is
    "fp32", "bf16", "fp16", or "auto": the fastest that costs no more than 0.01 dB on Set14, and
    float32 for images of 16 bits. `self_ensemble` takes the mean over eight orientations: eight
    times the work, about 0.1 dB. `strength`, 0 to 1, is how much of compression and noise
    "lite-photo" takes away. Raises UsageError for arguments of another type or out of range
    (UnknownModel, ScaleError, EngineUnavailable among them), and WeightsError.
    """
    check_kinds(name=name, weights=weights, device=device, engine=engine)
    check_kinds(precision=precision, tiling=tiling, self_ensemble=self_ensemble, strength=strength)
    if scale is None:
        scale = registry.natural_scale(name)
    check_kinds(scale=scale)
    route = routing.route(name, scale, own_weights=weights is not None, strength=strength)
    run_options = RunOptions(tile, tiling, self_ensemble, device, engine, precision)
    return _loaded(route, scale, weights, run_options, progress=progress)


def _loaded(
    route: Sequence[Model],
    scale: float,
    weights: str | Path | None,
    run_options: RunOptions,
    *,
    pixels: float = math.inf,
    progress: Progress | None = None,
) -> Upscaler:
    """An Upscaler of the networks of a route; `pixels` as in `engines.program`."""
    tile, tiling = run_options.tile, run_options.tiling
    if tiling not in TILINGS:
        raise UsageError(f"tiling {tiling!r} is neither of {' and '.join(TILINGS)}")
    if not (tile in ("auto", "none") or (isinstance(tile, int) and tile >= 1)):
        raise UsageError(f"tile {tile!r} is neither auto, none nor a number of pixels")
    if weights is not None and len(route) > 1:
        name = route[0].name
        raise UsageError(
            f"a file of weights holds one network, and ×{scale:g} takes {len(route)} with {name}",
            "ask for a smaller {scale}",
        )
    programs = []
    for model in route:
        made = engines.program(
            model,
            Path(weights) if weights else verified(model, progress=progress),
            engine=run_options.engine,
            device=run_options.device,
            precision=run_options.precision,
            pixels=pixels,
        )
        programs.append(made)
    own = hashed(Path(weights))[:DIGITS] if weights else ""
    return replace(_upscaler(route, programs, scale, run_options), weights=own)


def _upscaler(
    route: Sequence[Model], programs: Sequence[Program], scale: float, run_options: RunOptions
) -> Upscaler:
    return Upscaler(
        tuple(route),
        tuple(programs),
        scale,
        run_options.tile,
        run_options.tiling,
        run_options.precision,
        run_options.self_ensemble,
    )


def _opened(image: str | Path | BinaryIO | Pillow.Image) -> Image:
    """A picture of a file, or one of Pillow's. Raises UsageError for what is neither, ReadError."""
    if isinstance(image, Pillow.Image):
        check_pixels(image.size)
        return from_pillow(image)
    if isinstance(image, (str, os.PathLike)):
        return read_image(Path(image))
    if hasattr(image, "read"):
        return read_image(image)
    raise UsageError(
        f"cannot enlarge an object of type {type(image).__name__}; give a path, an open file, "
        "a Pillow image, a NumPy array, or what srup.read_pages returns"
    )


class UpscalerCache:
    """Upscalers, each loaded once.

    Images of different sizes may need different scales of a network, and different kinds of images
    different networks.
    """

    def __init__(
        self, weights: str | Path | None = None, run_options: RunOptions | None = None
    ) -> None:
        self.weights, self.run_options = weights, run_options or RunOptions()
        self.ready: dict[tuple[tuple[str, int, float], ...], Upscaler] = {}

    def at_hand(self, route: Sequence[Model]) -> bool:
        """Whether nothing needs to be downloaded."""
        return self.weights is not None or all(map(weights.at_hand, route))

    def __call__(
        self,
        route: Sequence[Model],
        scale: float,
        *,
        pixels: float = math.inf,
        progress: Progress | None = None,
    ) -> Upscaler:
        """The upscaler of a route, loaded at its first use. Raises what `load` raises."""
        # many scales share a route: 2.5 and 3 are the same network
        key = tuple((row.name, row.scale, row.strength) for row in route)
        if key not in self.ready:
            self.ready[key] = _loaded(
                route, scale, self.weights, self.run_options, pixels=pixels, progress=progress
            )
        return replace(self.ready[key], scale=scale)

    def programs(self) -> list[Program]:
        """The programs of all upscalers that were loaded so far."""
        return [program for upscaler in self.ready.values() for program in upscaler.programs]

    def untrained(self, route: Sequence[Model], scale: float) -> Upscaler:
        """An upscaler without weights, for forecasts: it takes what a loaded one takes."""
        from srup.inference.engines.pytorch import program_of

        own, programs = self.run_options, []
        for row in route:
            network = registry.build(row)
            made = program_of(
                network, device=own.device, precision=own.precision, largest=row.largest
            )
            programs.append(made)
        return _upscaler(route, programs, scale, own)


def window_size(
    program: Program, stages: Sequence[Stage[Array]], tile: Tile, height: int, width: int
) -> int | None:
    """The side of the windows that an image is computed in, in pixels; None for one window.

    It is what was asked for. With "auto" it is the fastest for this image, of those that a share of
    the free memory allows.
    """
    if tile == "none":
        return None
    if isinstance(tile, int):
        return tile
    on_processor = program.device == "cpu"
    free = program.free() // 2
    if on_processor:
        free = min(program.free() // 8, WORKSPACE)
    per_pixel = program.largest * 4 * MAPS  # bytes
    # multiples of 32 keep the number of window sizes small, which engines prepare for each
    side = max(SMALLEST, math.isqrt(int(free / program.workers / per_pixel)) // 32 * 32)
    if program.overlap and height * width * per_pixel <= program.free() // 2:
        return None  # there is no seam in one window
    if not on_processor:
        return side
    margin = max(stage.margin for stage in stages)
    # a network that sees far would spend most of its time on what surrounds small windows
    side = min(side, max(_fastest(program), LEAST_MARGINS * margin // 32 * 32))
    sides = range(side, min(side, LEAST_SHARED) - 1, -32)
    return min(sides, key=lambda each: _work(height, width, each, margin, program.workers))


def _work(height: int, width: int, size: int, margin: int, workers: int) -> float:
    """The pixels that the busiest of `workers` computes, margins included, in windows of a size."""
    largest = windows(height, width, size)[0]
    count = math.ceil(height / size) * math.ceil(width / size)
    if count == 1:  # operators share the cores then, about as well
        return height * width / workers
    return math.ceil(count / workers) * (largest.height + margin) * (largest.width + margin)


def _fastest(program: Program) -> int:
    """The side in pixels of the windows that a processor computes fastest."""
    largest, cache = LARGEST[program.engine], processor.level_2_cache()
    if program.precision != "bf16" or processor.instructions() != "AMX" or cache is None:
        return largest
    return min(largest, math.isqrt(int(CACHES * cache / (program.largest * 2))) // 32 * 32)


def _resized(
    image: NDArray[Any], size: tuple[int, int], dtype: np.dtype[Any], memory_budget: int
) -> Pixels:
    """An image H×W×C in [0, 1] at another size, as whole numbers.

    It is resized in bands, so that it is never there twice as floats.
    """
    _, width, channels = image.shape
    levels = np.iinfo(dtype).max
    upright = _plane((1, channels, size[1], width), np.float32, memory_budget // 2)
    for left in range(0, width, BAND):
        band = image[:, left : left + BAND]
        upright[:, left : left + BAND] = imresize(band, size=(band.shape[1], size[1]))
    result = _plane((1, channels, size[1], size[0]), dtype, memory_budget // 2)
    for top in range(0, size[1], BAND):
        band = imresize(upright[top : top + BAND], size=(size[0], min(BAND, size[1] - top)))
        result[top : top + BAND] = np.rint(band * np.float32(levels)).clip(0, levels)
    return result


def _plane(shape: tuple[int, ...], dtype: DTypeLike, memory_budget: int) -> NDArray[Any]:
    """A new image H×W×C for a shape 1×C×H×W: in memory if it takes no more than the budget, else on
    disk.
    """
    spec = MapSpec(shape, np.dtype(dtype))
    made = canvas(replace(spec, on_disk=spec.nbytes > memory_budget))
    plane: NDArray[Any] = made.array[0].transpose(1, 2, 0)
    return plane


def check_not_black(before: Pixels, after: Pixels) -> None:
    """Raises UnsoundResult if a part of the result is black throughout where the image (H×W×C both)
    is not.
    """
    rows, columns = (Fraction(after.shape[axis], before.shape[axis]) for axis in (0, 1))
    dark = DARK * int(np.iinfo(before.dtype).max)
    for part in windows(before.shape[0], before.shape[1], BLOCK):
        top, bottom = math.ceil(part.top * rows), int(part.bottom * rows)
        left, right = math.ceil(part.left * columns), int(part.right * columns)
        there = after[top:bottom, left:right]
        if (
            there.size
            and not there.any()
            and before[part.top : part.bottom, part.left : part.right].mean() > dark
        ):
            raise UnsoundResult(
                f"the network made black of what is not (at {left}, {top}), so nothing was written",
                *ADVICE,
            )


def _cropped(plane: Pixels, size: tuple[int, int]) -> Pixels:
    """The middle of H×W or H×W×C."""
    width, height = size
    top, left = (plane.shape[0] - height) // 2, (plane.shape[1] - width) // 2
    return plane[top : top + height, left : left + width]

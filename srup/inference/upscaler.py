"""One image from end to end: an `Upscaler` makes images larger."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from srup import memory
from srup.errors import EngineUnavailable, ScaleError, UnsoundResult, UsageError
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
from srup.inference.arguments import check_pixels, size_of
from srup.inference.arrays import array_of, image_of
from srup.inference.engines import Conversion, Program
from srup.inference.finishing import check_not_black, middle, resized
from srup.inference.overlapping import blended, cropped
from srup.inference.run_options import Precision, Tile, Tiling
from srup.inference.self_ensemble import ORIENTATIONS, self_ensemble
from srup.inference.target import Target
from srup.inference.tiling import MEMORY, tiled
from srup.inference.window_size import window_size
from srup.models import routing
from srup.models.registry import Model
from srup.networks.stages import pad_to_multiple, whole
from srup.progress import Progress, ignore, share
from srup.resize import imresize
from srup.version import __version__

log = logging.getLogger(__name__)

Size = tuple[int, int] | Target
Kind = TypeVar("Kind", np.uint8, np.uint16, np.float32, np.float64)  # of an array


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
            alpha = middle(self._resized_alpha(image.alpha, size), final)
        made = upscaler._provenance(image, target.factor(image.size))
        return replace(image.with_pixels(middle(enlarged, final), alpha), provenance=made)

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
        return resized(plane, size, alpha.dtype, self.memory_budget)[:, :, 0]

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
        return resized(result, size, pixels.dtype, self.memory_budget)

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

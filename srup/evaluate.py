"""Networks on benchmark images, as the published tables were made: shrink, enlarge, score, and the published figure beside it.

Each network runs in a process of its own, so that the memory it is said to take is its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srup import memory, registry
from srup.errors import ImageError, OutOfMemory, UsageError
from srup.how import How
from srup.images import Image, write_image
from srup.metrics import WINDOW, luma, psnr, ssim
from srup.pairs import images_in, pair
from srup.registry import SETS
from srup.resize import Edges, imresize
from srup.scores import PROTOCOLS, Score, colours, levels, mean, score, stated

if TYPE_CHECKING:
    from srup.upscaler import Upscaler

Pixels = NDArray[Any]
Enlarge = Callable[[Pixels], Pixels]

BICUBIC = "bicubic"
Y_ONLY, TRUNCATED = "y-only", "truncated"
STATED = {  # what is compared under each protocol
    **{name: protocol.what for name, protocol in PROTOCOLS.items()},
    Y_ONLY: "Y alone, rounded; shrunk and enlarged in float, the result rounded",
    TRUNCATED: "Y rounded to whole levels, of results truncated to bytes",
}


EXACT = How(precision="fp32")  # figures that do not depend on what the processor is fast at


@dataclass(frozen=True)
class Case:
    """An HR image, and the LR image that belongs to it if one is given."""

    hr: Path
    lr: Path | None = None


@dataclass(frozen=True)
class Job:
    """A network (or "bicubic") and how it is scored.

    Under "y-only" bicubic is computed as for the tables' bicubic rows: Y alone, its LR version not rounded to bytes. Under
    "truncated" results become bytes by cutting off, as LESRCNN's authors had it. `save` is a folder for the results.
    """

    model: str
    scale: int
    protocol: str = "paper"
    border: int | None = None  # pixels; None: the scale
    edges: Edges = "mirror"
    save: Path | None = None
    weights: Path | None = None
    how: How = EXACT

    @property
    def shaved(self) -> int:
        return self.scale if self.border is None else self.border


@dataclass(frozen=True)
class Outcome:
    """What came of one image. `peak` is the most memory that the process (on CUDA, the device) has taken so far, in bytes."""

    image: str
    score: Score | None = None
    seconds: float | None = None
    peak: int | None = None
    error: str | None = None
    how: str = ""  # what computed it


@dataclass(frozen=True)
class Summary:
    """The means over a network's images that did not fail; `published` is (PSNR, SSIM) as its paper prints them."""

    job: Job
    outcomes: Sequence[Outcome]
    published: tuple[float, float | None] | None = None

    @property
    def score(self) -> Score:
        scores = [outcome.score for outcome in self.outcomes if outcome.score]
        return Score(mean([each.psnr for each in scores]), mean([each.ssim for each in scores]))

    @property
    def seconds(self) -> float:
        return mean([outcome.seconds for outcome in self.outcomes if outcome.seconds is not None])

    @property
    def peak(self) -> int | None:
        return max((outcome.peak for outcome in self.outcomes if outcome.peak), default=None)


def cases(hr: Path, lr: Path | None) -> tuple[list[Case], list[Path]]:
    """The images to score, and files without a partner. Raises ReadError, UsageError."""
    if lr is None:
        return [Case(path) for path in images_in(hr)], []
    paired = pair(lr, hr)
    return [Case(large, small) for small, large in paired.both], paired.alone


def check(job: Job, *, given_lr: bool) -> None:
    """Raises UsageError for what cannot be scored so, UnknownModel, ScaleError: better known before the work."""
    if job.protocol == Y_ONLY and job.model != BICUBIC:
        raise UsageError(f"--protocol y-only is for bicubic: {job.model} needs colours; take paper, y-rounded or rgb")
    if job.protocol == Y_ONLY and given_lr:
        raise UsageError("--protocol y-only shrinks Y itself, unrounded; leave --lr away")
    if job.model == BICUBIC:
        return
    (row, *more) = registry.route(job.model, job.scale, own_weights=job.weights is not None)
    if job.protocol == TRUNCATED and (more or row.scale != job.scale):
        raise UsageError(f"--protocol truncated takes what a network returns, and {job.model} has no ×{job.scale}")


def published(model: str, images: str | None, scale: int) -> tuple[float, float | None] | None:
    """PSNR and SSIM as printed for a data set at a scale, where they are known."""
    tables = registry.BICUBIC if model == BICUBIC else {row: found.published for row, found in registry.find(model).items()}
    return tables.get(scale, {}).get(images or "")


def set_of(path: Path) -> str | None:
    """The benchmark set that a folder's path names: ".../Set5/HR" → "Set5"."""
    plain = {name.lower(): name for name in SETS} | {"b100": "BSD100", "bsds100": "BSD100"}
    parts = [re.sub(r"[^a-z0-9]", "", part.lower()) for part in reversed(path.resolve().parts)]
    return next((plain[part] for part in parts if part in plain), None)


def said(job: Job, *, given_lr: bool) -> str:
    """The line under the table: what exactly was compared."""
    how = "LR as given" if given_lr else f"LR by bicubic imresize ({job.edges} edges) of HR cropped to multiples of {job.scale}"
    return f"{how}. {stated(STATED[job.protocol], job.shaved)}"


def outcomes(job: Job, todo: Sequence[Case]) -> Iterator[Outcome]:
    """Scores a network on one image after the other, in this process. Raises what `load` raises."""
    if job.protocol == Y_ONLY:
        for case in todo:
            yield _outcome(case, lambda case: _on_luma(case, job))
        return
    enlarge, peak, how = _enlarge(job)
    enlarge(np.zeros((32, 32, 3), np.uint8))  # what is only done once is not the first image's
    for case in todo:
        yield replace(_outcome(case, lambda case: _on_colours(case, job, enlarge), peak), how=how)


def _outcome(case: Case, run: Callable[[Case], tuple[Score, float]], peak: Callable[[], int] = memory.peak) -> Outcome:
    try:
        measured, seconds = run(case)
    except (ImageError, OutOfMemory) as error:
        return Outcome(case.hr.name, error=str(error))
    return Outcome(case.hr.name, measured, seconds, peak())


def _on_colours(case: Case, job: Job, enlarge: Enlarge) -> tuple[Score, float]:
    lr, hr = images(case, job.scale, job.edges)
    _check_size(case, hr, job.shaved)
    started = time.perf_counter()
    sr = enlarge(lr)
    seconds = time.perf_counter() - started
    if job.save:
        write_image(Image(sr), job.save / f"{case.hr.stem}_x{job.scale}.png")
    return score(sr, hr, protocol="y-rounded" if job.protocol == TRUNCATED else job.protocol, border=job.shaved), seconds


def _on_luma(case: Case, job: Job) -> tuple[Score, float]:
    hr = _cropped(_rounded_luma(case.hr), job.scale, case)
    _check_size(case, hr, job.shaved)
    lr = imresize(hr, scale=1 / job.scale, edges=job.edges)
    started = time.perf_counter()
    sr = np.rint(imresize(lr, size=(hr.shape[1], hr.shape[0]), edges=job.edges))
    return Score(psnr(sr, hr, border=job.shaved), ssim(sr, hr, border=job.shaved)), time.perf_counter() - started


def _rounded_luma(path: Path) -> Pixels:
    """Y in whole levels; of a grey file its own levels, as MATLAB's scripts had it (Set14's bridge: 0.1 dB of the mean)."""
    values = levels(path)
    return np.rint(luma(values) if values.shape[2] == 3 else values[:, :, 0]).astype(np.float64)


def _check_size(case: Case, hr: Pixels, border: int) -> None:
    height, width = hr.shape[:2]
    if min(height, width) - 2 * border < WINDOW:
        raise ImageError(f"{case.hr}: {width}×{height} less a border of {border} is smaller than SSIM's window of {WINDOW}")


def images(case: Case, scale: int, edges: Edges) -> tuple[Pixels, Pixels]:
    """LR and HR as bytes H×W×3, HR cropped to `scale` times LR. Raises ImageError where a given LR is not that much smaller."""
    hr = to_bytes(colours(case.hr))
    if case.lr is None:
        hr = _cropped(hr, scale, case)
        return imresize(hr, scale=1 / scale, edges=edges), hr
    lr = to_bytes(colours(case.lr))
    spare = [large - small * scale for large, small in zip(hr.shape[:2], lr.shape[:2], strict=True)]
    if not all(0 <= rest < scale for rest in spare):
        sizes = [f"{path} is {image.shape[1]}×{image.shape[0]}" for path, image in ((case.hr, hr), (case.lr, lr))]
        raise ImageError(f"{sizes[0]}, not {scale} times what {sizes[1]}; check -s, and which files belong together")
    return lr, hr[: lr.shape[0] * scale, : lr.shape[1] * scale]


def _cropped(hr: Pixels, scale: int, case: Case) -> Pixels:
    height, width = (side // scale * scale for side in hr.shape[:2])
    if not height or not width:
        raise ImageError(f"{case.hr}: {hr.shape[1]}×{hr.shape[0]} cannot be shrunk {scale} times")
    return hr[:height, :width]


def to_bytes(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels if pixels.dtype == np.uint8 else np.rint(pixels).astype(np.uint8))


def _enlarge(job: Job) -> tuple[Enlarge, Callable[[], int], str]:
    """What enlarges an image H×W×3 of bytes, what says the memory it took, and what it is computed by."""
    if job.model == BICUBIC:
        return lambda lr: imresize(lr, scale=job.scale, edges=job.edges), memory.peak, ""
    import torch

    from srup.upscaler import load

    how = replace(job.how, engine="pytorch") if job.protocol == TRUNCATED else job.how  # which takes the network apart
    upscaler = load(job.model, scale=job.scale, weights=job.weights, **asdict(how))
    device = upscaler.programs[-1].device
    peak = (lambda: torch.cuda.max_memory_allocated(device)) if device.startswith("cuda") else memory.peak
    return (_truncating(upscaler) if job.protocol == TRUNCATED else upscaler), peak, upscaler.programs[-1].how


def _truncating(upscaler: Upscaler) -> Enlarge:
    """The network over the whole image, its result cut off to bytes rather than rounded."""
    import torch

    from srup.engines.pytorch import tensor_of

    def enlarge(lr: Pixels) -> Pixels:
        with torch.no_grad():
            sr = upscaler.network(tensor_of(lr).to(upscaler.programs[-1].device))[0]
        truncated: Pixels = (sr * 255).clamp_(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        return truncated

    return enlarge

"""Networks on benchmark images, as the published tables were made: shrink, enlarge, score, and the published figure beside it.

Each network runs in a process of its own, so that the memory it is said to take is its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from srup import memory
from srup.errors import ImageError, OutOfMemory, UsageError
from srup.evaluation.metrics import WINDOW, Values, luma, psnr, ssim
from srup.evaluation.pairing import images_in, pair
from srup.evaluation.protocols import PROTOCOLS, Score, colours, levels, mean, score, stated
from srup.images import Image, write_image
from srup.inference.run_options import RunOptions
from srup.models import registry, routing
from srup.models.registry import SETS
from srup.resize import Edges, imresize

if TYPE_CHECKING:
    from srup.inference.upscaler import Upscaler

Enlarge = Callable[[Values], Values]

BICUBIC = "bicubic"
Y_ONLY, TRUNCATED = "y-only", "truncated"
STATED = {  # what is compared under each protocol
    **{name: protocol.what for name, protocol in PROTOCOLS.items()},
    Y_ONLY: "Y alone, rounded; shrunk and enlarged in float, the result rounded",
    TRUNCATED: "Y rounded to whole levels, of results truncated to bytes",
}


EXACT = RunOptions(precision="fp32")  # figures that do not depend on what the processor is fast at


@dataclass(frozen=True)
class Case:
    """An HR image, and the LR image that belongs to it if one is given."""

    hr: Path
    lr: Path | None = None


@dataclass(frozen=True)
class Evaluation:
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
    run_options: RunOptions = EXACT

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
    computed_by: str = ""


@dataclass(frozen=True)
class ModelResult:
    """The means over a network's images that did not fail; `published` is (PSNR, SSIM) as its paper prints them."""

    evaluation: Evaluation
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


def check(evaluation: Evaluation, *, given_lr: bool) -> None:
    """Raises UsageError for what cannot be scored so, UnknownModel, ScaleError: better known before the work."""
    if evaluation.protocol == Y_ONLY and evaluation.model != BICUBIC:
        raise UsageError(
            f"--protocol y-only is for bicubic: {evaluation.model} needs colours; take paper, y-rounded or rgb"
        )
    if evaluation.protocol == Y_ONLY and given_lr:
        raise UsageError("--protocol y-only shrinks Y itself, unrounded; leave --lr away")
    if evaluation.model == BICUBIC:
        return
    (row, *more) = routing.route(
        evaluation.model, evaluation.scale, own_weights=evaluation.weights is not None
    )
    if evaluation.protocol == TRUNCATED and (more or row.scale != evaluation.scale):
        raise UsageError(
            f"--protocol truncated takes what a network returns, and {evaluation.model} has no ×{evaluation.scale}"
        )


def published(model: str, images: str | None, scale: int) -> tuple[float, float | None] | None:
    """PSNR and SSIM as printed for a data set at a scale, where they are known."""
    tables = (
        registry.BICUBIC
        if model == BICUBIC
        else {row: found.published for row, found in registry.find(model).items()}
    )
    return tables.get(scale, {}).get(images or "")


def set_of(path: Path) -> str | None:
    """The benchmark set that a folder's path names: ".../Set5/HR" → "Set5"."""
    plain = {name.lower(): name for name in SETS} | {"b100": "BSD100", "bsds100": "BSD100"}
    parts = [re.sub(r"[^a-z0-9]", "", part.lower()) for part in reversed(path.resolve().parts)]
    return next((plain[part] for part in parts if part in plain), None)


def said(evaluation: Evaluation, *, given_lr: bool) -> str:
    """The line under the table: what exactly was compared."""
    origin = (
        "LR as given"
        if given_lr
        else f"LR by bicubic imresize ({evaluation.edges} edges) of HR cropped to multiples of {evaluation.scale}"
    )
    return f"{origin}. {stated(STATED[evaluation.protocol], evaluation.shaved)}"


def outcomes(evaluation: Evaluation, todo: Sequence[Case]) -> Iterator[Outcome]:
    """Scores a network on one image after the other, in this process. Raises what `load` raises."""
    if evaluation.protocol == Y_ONLY:
        for case in todo:
            yield _outcome(case, lambda case: _on_luma(case, evaluation))
        return
    enlarge, peak, computed_by = _enlarge(evaluation)
    enlarge(np.zeros((32, 32, 3), np.uint8))  # what is only done once is not the first image's
    for case in todo:
        yield replace(
            _outcome(case, lambda case: _on_colours(case, evaluation, enlarge), peak),
            computed_by=computed_by,
        )


def _outcome(
    case: Case, run: Callable[[Case], tuple[Score, float]], peak: Callable[[], int] = memory.peak
) -> Outcome:
    try:
        measured, seconds = run(case)
    except (ImageError, OutOfMemory) as error:
        return Outcome(case.hr.name, error=str(error))
    return Outcome(case.hr.name, measured, seconds, peak())


def _on_colours(case: Case, evaluation: Evaluation, enlarge: Enlarge) -> tuple[Score, float]:
    lr, hr = images(case, evaluation.scale, evaluation.edges)
    _check_size(case, hr, evaluation.shaved)
    started = time.perf_counter()
    sr = enlarge(lr)
    seconds = time.perf_counter() - started
    if evaluation.save:
        write_image(Image(sr), evaluation.save / f"{case.hr.stem}_x{evaluation.scale}.png")
    return score(
        sr,
        hr,
        protocol="y-rounded" if evaluation.protocol == TRUNCATED else evaluation.protocol,
        border=evaluation.shaved,
    ), seconds


def _on_luma(case: Case, evaluation: Evaluation) -> tuple[Score, float]:
    hr = _cropped(_rounded_luma(case.hr), evaluation.scale, case)
    _check_size(case, hr, evaluation.shaved)
    lr = imresize(hr, scale=1 / evaluation.scale, edges=evaluation.edges)
    started = time.perf_counter()
    sr = np.rint(imresize(lr, size=(hr.shape[1], hr.shape[0]), edges=evaluation.edges))
    return Score(
        psnr(sr, hr, border=evaluation.shaved), ssim(sr, hr, border=evaluation.shaved)
    ), time.perf_counter() - started


def _rounded_luma(path: Path) -> Values:
    """Y in whole levels; of a grey file its own levels, as MATLAB's scripts had it (Set14's bridge: 0.1 dB of the mean)."""
    values = levels(path)
    return np.rint(luma(values) if values.shape[2] == 3 else values[:, :, 0]).astype(np.float64)


def _check_size(case: Case, hr: Values, border: int) -> None:
    height, width = hr.shape[:2]
    if min(height, width) - 2 * border < WINDOW:
        raise ImageError(
            f"{case.hr}: {width}×{height} less a border of {border} is smaller than SSIM's window of {WINDOW}"
        )


def images(case: Case, scale: int, edges: Edges) -> tuple[Values, Values]:
    """LR and HR as bytes H×W×3, HR cropped to `scale` times LR. Raises ImageError where a given LR is not that much smaller."""
    hr = to_bytes(colours(case.hr))
    if case.lr is None:
        hr = _cropped(hr, scale, case)
        return imresize(hr, scale=1 / scale, edges=edges), hr
    lr = to_bytes(colours(case.lr))
    spare = [large - small * scale for large, small in zip(hr.shape[:2], lr.shape[:2], strict=True)]
    if not all(0 <= rest < scale for rest in spare):
        sizes = [
            f"{path} is {image.shape[1]}×{image.shape[0]}"
            for path, image in ((case.hr, hr), (case.lr, lr))
        ]
        raise ImageError(
            f"{sizes[0]}, not {scale} times what {sizes[1]}; check -s, and which files belong together"
        )
    return lr, hr[: lr.shape[0] * scale, : lr.shape[1] * scale]


def _cropped(hr: Values, scale: int, case: Case) -> Values:
    height, width = (side // scale * scale for side in hr.shape[:2])
    if not height or not width:
        raise ImageError(f"{case.hr}: {hr.shape[1]}×{hr.shape[0]} cannot be shrunk {scale} times")
    return hr[:height, :width]


def to_bytes(pixels: Values) -> Values:
    return np.ascontiguousarray(
        pixels if pixels.dtype == np.uint8 else np.rint(pixels).astype(np.uint8)
    )


def _enlarge(evaluation: Evaluation) -> tuple[Enlarge, Callable[[], int], str]:
    """What enlarges an image H×W×3 of bytes, what says the memory it took, and what it is computed by."""
    if evaluation.model == BICUBIC:
        return (
            lambda lr: imresize(lr, scale=evaluation.scale, edges=evaluation.edges),
            memory.peak,
            "",
        )
    import torch

    from srup.inference.upscaler import load

    options = evaluation.run_options
    if (
        evaluation.protocol == TRUNCATED
    ):  # the network itself is run, which is there with PyTorch alone
        options = replace(options, engine="pytorch")
    upscaler = load(
        evaluation.model, scale=evaluation.scale, weights=evaluation.weights, **asdict(options)
    )
    device = upscaler.programs[-1].device
    peak = (
        (lambda: torch.cuda.max_memory_allocated(device))
        if device.startswith("cuda")
        else memory.peak
    )
    return (
        (_truncating(upscaler) if evaluation.protocol == TRUNCATED else upscaler),
        peak,
        upscaler.programs[-1].computed_by,
    )


def _truncating(upscaler: Upscaler) -> Enlarge:
    """The network over the whole image, its result cut off to bytes rather than rounded."""
    import torch

    from srup.inference.engines.pytorch import tensor_of

    def enlarge(lr: Values) -> Values:
        with torch.no_grad():
            sr = upscaler.network(tensor_of(lr).to(upscaler.programs[-1].device))[0]
        truncated: Values = (sr * 255).clamp_(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        return truncated

    return enlarge

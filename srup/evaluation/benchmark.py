"""Benchmarks as the published tables were made: shrink HR images, enlarge them, score the result.

`outcomes` scores one network in the process that calls it. `srup evaluate` calls it through
`isolate.run_isolated`, so that the memory it reports is that network's alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from srup import memory
from srup.errors import AlreadyExists, ImageError, OutOfMemory, SrupError, UsageError
from srup.evaluation.metrics import Values, luma, psnr, ssim
from srup.evaluation.pairing import images_in, pair
from srup.evaluation.peak_memory import peak_of
from srup.evaluation.protocols import (
    PROTOCOLS,
    Score,
    check_window,
    colours,
    levels,
    mean,
    score,
    scoring_note,
)
from srup.images import Image, Pages, write_image
from srup.images.degrade import CLEAN, degraded_by, parsed
from srup.inference.run_options import RunOptions
from srup.models import choosing, registry, routing
from srup.models.checkpoints import check_file
from srup.models.inspect import inspection_of
from srup.models.registry import AUTO, SETS
from srup.resize import Edges, cropped_to_multiple, imresize, lr_of

if TYPE_CHECKING:
    from srup.inference.upscaler import Upscaler

BenchmarkProtocol = Literal["paper", "y-rounded", "rgb", "y-only", "truncated"]
Published = tuple[float, float | None]  # PSNR and SSIM as a paper prints them
Enlarge = Callable[[Values], Values]

BICUBIC: Final = "bicubic"
Y_ONLY: Final = "y-only"
TRUNCATED: Final = "truncated"
COMPARED: Mapping[BenchmarkProtocol, str] = {  # what is compared under each protocol
    "paper": PROTOCOLS["paper"].what,
    "y-rounded": PROTOCOLS["y-rounded"].what,
    "rgb": PROTOCOLS["rgb"].what,
    "y-only": "Y alone, rounded; shrunk and enlarged in float, the result rounded",
    "truncated": "Y rounded to whole levels, of results truncated to bytes",
}
OTHER_SET_NAMES = {"b100": "BSD100", "bsds100": "BSD100"}

EXACT = RunOptions(precision="fp32")  # scores then do not depend on what the processor is fast at


@dataclass(frozen=True)
class Case:
    """An HR image, and the LR image that belongs to it if one is given."""

    hr: Path
    lr: Path | None = None


@dataclass(frozen=True)
class Evaluation:
    """A network (or "bicubic") and how it is scored.

    Under "y-only" bicubic is computed as for the tables' bicubic rows: on Y alone, its LR version
    not rounded to bytes. Under "truncated" results become bytes by truncation, as LESRCNN's authors
    did it. `border` is in pixels, None for the scale. `save` is a folder for the results, which
    replace others with `overwrite`. LR is degraded by each spec of `degradations`
    (`images.degrade`) in turn.
    """

    model: str
    scale: int
    protocol: BenchmarkProtocol = "paper"
    border: int | None = None
    edges: Edges = "mirror"
    save: Path | None = None
    weights: Path | None = None
    run_options: RunOptions = EXACT
    degradations: tuple[str, ...] = (CLEAN,)
    overwrite: bool = False

    @property
    def shaved(self) -> int:
        """Pixels left out at each border."""
        return self.scale if self.border is None else self.border

    def folders(self) -> dict[str, Path]:
        """Where the results of each degradation are saved: those of degraded LR in a folder below,
        such as "noise5+jpeg75"; nothing without `save`.
        """
        if self.save is None:
            return {}
        folders = {}
        for spec in self.degradations:
            # not every file system takes a colon
            below = "" if spec == CLEAN else spec.replace(":", "")
            folders[spec] = self.save / below
        return folders

    def saved(self, case: Case, spec: str) -> Path | None:
        """The file that the result for an image is saved to; None without `save`."""
        folder = self.folders().get(spec)
        return folder / f"{case.hr.stem}_x{self.scale}.png" if folder else None


@dataclass(frozen=True)
class Outcome:
    """The score of one image under one degradation, or the error that kept it from being scored.

    `peak` is the most memory in bytes that the process (on CUDA, the device) has taken so far,
    `computed_by` is as in "pytorch, cpu, fp32".
    """

    image: str
    score: Score | None = None
    seconds: float | None = None
    peak: int | None = None
    error: SrupError | None = None
    computed_by: str = ""
    degradation: str = CLEAN


@dataclass(frozen=True)
class ModelResult:
    """The outcomes of a network under one degradation, their means, and what its paper prints for
    this data set.
    """

    evaluation: Evaluation
    outcomes: Sequence[Outcome]
    published: Published | None = None
    degradation: str = CLEAN

    @property
    def score(self) -> Score:
        """The mean score of the images that did not fail; NaN if none is left."""
        scores = [outcome.score for outcome in self.outcomes if outcome.score]
        return Score(mean([each.psnr for each in scores]), mean([each.ssim for each in scores]))

    @property
    def seconds(self) -> float:
        """The mean time for an image."""
        return mean([outcome.seconds for outcome in self.outcomes if outcome.seconds is not None])

    @property
    def peak(self) -> int | None:
        """The most memory taken, in bytes; None if nothing was measured."""
        return max((outcome.peak for outcome in self.outcomes if outcome.peak), default=None)


def cases(hr: Path, lr: Path | None) -> tuple[list[Case], list[Path]]:
    """The images to score, and files without a partner. Raises ReadError, UsageError."""
    if lr is None:
        return [Case(path) for path in images_in(hr)], []
    paired = pair(lr, hr)
    return [Case(large, small) for small, large in paired.pairs], paired.unpaired


def check(evaluation: Evaluation, *, given_lr: bool) -> None:
    """Checks before any work that a network can be scored so.

    Raises UsageError for a protocol that does not fit or a wrong spec, UnknownModel, ScaleError,
    WeightsMismatch.
    """
    model, scale, protocol = evaluation.model, evaluation.scale, evaluation.protocol
    operations = [parsed(spec) for spec in evaluation.degradations]
    if protocol == Y_ONLY and any(operations):
        raise UsageError(
            "the protocol y-only shrinks Y itself, and colours are what is degraded",
            "take {protocol=paper}, y-rounded or rgb",
        )
    if protocol == Y_ONLY and model != BICUBIC:
        raise UsageError(
            f"the protocol y-only is for bicubic: {model} needs colours",
            "take {protocol=paper}, y-rounded or rgb",
        )
    if protocol == Y_ONLY and given_lr:
        raise UsageError("the protocol y-only shrinks Y itself, unrounded", "leave out {lr}")
    if model == BICUBIC:
        return
    if evaluation.weights:
        check_file(evaluation.weights)
    if model == AUTO:
        if protocol == TRUNCATED:
            raise UsageError("the protocol truncated is for one network", "name it with {model}")
        return
    # a chain or a resize would come between the network and what was truncated
    (row, *more) = routing.route(model, scale, own_weights=evaluation.weights is not None)
    if protocol == TRUNCATED and (more or row.scale != scale):
        raise UsageError(
            "the protocol truncated scores what a single network returns, "
            f"and {model} has no ×{scale}"
        )


def check_saved(evaluation: Evaluation, todo: Sequence[Case]) -> None:
    """Raises AlreadyExists if a result is to be saved where a file is that may not be replaced."""
    for spec in evaluation.degradations:
        for case in todo:
            saved = evaluation.saved(case, spec)
            if saved and not evaluation.overwrite and saved.exists():
                raise AlreadyExists(
                    f"{saved} exists", "{overwrite} replaces it", "{save} names another folder"
                )


def published(model: str, data_set: str | None, scale: int) -> Published | None:
    """PSNR and SSIM as printed for a data set at a scale; None where they are not known."""
    figures: Mapping[str, Published] = {}
    if model == BICUBIC:
        figures = registry.BICUBIC.get(scale, {})
    elif model != AUTO and (row := registry.find(model).get(scale)):
        figures = row.published
    return figures.get(data_set or "")


def set_of(path: Path) -> str | None:
    """The benchmark set that a folder's path names: ".../Set5/HR" → "Set5"."""
    names = {name.lower(): name for name in SETS} | OTHER_SET_NAMES
    # the innermost folder that is called like a set: datasets/Set5/HR
    for part in reversed(path.resolve().parts):
        plain = re.sub(r"[^a-z0-9]", "", part.lower())
        if plain in names:
            return names[plain]
    return None


def protocol_note(evaluation: Evaluation, *, given_lr: bool) -> str:
    """The line under a table that says exactly what was compared."""
    if given_lr:
        origin = "LR as given"
    else:
        origin = (
            f"LR by bicubic imresize ({evaluation.edges} edges) "
            f"of HR cropped to multiples of {evaluation.scale}"
        )
    if any(spec != CLEAN for spec in evaluation.degradations):
        origin += ", degraded as the table says (JPEG with chroma halved, noise always the same)"
    return f"{origin}. {scoring_note(COMPARED[evaluation.protocol], evaluation.shaved)}"


def outcomes(evaluation: Evaluation, todo: Sequence[Case]) -> Iterator[Outcome]:
    """Scores a network on one image after the other, in this process, for each degradation.

    An image that fails becomes an Outcome with an error. Raises what `loading.load` raises.
    """
    # no network runs on Y alone: bicubic needs none
    if evaluation.protocol == Y_ONLY:
        run = partial(_score_on_luma, evaluation=evaluation)
        for case in todo:
            yield _outcome(case, run, memory.peak, "")
        return
    enlarger = _enlarger(evaluation)
    # The first image must not pay for what is done once, such as compiling.
    enlarger.enlarge(np.zeros((32, 32, 3), np.uint8))
    for spec in evaluation.degradations:
        run = partial(_score_on_colours, evaluation=evaluation, spec=spec, enlarge=enlarger.enlarge)
        for case in todo:
            outcome = _outcome(case, run, enlarger.peak, enlarger.computed_by)
            yield replace(outcome, degradation=spec)


def _outcome(
    case: Case,
    run: Callable[[Case], tuple[Score, float]],
    peak: Callable[[], int],
    computed_by: str,
) -> Outcome:
    """The outcome of one image; its error if `run` fails."""
    try:
        measured, seconds = run(case)
    # the mean is over the others, and says over how many
    except (ImageError, OutOfMemory) as error:
        return Outcome(case.hr.name, error=error, computed_by=computed_by)
    return Outcome(case.hr.name, measured, seconds, peak(), computed_by=computed_by)


def _score_on_colours(
    case: Case, evaluation: Evaluation, spec: str, enlarge: Enlarge
) -> tuple[Score, float]:
    """The score of an image whose LR is degraded, and the seconds that enlarging took."""
    scale, border, protocol = evaluation.scale, evaluation.shaved, evaluation.protocol
    assert protocol != Y_ONLY, "see _score_on_luma"
    lr, hr = lr_and_hr(case, scale, evaluation.edges)
    check_window(str(case.hr), hr, border)
    lr = degraded_by(spec, lr)
    # reading and scoring are not what the network takes
    started = time.perf_counter()
    sr = enlarge(lr)
    seconds = time.perf_counter() - started
    if saved := evaluation.saved(case, spec):
        write_image(Image(sr), saved, overwrite=evaluation.overwrite)
    if protocol == TRUNCATED:  # the truncation is done, by `_truncating`
        protocol = "y-rounded"
    return score(sr, hr, protocol=protocol, border=border), seconds


def _score_on_luma(case: Case, evaluation: Evaluation) -> tuple[Score, float]:
    """Bicubic on Y alone, its LR version not rounded, as the papers' bicubic rows were computed."""
    border, edges = evaluation.shaved, evaluation.edges
    hr = _cropped_hr(_rounded_luma(case.hr), evaluation.scale, case)
    check_window(str(case.hr), hr, border)
    lr = lr_of(hr, evaluation.scale, edges)
    started = time.perf_counter()
    sr = np.rint(imresize(lr, size=(hr.shape[1], hr.shape[0]), edges=edges))
    measured = Score(psnr(sr, hr, border=border), ssim(sr, hr, border=border))
    return measured, time.perf_counter() - started


def _rounded_luma(path: Path) -> Values:
    """Y in whole levels; a grey file's own levels as they are.

    MATLAB's scripts did the latter: it decides over 0.1 dB of Set14's mean, by its grey "bridge".
    """
    values = levels(path)
    plane = luma(values) if values.shape[2] == 3 else values[:, :, 0]
    return np.rint(plane).astype(np.float64)


def lr_and_hr(case: Case, scale: int, edges: Edges) -> tuple[Values, Values]:
    """LR and HR as bytes H×W×3, HR cropped to `scale` times LR.

    Raises ImageError for an HR image that is too small, or a given LR image that does not fit.
    """
    hr = to_bytes(colours(case.hr))
    if case.lr is None:
        hr = _cropped_hr(hr, scale, case)
        return lr_of(hr, scale, edges), hr
    lr = to_bytes(colours(case.lr))
    height, width = lr.shape[0] * scale, lr.shape[1] * scale
    # HR may be larger by what was cropped before shrinking, which is less than `scale`.
    if not (0 <= hr.shape[0] - height < scale and 0 <= hr.shape[1] - width < scale):
        raise ImageError(
            f"{case.hr} is {hr.shape[1]}×{hr.shape[0]}, not {scale} times what "
            f"{case.lr} is {lr.shape[1]}×{lr.shape[0]}; check which files belong together",
            "{scale} gives another scale",
        )
    return lr, hr[:height, :width]


def _cropped_hr(hr: Values, scale: int, case: Case) -> Values:
    """HR cropped to multiples of the scale. Raises ImageError if nothing is left."""
    cropped = cropped_to_multiple(hr, scale)
    if not cropped.size:
        raise ImageError(f"{case.hr}: {hr.shape[1]}×{hr.shape[0]} cannot be shrunk {scale} times")
    return cropped


def to_bytes(pixels: Values) -> Values:
    """Values in 0–255 as contiguous uint8, rounded."""
    if pixels.dtype != np.uint8:
        pixels = np.rint(pixels).astype(np.uint8)
    return np.ascontiguousarray(pixels)


@dataclass(frozen=True)
class _Enlarger:
    """Enlarges an image H×W×3 of bytes; `peak()` is the most memory taken so far, in bytes."""

    enlarge: Enlarge
    peak: Callable[[], int] = memory.peak
    computed_by: str = ""


def _enlarger(evaluation: Evaluation) -> _Enlarger:
    if evaluation.model == BICUBIC:
        return _Enlarger(lambda lr: imresize(lr, scale=evaluation.scale, edges=evaluation.edges))
    if evaluation.model == AUTO:
        return _Enlarger(_choosing(evaluation))
    from srup.inference.loading import load

    options, truncated = evaluation.run_options, evaluation.protocol == TRUNCATED
    if truncated:  # needs the network itself, which only this engine has
        options = replace(options, engine="pytorch")
    upscaler = load(
        evaluation.model, scale=evaluation.scale, weights=evaluation.weights, **asdict(options)
    )
    program = upscaler.programs[-1]
    return _Enlarger(
        _truncating(upscaler) if truncated else upscaler,
        peak_of(program.device),
        program.computed_by,
    )


def _choosing(evaluation: Evaluation) -> Enlarge:
    """The network that suits each image by its pixels: LR has no file whose header could tell."""
    from srup.inference.loading import UpscalerCache

    cache = UpscalerCache(run_options=evaluation.run_options)

    def enlarge(lr: Values) -> Values:
        choice = choosing.choose(inspection_of(Pages((Image(lr),))))
        route = routing.route(choice.model, evaluation.scale, strength=choice.strength)
        enlarged: Values = cache(route, evaluation.scale)(lr)
        return enlarged

    return enlarge


def _truncating(upscaler: Upscaler) -> Enlarge:
    """The network over the whole image, its result truncated to bytes rather than rounded."""
    import torch

    from srup.inference.engines.pytorch import tensor_of

    def enlarge(lr: Values) -> Values:
        with torch.no_grad():
            sr = upscaler.network(tensor_of(lr).to(upscaler.programs[-1].device))[0]
        truncated: Values = (sr * 255).clamp_(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        return truncated

    return enlarge

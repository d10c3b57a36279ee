"""What worker processes do for requests: enlarge, look at and score files of a private folder."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from srup.errors import ReadError
from srup.evaluation.pairing import scale_in
from srup.evaluation.protocols import ProtocolName, score_files
from srup.images import open_image, read_pages
from srup.images.provenance import Provenance
from srup.inference.run_options import RunOptions
from srup.models import choosing, routing
from srup.models.inspect import inspection_of
from srup.pipeline import Decoded, Destination, Enlarged, Job, Recipe, Result, Worker
from srup.progress import StageProgress
from srup.report import Row, facts
from srup.report.page import MEDIA_TYPES, png_of
from srup.serve.problems import Stopping
from srup.storage import Entry

if TYPE_CHECKING:
    from srup.inference.loading import UpscalerCache

MOST = 12  # networks that a worker keeps loaded
SOURCE, RESULT, VIEW = "source", "-result", "view.png"  # names of files, and the end of one


class Networks:
    """The networks that a worker process has loaded, by how they are run."""

    def __init__(self) -> None:
        self.caches: dict[RunOptions, UpscalerCache] = {}

    def cache(self, run_options: RunOptions) -> UpscalerCache:
        """The cache for run options; all begin anew when they hold too much."""
        from srup.inference.loading import UpscalerCache

        # a strength may be any number, and each is a network of its own
        if sum(len(cache.ready) for cache in self.caches.values()) >= MOST:
            self.caches.clear()
        if run_options not in self.caches:
            self.caches[run_options] = UpscalerCache(run_options=run_options)
        return self.caches[run_options]


@dataclass(frozen=True)
class TaskContext:
    """What a task runs in: the device, what is loaded, and who hears of it."""

    device: str
    networks: Networks
    progress: StageProgress
    stopped: threading.Event

    def worker(self, recipe: Recipe) -> Worker:
        """A worker of `pipeline` for one job."""
        recipe = recipe.on(self.device)
        upscalers = self.networks.cache(recipe.run_options)
        return Worker(
            recipe, progress=self.progress, stopped=self.stopped, many=True, upscalers=upscalers
        )


@dataclass(frozen=True)
class MadePicture:
    """A picture that was enlarged. `warnings` are what was said on the way."""

    result: Result
    path: Path
    precision: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Enlarge:
    """Enlarges `folder/source` into the same folder; a result above `max_pixels` is refused.

    With `view`, it also writes what browsers show, where they do not show the result.
    """

    folder: Path
    source: Path
    label: str
    recipe: Recipe
    max_pixels: int
    view: bool = False

    def run(self, context: TaskContext) -> MadePicture:
        """Raises SrupError."""
        worker = context.worker(self.recipe)
        entry = Entry(str(self.source), SOURCE)
        job = Job(self.label, entry, Destination(str(self.folder), True, RESULT, True))
        with _Warnings() as warnings:
            read = worker.read(job)
            if isinstance(read, Decoded):
                self._check(read)
            enlarged = worker.enlarge(read)
            precision = _precision(worker, enlarged) if isinstance(enlarged, Enlarged) else ""
            if context.stopped.is_set():  # nobody wants it, and its folder may be gone
                raise Stopping("it was cancelled")
            result = worker.write(enlarged)
        if result.error:
            raise result.error
        path = Path(result.destination)
        if self.view:
            _view(path, self.folder)
        return MadePicture(result, path, precision, tuple(warnings.messages))

    def _check(self, read: Decoded) -> None:
        """Raises ReadError: a small picture can be asked to become one without end."""
        pixels = sum(width * height for width, height in read.plan.sizes)
        if pixels > self.max_pixels:
            about = f"{self.label} would become one of {pixels / 1e6:g} megapixels"
            limit = f"and this server makes at most {self.max_pixels / 1e6:g}"
            raise ReadError(f"{about}, {limit}", "take a smaller {scale}")


def _precision(worker: Worker, enlarged: Enlarged) -> str:
    """The precision that a picture was computed in: what it says itself, if anything is left."""
    made: Provenance | None = enlarged.pages.images[0].provenance
    if made:
        return made.precision
    upscaler = worker.upscalers(enlarged.plan.route, enlarged.plan.factor)
    return " ".join(dict.fromkeys(program.precision for program in upscaler.programs))


@dataclass(frozen=True)
class Seen:
    """What was found about a picture: its size, how damaged it is, and the network for it."""

    size: tuple[int, int]
    pages: int
    network: str
    found: str
    extension: str  # that browsers show it by, "png" where a view was made


@dataclass(frozen=True)
class Look:
    """Looks at a picture, and writes what browsers show where they do not show it as it is."""

    folder: Path
    source: Path
    max_pixels: int

    def run(self, _: TaskContext) -> Seen:
        """Raises SrupError."""
        pages = read_pages(self.source, max_pixels=self.max_pixels)
        choice = choosing.choose(inspection_of(pages))
        name = choice.model if choice.strength == 1 else f"{choice.model}, {choice.strength:g}"
        extension = _view(self.source, self.folder)
        return Seen(pages.images[0].size, len(pages), name, choice.why, extension)


def _view(path: Path, folder: Path) -> str:
    """The extension that browsers show a picture by; writes a PNG where they show it by none."""
    with open_image(path) as opened:
        extension = (opened.format or "").lower()
    if extension in MEDIA_TYPES:
        return extension
    (folder / VIEW).write_bytes(png_of(path))
    return "png"


@dataclass(frozen=True)
class ScorePair:
    """Scores one picture against another, as `srup score` does."""

    sr: Path
    hr: Path
    labels: tuple[str, str]
    max_pixels: int
    protocol: ProtocolName = "paper"
    scale: int | None = None
    border: int | None = None

    def run(self, _: TaskContext) -> dict[str, object]:
        """The row that `srup score --json` prints. Raises SrupError."""
        border = self.border
        if border is None:
            border = self.scale or scale_in(Path(self.labels[0])) or 0
        scored = score_files(
            self.sr,
            self.hr,
            protocol=self.protocol,
            border=border,
            max_pixels=self.max_pixels,
        )
        row = Row(self.labels[0], {"PSNR": scored.psnr, "SSIM": scored.ssim})
        return dict(facts(row, "image"))


@dataclass(frozen=True)
class Warm:
    """Loads what most requests will need, before the first one comes."""

    recipe: Recipe

    def run(self, context: TaskContext) -> None:
        """Loads nothing that would have to be downloaded."""
        cache = context.worker(self.recipe).upscalers
        for name in choosing.networks_of(self.recipe.model):
            route = routing.route(name, self.recipe.target.scale or 1)
            if cache.at_hand(route):
                cache(route, self.recipe.target.scale or 1)


Task = Enlarge | Look | ScorePair | Warm
Outcome = MadePicture | Seen | dict[str, object] | None


class _Warnings(logging.Handler):
    """Collects what srup warns of while the block runs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def __enter__(self) -> _Warnings:
        logging.getLogger("srup").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("srup").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

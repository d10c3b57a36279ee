"""One image from file to file: read, planned, enlarged, written.

    result = process(Recipe(model="imdn"), job("photo.jpg", "photo_x4.png"))

A `Recipe` says how, a `Job` which image and where to, a `Plan` what that comes to, a `Result` what
became of it. A `Worker` takes one job after another through the three steps, from one thread or
several.
"""

from __future__ import annotations

import io
import logging
import math
import shutil
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeVar

from srup import memory, storage, temporaries
from srup.errors import (
    AlreadyExists,
    ImageError,
    OutOfMemory,
    ReadError,
    ScaleError,
    SrupError,
    UsageError,
    WriteError,
    internal,
)
from srup.evaluation.consistency import consistency_of_pages
from srup.files import REPLACE, check_folder, writing
from srup.images import (
    EXTENSIONS,
    MAX_PIXELS,
    Encoding,
    Image,
    Pages,
    check_holds,
    default_format,
    format_of,
    read_pages,
    write_pages,
)
from srup.inference.run_options import RunOptions
from srup.inference.target import Target
from srup.models import choosing, routing
from srup.models.inspect import inspection_of
from srup.models.registry import AUTO, Model
from srup.progress import Progress, StageProgress
from srup.storage import Entry

if TYPE_CHECKING:
    from srup.inference.loading import UpscalerCache

T = TypeVar("T")

log = logging.getLogger(__name__)

Size = tuple[int, int]  # (width, height) in pixels
Status = Literal[
    "done", "failed", "stopped"
]  # stopped: not begun, or given up because srup was told to stop

STANDARD = "-"  # standard input as a source, standard output as a destination
CHUNK = 1 << 20  # bytes
SMALL_WINDOWS = 128  # pixels a side, for an image that did not fit into memory
DENSITIES = (1, 100_000)  # pixels per inch


@dataclass(frozen=True)
class ReadOptions:
    """What is read of an image, and what is kept of what came with it.

    Images of more than `max_pixels` are refused; `strip` leaves EXIF, XMP, IPTC and texts out, and
    what made the result; `dpi` replaces the density. Raises UsageError for one that is out of
    range.
    """

    max_pixels: int = MAX_PIXELS
    strip: bool = False
    dpi: float | None = None

    def __post_init__(self) -> None:
        low, high = DENSITIES
        if self.dpi is not None and not low <= self.dpi <= high:  # not a number is neither
            raise UsageError(f"{self.dpi:g} pixels per inch is no density from {low} to {high}")

    def read(self, source: str | Path | BinaryIO) -> Pages:
        """The pages of an image file with these options applied. Raises ReadError."""
        pages = read_pages(source, max_pixels=self.max_pixels)
        return pages.map(self._applied)

    def _applied(self, image: Image) -> Image:
        if self.strip:
            image = image.stripped()
        if self.dpi:
            image = replace(image, dpi=(self.dpi, self.dpi))
        return image


@dataclass(frozen=True)
class Recipe:
    """How images are enlarged: everything that holds for all of them alike.

    `weights` is a checkpoint of one's own. `format` is that of the results, as "jpeg"; None leaves
    it to the name of the destination, or where that has none takes PNG (TIFF for documents of
    several pages). `strength`, 0 to 1, is how much of compression and noise is taken away; None
    leaves it to the picture if `model` is "auto". `column` is that of the images in Parquet files.
    """

    target: Target = field(default_factory=lambda: Target(scale=4.0))
    model: str = AUTO
    weights: str | None = None
    run_options: RunOptions = field(default_factory=RunOptions)
    read_options: ReadOptions = field(default_factory=ReadOptions)
    encoding: Encoding = field(default_factory=Encoding)
    format: str | None = None
    strength: float | None = None
    column: str = "image"

    def on(self, device: str) -> Recipe:
        """The same recipe, computed on another device."""
        return replace(self, run_options=replace(self.run_options, device=device))


def check_suffix(suffix: str) -> None:
    """Raises UsageError if a name would be in another folder with this suffix, or be none."""
    name = f"a{suffix}"
    if PurePath(name).name != name or "\0" in name:
        raise UsageError(f"the suffix {suffix!r} is no part of a file name; leave slashes out")


@dataclass(frozen=True)
class Destination:
    """Where a result goes: a file, a URL, "-" for standard output, or with `is_folder` a folder.

    In a folder a result is called after its source: the stem, `suffix` (None: "_x4", or "_800x600"
    for a size) and the extension of its format. An existing file is replaced only with `overwrite`.
    `make_folders` creates the folders that are missing. Raises UsageError for a suffix that is no
    part of a file name.
    """

    place: str
    is_folder: bool = False
    suffix: str | None = None
    overwrite: bool = False
    make_folders: bool = False

    def __post_init__(self) -> None:
        if self.suffix:
            check_suffix(self.suffix)

    def resolved(self, source: Entry, recipe: Recipe, pages: Pages) -> str:
        """The file, URL or "-" that the result of `source` goes to."""
        if not self.is_folder:
            return self.place
        return storage.join(self.place, self.name_in_folder(source, recipe, pages))

    def name_in_folder(self, source: Entry, recipe: Recipe, pages: Pages) -> str:
        """The result's name after its source: "photo_x4.png"."""
        size = recipe.target.size(pages.images[0].size)
        return self.name_of(source, recipe.target, size, recipe.format or default_format(pages))

    def name_of(self, source: Entry, target: Target, size: Size, format_: str) -> str:
        """The same, where `size` is that of the result, and `format_` its format."""
        suffix = self.suffix
        if suffix is None:
            suffix = f"_x{target.scale:g}" if target.scale else "_{}x{}".format(*size)
        stem = "stdin" if source.path == STANDARD else PurePosixPath(source.name).stem
        return f"{stem}{suffix}{EXTENSIONS[format_]}"


@dataclass(frozen=True)
class Job:
    """One image to make. `name` tells it from the others: in a batch, the path of its result below
    the output folder.

    `tile` overrides the recipe's windows, for an image that did not fit into memory. A job that is
    in conflict with another is `refused`, and why.
    """

    name: str
    source: Entry
    destination: Destination
    tile: int | None = None
    refused: SrupError | None = None


def job(source: str | Path, destination: str | Path, *, overwrite: bool = False) -> Job:
    """The job that makes one file, URL or standard stream of another."""
    entry = Entry(str(source), PurePosixPath(str(source)).name)
    return Job(str(source), entry, Destination(str(destination), overwrite=overwrite))


@dataclass(frozen=True)
class Plan:
    """What a job comes to, known once its image is read and before anything is computed.

    `place` is the file, URL or "-" of the result and `name` a file name with its extension; `sizes`
    are those of the result's pages; `factor` is how many times the page that grows most is
    enlarged, `route` the networks that run for it, and `why` why these, where the picture decided.
    """

    job: Job
    recipe: Recipe
    pages: Pages
    place: str
    name: str
    sizes: tuple[Size, ...]
    factor: float
    route: tuple[Model, ...]
    why: str = ""

    @property
    def result_bytes(self) -> int:
        """Bytes of the result in memory, at most."""
        return sum(width * height for width, height in self.sizes) * 4

    @property
    def pixels(self) -> int:
        """Pixels of the input, of all pages."""
        return sum(image.size[0] * image.size[1] for image in self.pages.images)

    @property
    def networks(self) -> str:
        """What runs: "imdn ×4", or "imdn ×2 ×3, resized" where the networks enlarge more than was
        asked.
        """
        total = math.prod(row.scale for row in self.route)
        steps = routing.in_words(self.route)
        if not total:
            return steps
        strength = self.route[-1].strength
        mixed = f", strength {strength:g}" if strength < 1 else ""
        before = self.pages.images[0].size
        natural = (before[0] * total, before[1] * total)
        resized = self.recipe.target.enlarged(before) != natural
        return f"{steps}{mixed}{', resized' if resized else ''}"


def check(recipe: Recipe) -> None:
    """Checks what is the same for every image, before any work.

    Raises UnknownModel, UsageError, ScaleError.
    """
    own_weights = recipe.weights is not None
    choice = choosing.given(recipe.model, recipe.strength, own_weights=own_weights)
    if choice is not None:
        routing.route(
            choice.model,
            recipe.target.scale or 1,
            own_weights=own_weights,
            strength=choice.strength,
        )


def plan(recipe: Recipe, job: Job, pages: Pages) -> Plan:
    """What enlarging `pages` by a recipe comes to: a decision, nothing is written.

    With the model "auto" the first page is inspected. Raises WriteError if the format cannot hold
    the result, UsageError if the destination's name and the recipe's format contradict each other,
    ScaleError if no network enlarges so much.
    """
    target, destination = recipe.target, job.destination
    sizes = tuple(target.size(image.size) for image in pages.images)
    factor = max(target.factor(image.size) for image in pages.images)
    place = destination.resolved(job.source, recipe, pages)
    if place == STANDARD:
        name = destination.name_in_folder(job.source, recipe, pages)
    else:
        name = PurePosixPath(place).name if storage.is_url(place) else Path(place).name
    shown = name if place == STANDARD else place
    check_named(shown, recipe.format)
    check_holds(Path(shown), pages, sizes, recipe.encoding)
    # the page that grows most decides for all, so that one upscaler serves them
    own_weights = recipe.weights is not None
    choice = choosing.given(recipe.model, recipe.strength, own_weights=own_weights)
    if choice is None:
        choice = choosing.choose(inspection_of(pages))
    route = routing.route(choice.model, factor, own_weights=own_weights, strength=choice.strength)
    return Plan(job, recipe, pages, place, name, sizes, factor, route, choice.why)


def check_named(place: str, format_: str | None) -> None:
    """Raises UsageError if a name stands for another format than the one that was asked for."""
    if format_ and format_of(Path(place)) != format_:
        about = f"the name {place} and the format {format_} contradict each other"
        raise UsageError(f"{about}; give one")


def check_place(
    place: str, destination: Destination, taken: Collection[str], hints: Sequence[str] = REPLACE
) -> None:
    """Checks that a result can be written, better before the work than after it.

    `taken` are places of other results. Raises WriteError, and AlreadyExists with `hints`.
    """
    # a remote store is asked when the result is sent: to probe it would cost a request an image
    if place == STANDARD or storage.is_url(place):
        return
    path = Path(place)
    with writing(path):
        folder_exists, exists = path.parent.exists(), path.exists()
    if destination.make_folders and not folder_exists:
        return
    if not destination.overwrite and (exists or place in taken):
        raise AlreadyExists(f"{place} exists", *hints)
    # a read-only folder is met now rather than after minutes of computing
    check_folder(path)


@dataclass(frozen=True)
class Result:
    """What became of a job. `before` and `after` are the sizes of its first page, `pages` their
    number where it is not one.

    `networks` says what ran and `why` why it was chosen, if the picture decided. `bytes`, `stamp`
    and `sha256` are the input's. `consistency` is the PSNR in dB between the input
    and the result shrunk again (inf if they are equal; None where the result was cropped).
    `seconds` counts reading, computing and writing. Of a shard, `images` is how many it holds and
    `failed` how many of these could not be made, which its `error` tells. `retries` counts the
    transfers from and to a store that had to be made again.
    """

    name: str
    source: str
    status: Status
    error: SrupError | None = None
    destination: str = ""
    seconds: float = 0.0
    consistency: float | None = None
    before: Size | None = None
    after: Size | None = None
    pages: int | None = None
    animated: bool = False
    networks: str = ""
    why: str = ""
    bytes: int = 0
    stamp: str = ""
    sha256: str = ""
    images: int | None = None
    failed: int = 0
    retries: int = 0

    @property
    def no_memory(self) -> bool:
        """Whether it failed for lack of memory, and smaller windows might help."""
        return isinstance(self.error, OutOfMemory)


@dataclass(frozen=True)
class Decoded:
    """An image that was read, and what is to become of it; `result` as far as it is known."""

    plan: Plan
    result: Result


@dataclass(frozen=True)
class Enlarged:
    """An image that was enlarged, ready to be written; `result` as far as it is known."""

    plan: Plan
    result: Result
    pages: Pages


class Worker:
    """Makes the result of one job after another by a recipe; the networks are loaded when they are
    needed first.

    `process` may be called from several threads, which read and write side by side and compute in
    turn. The three steps of it, `read`, `enlarge` and `write`, may be run apart, so that one image
    is read while another is computed. Whatever is wrong with an image, and with no other, is in its
    Result; what concerns all of them is raised. `progress(stage, done, total)` hears of every stage
    of an image: reading, preparing the network, downloading, computing, writing. Once `stopped` is
    set, no further image is begun and the current one is given up. For `many` images an engine is
    chosen that computes fast, for others one that starts fast. `upscalers` are networks that other
    workers have loaded.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        progress: StageProgress | None = None,
        stopped: threading.Event | None = None,
        many: bool = False,
        upscalers: UpscalerCache | None = None,
    ) -> None:
        self.recipe, self.progress, self.stopped = recipe, progress, stopped or threading.Event()
        self.many = many
        # one image computes at a time: two would share the cores and take twice the memory
        self.device = threading.Lock()
        # results that wait to be written must not fill the memory that computing needs
        self.results = MemoryBudget(memory.available() // 3)
        self._upscalers = upscalers
        self.taken: set[str] = set()  # places that results of this worker go to

    @cached_property
    def upscalers(self) -> UpscalerCache:
        """The networks, each loaded once."""
        from srup.inference.loading import UpscalerCache

        return self._upscalers or UpscalerCache(self.recipe.weights, self.recipe.run_options)

    def process(self, job: Job) -> Result:
        """The result of a job, from file to file."""
        read = self.read(job)
        if isinstance(read, Result):
            return read
        # the budget is held until the file is written, which is when the result goes
        with self.results.taken(read.plan.result_bytes):
            with self.device:
                enlarged = self.enlarge(read)
            return self.write(enlarged)

    def read(self, job: Job) -> Decoded | Result:
        """The image of a job, decoded, and its plan."""
        source = job.source
        begun = Result(job.name, source.path, "stopped", bytes=source.size, stamp=source.stamp)
        if self.stopped.is_set():
            return begun
        return attempted(begun, self._read, job, begun)

    def enlarge(self, read: Decoded | Result) -> Enlarged | Result:
        """The image enlarged; a Result is handed on."""
        if isinstance(read, Result):
            return read
        return attempted(read.result, self._enlarge, read)

    def write(self, enlarged: Enlarged | Result) -> Result:
        """The result, written; a Result is handed on."""
        if isinstance(enlarged, Result):
            return enlarged
        return attempted(enlarged.result, self._write, enlarged)

    def _read(self, job: Job, begun: Result) -> Decoded:
        started = time.perf_counter()
        if job.source.error:
            raise ReadError(job.source.error)
        with self._shown(f"reading {_shown_name(job)}"), fetched(job.source) as source:
            pages = self.recipe.read_options.read(source)
            sha256 = storage.digest(source) if isinstance(source, Path) else ""
        decided = plan(self.recipe, job, pages)
        check_place(decided.place, job.destination, self.taken, _instead(decided))
        self.taken.add(decided.place)
        known = replace(
            begun,
            destination=decided.place,
            before=pages.images[0].size,
            after=decided.sizes[0],
            pages=len(pages) if len(pages) > 1 else None,
            animated=pages.animated,
            networks=decided.networks,
            why=decided.why,
            sha256=sha256,
        )
        self._say_why(decided)
        return Decoded(decided, after(known, started))

    def _say_why(self, decided: Plan) -> None:
        """Logs why a network was chosen, or that the one that was named is not for this picture."""
        name = decided.job.source.path
        if decided.why:
            log.info("%s: %s, since %s", name, decided.networks, decided.why)
        elif self._advises(decided):
            advice = choosing.advice(self.recipe.model, inspection_of(decided.pages))
            if advice:
                log.warning("%s: %s", name, advice)

    def _advises(self, decided: Plan) -> bool:
        """Whether to say so where the network that was named is not for this picture."""
        own = self.recipe.weights is not None or any(row.is_file for row in decided.route)
        return self.recipe.model != AUTO and not own and not self.many

    def _enlarge(self, read: Decoded) -> Enlarged:
        decided, started = read.plan, time.perf_counter()
        with self._shown(f"preparing {decided.route[0].name}"):
            upscaler = self.upscalers(
                decided.route,
                decided.factor,
                pixels=math.inf if self.many else decided.pixels,
                progress=self._told("downloading weights"),
            )
        if decided.job.tile:
            upscaler = replace(upscaler, tile=decided.job.tile)
        computing = self._told(f"enlarging {_shown_name(decided.job)}")
        enlarged = upscaler(decided.pages, size=self.recipe.target, progress=computing)
        if self.recipe.read_options.strip:
            enlarged = enlarged.map(Image.stripped)
        return Enlarged(decided, after(read.result, started), enlarged)

    def _told(self, stage: str) -> Progress:
        """Progress of one stage, as this worker's; raises Stopped where it is to stop."""

        def progress(done: float, total: float) -> None:
            # progress is called after every window, often enough to stop within seconds
            if self.stopped.is_set():
                raise Stopped
            if self.progress:
                self.progress(stage, done, total)

        return progress

    @contextmanager
    def _shown(self, stage: str) -> Iterator[None]:
        """Progress of a stage whose length is not known, for as long as the block runs."""
        tell = self.progress or _tell_nobody
        tell(stage, 0, 0)
        try:
            yield
        finally:
            tell(stage, 1, 1)

    def prepare_next_start(self) -> None:
        """What makes the next start faster; to be called when nobody waits for a result any more.

        Does nothing where no network was loaded.
        """
        for program in self.upscalers.programs():
            if program.afterwards and not self.stopped.is_set():
                with self._shown(f"preparing {program.name} for faster starts, once"):
                    program.afterwards()

    def _write(self, enlarged: Enlarged) -> Result:
        decided, started = enlarged.plan, time.perf_counter()
        with (
            self._shown(f"writing {PurePosixPath(decided.place).name}"),
            ThreadPoolExecutor(1, "compare") as beside,
        ):
            kept = None
            if not self.recipe.target.crops:  # what was cut off cannot be compared
                name = decided.job.source.path
                kept = beside.submit(consistency_of_pages, decided.pages, enlarged.pages, name=name)
            write(enlarged.pages, decided)
        done = replace(after(enlarged.result, started), status="done")
        return replace(done, consistency=kept.result() if kept else None)


def _instead(decided: Plan) -> tuple[str, ...]:
    """Hints for a result whose place is taken, most likely by one of another network."""
    if not decided.job.destination.is_folder:
        return REPLACE
    both = f"{{suffix=_{decided.route[0].name}}} keeps both"
    return "{overwrite} replaces it", both, "{compare} shows networks side by side"


def _shown_name(job: Job) -> str:
    return PurePosixPath(job.source.name).name


def _tell_nobody(stage: str, done: float, total: float) -> None:
    """A callback of stages that does nothing."""


def process(recipe: Recipe, job: Job, *, progress: StageProgress | None = None) -> Result:
    """Makes one image, from file to file; what is wrong with it is in the Result.

    Raises WeightsError, EngineUnavailable and UsageError, which would be the same for every image.
    """
    return Worker(recipe, progress=progress).process(job)


class Stopped(Exception):
    """Raised inside a computation that is to be given up."""


def attempted(begun: Result, step: Callable[..., T], *args: object) -> T | Result:
    """What a step returns; or, where it fails for a reason that is this image's alone, `begun` as a
    failure.

    The one place where an error becomes a Result. What nobody expected is this image's failure too:
    the others are made.
    """
    try:
        return step(*args)
    except Stopped:
        return replace(begun, status="stopped")
    except Exception as error:
        return replace(begun, status="failed", error=failure_of(error, begun.source))


def failure_of(error: Exception, source: str) -> SrupError:
    """What an error says of the image `source` alone; raises it again if it concerns all images."""
    if isinstance(error, (ImageError, ScaleError)):
        return error
    if isinstance(error, OutOfMemory):
        named = source in error.message
        return error if named else OutOfMemory(f"{source}: {error.message}", *error.hints)
    # Python and NumPy say it so, where an engine did not translate it
    if isinstance(error, MemoryError):
        return OutOfMemory(f"{source}: the memory is full", "take a smaller {scale}")
    # a broken pipe: whoever reads what is written has gone
    if isinstance(error, (SrupError, BrokenPipeError)):
        raise error
    if isinstance(error, OSError):
        return ImageError(f"{source}: {error}")
    return internal(error, source)


def after(result: Result, started: float) -> Result:
    """The result with the seconds since `started` (of time.perf_counter) added."""
    return replace(result, seconds=result.seconds + time.perf_counter() - started)


@contextmanager
def fetched(source: Entry) -> Iterator[Path | BinaryIO]:
    """What a source holds: a local file, or a stream of standard input. Raises ReadError."""
    if source.path == STANDARD:
        yield io.BytesIO(standard_input())
        return
    with storage.fetched(source.path) as local:
        yield local


def standard_input() -> bytes:
    """All of standard input. Raises ReadError if it is closed or cannot be read."""
    if sys.stdin is None:  # closed by whoever started us
        raise ReadError("cannot read standard input: it is closed; send a file into it with <")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise ReadError(
            f"cannot read standard input: {error.strerror or error}; send a file into it with <"
        ) from error


def write(pages: Pages, decided: Plan) -> None:
    """Writes the enlarged pages where the plan says, whole or not at all. Raises WriteError."""
    encoding, overwrite = decided.recipe.encoding, decided.job.destination.overwrite
    if decided.place != STANDARD:
        with storage.stored(decided.place, overwrite=overwrite) as path:
            write_pages(pages, path, encoding=encoding, overwrite=overwrite)
        return
    with temporaries.folder() as folder:  # some encoders go back and forth in their file
        path = folder / decided.name
        write_pages(pages, path, encoding=encoding)
        write_to_standard_output(path)


def write_to_standard_output(path: Path) -> None:
    """Copies a file to standard output. Raises WriteError; BrokenPipeError if nobody reads it."""
    with path.open("rb") as file, _standard_output() as output:
        shutil.copyfileobj(file, output, CHUNK)
        output.flush()


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    """Standard output for bytes. Raises WriteError; BrokenPipeError if its reader has gone."""
    if sys.stdout is None:  # closed by whoever started us
        raise WriteError("cannot write to standard output: it is closed", "{output} names a file")
    try:
        yield sys.stdout.buffer
    except BrokenPipeError:
        raise
    except OSError as error:
        about = f"cannot write to standard output: {error.strerror or error}"
        raise WriteError(about, "{output} names a file") from error


class MemoryBudget:
    """Bytes for results on their way, shared by threads.

    A request above the budget waits until nothing else is in flight.
    """

    def __init__(self, size: int) -> None:
        self.size, self.used, self.freed = size, 0, threading.Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Takes `amount` bytes for the length of a block, waiting until they are there."""
        with self.freed:
            self.freed.wait_for(lambda: not self.used or self.used + amount <= self.size)
            self.used += amount
        try:
            yield
        finally:
            with self.freed:
                self.used -= amount
                self.freed.notify_all()

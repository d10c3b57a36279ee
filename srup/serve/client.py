"""The other end of the API: has images enlarged by a server, and loads nothing itself.

    Client(Server("http://127.0.0.1:7000"), Recipe()).process(job("photo.jpg", "photo_x4.png"))

Errors have the words and exit codes that they would have here.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

from srup import storage, temporaries
from srup.batch.planning import size_of
from srup.errors import ImageError, SrupError, UsageError, reason_of
from srup.files import placing
from srup.images import FORMATS, format_of, open_bytes
from srup.inference.run_options import RunOptions
from srup.models import community, routing
from srup.pipeline import (
    STANDARD,
    Job,
    ReadOptions,
    Recipe,
    Result,
    Size,
    after,
    attempted,
    check_named,
    check_place,
    fetched,
    write_to_standard_output,
)
from srup.progress import StageProgress
from srup.serve.parameters import NAME, fields_of
from srup.serve.problems import MEDIA_TYPE, Busy, error_of

if TYPE_CHECKING:  # importing requests takes a while
    from requests import PreparedRequest, Response

log = logging.getLogger(__name__)

TIMES = (10, 3600)  # seconds until a server must answer at all, and until it must have a result
PATIENCE = 3600  # seconds that a server may be busy
LONGEST = 120  # seconds between two attempts
CHUNK = 1 << 20  # bytes
SENT = ".in"  # ends what the server knows a picture as; the result has another ending
DECIDED = ("tile", "device", "engine")  # of RunOptions, by the server
DOCUMENTS = [end for row in FORMATS.values() if row.paged for end in row.extensions]


class ServerError(ImageError):
    """A server that cannot be reached, or is not one of srup."""


@dataclass(frozen=True)
class Server:
    """Where a server is, and the token that it asks for. Raises UsageError for what is no URL."""

    url: str
    token: str | None = None

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            right = parts.scheme in ("http", "https") and parts.hostname and not parts.username
            right = right and parts.port != 0  # which raises for what is no number
        except ValueError:
            right = False
        if not right:
            # which is not shown: it may hold a password
            about = "what was given is no address of a server"
            raise UsageError(about, "give {server} one like http://localhost:7000")

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine, so that no proxy is asked."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def authorized(self, request: PreparedRequest) -> PreparedRequest:
        """The request with the token, if there is one, and with no other secret."""
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def check_sendable(recipe: Recipe) -> None:
    """Raises UsageError for what a request cannot say, since the server decides it."""
    own, usual = recipe.run_options, RunOptions()
    said = {
        "weights": recipe.weights is not None,
        "max_pixels": recipe.read_options.max_pixels != ReadOptions.max_pixels,
        **{name: getattr(own, name) != getattr(usual, name) for name in DECIDED},
    }
    for name, is_said in said.items():
        if is_said:
            raise UsageError("a server decides this itself", f"leave out {{{name}}}", "or {server}")
    if any(map(community.is_file, recipe.model.split(routing.CHAIN))):
        raise UsageError("a server runs networks that it has, and no file", "leave out {server}")


class Client:
    """Has a server make one image after another; `process` is like that of `pipeline.Worker`.

    Raises UsageError for a recipe that cannot be sent.
    """

    def __init__(
        self, server: Server, recipe: Recipe, *, progress: StageProgress | None = None
    ) -> None:
        import requests

        check_sendable(recipe)
        self.server, self.recipe, self.progress = server, recipe, progress
        self.taken: set[str] = set()  # places that results go to
        self.session = requests.Session()
        self.session.trust_env = not server.is_here

    def process(self, job: Job) -> Result:
        """The result of a job, from file to file. Raises what is not this image's alone."""
        source = job.source
        begun = Result(job.name, source.path, "stopped", bytes=source.size, stamp=source.stamp)
        return attempted(begun, self._process, job, begun)

    def _process(self, job: Job, begun: Result) -> Result:
        started = time.perf_counter()
        recipe = _with_format(self.recipe, job)
        expected = _expected(job, recipe)
        if expected:  # better refused now than when it is made
            check_place(expected, job.destination, self.taken)
        label = secrets.token_hex(8)
        source = "standard input" if job.source.path == STANDARD else job.source.path
        words = _Words(label, source, expected or "the result")
        with self._made(job, recipe, words) as answer:
            made = _result(begun, answer.headers)
            place = expected or _place(job, recipe, made.after or (0, 0), _format(answer))
            if not expected:
                check_place(place, job.destination, self.taken)
            self.taken.add(place)
            for warning in json.loads(unquote(answer.headers.get("X-Srup-Warnings", "[]"))):
                log.warning("%s", words.told(str(warning)))
            self._write(answer, place, overwrite=job.destination.overwrite)
        return after(replace(made, destination=place), started)

    def _made(self, job: Job, recipe: Recipe, words: _Words) -> Response:
        """The answer with the result; waits while the server is busy. Raises SrupError."""
        due = time.monotonic() + PATIENCE
        while True:
            answer = self._answer(job, [*fields_of(recipe), (NAME, f"{words.label}{SENT}")])
            if answer.status_code == 200:
                return answer
            error = self._refusal(answer)
            if not isinstance(error, Busy) or time.monotonic() > due:
                error.message = words.told(error.message)
                raise error
            log.info("%s", error)
            wait = answer.headers.get("Retry-After", "")
            time.sleep(min(int(wait), LONGEST) if wait.isdecimal() else 1)

    def _answer(self, job: Job, fields: list[tuple[str, str]]) -> Response:
        stage = f"sending {Path(job.source.name).name}"
        with fetched(job.source) as source, _opened(source) as file, self._reaching():
            return self.session.post(
                f"{self.server.url.rstrip('/')}/v1/upscale",
                data=_Body(file, stage, self.progress),
                params=fields,
                auth=self.server.authorized,
                stream=True,
                allow_redirects=False,  # nobody else is to have the token
                timeout=TIMES,
            )

    def _refusal(self, answer: Response) -> SrupError:
        """What an answer without a result says."""
        if answer.headers.get("Content-Type", "").startswith(MEDIA_TYPE):
            with self._reaching():
                return error_of(answer.json())
        about = f"{self.server.url} answered {answer.status_code} {answer.reason}"
        return ServerError(f"{about}; is it srup serve?", "{server} names another")

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turns what requests raises into a ServerError."""
        import requests

        try:
            yield
        except requests.RequestException as error:
            about = f"cannot reach {self.server.url}: {_why(error)}"
            raise ServerError(f"{about}; see that srup serve runs there") from error

    def _write(self, answer: Response, place: str, *, overwrite: bool) -> None:
        """Writes a result where it goes, whole or not at all. Raises WriteError, ServerError."""
        if place == STANDARD:
            with temporaries.folder() as folder:
                self._receive(answer, folder / "result")
                write_to_standard_output(folder / "result")
            return
        with (
            storage.stored(place, overwrite=overwrite) as path,
            placing(path, overwrite=overwrite) as temporary,
        ):
            self._receive(answer, temporary)

    def _receive(self, answer: Response, path: Path) -> None:
        total, done = int(answer.headers.get("Content-Length", 0)), 0
        with path.open("wb") as file, self._reaching():
            for piece in answer.iter_content(CHUNK):
                done += file.write(piece)
                if self.progress:
                    self.progress("receiving", done, total)


@dataclass(frozen=True)
class _Words:
    """What the server calls a picture and its result, and what they are called here.

    It is told no names: a label that occurs nowhere else can be replaced in all that it says.
    """

    label: str
    source: str
    destination: str

    def told(self, text: str) -> str:
        """What the server says, in words of this side."""
        text = text.replace(f"{self.label}{SENT}", self.source)
        return re.sub(rf"{self.label}\w*(\.\w+)?", lambda _: self.destination, text)


def _opened(source: Path | BinaryIO) -> AbstractContextManager[BinaryIO]:
    return open_bytes(source) if isinstance(source, Path) else nullcontext(source)


class _Body:
    """A file to send, whose progress is told. requests asks for its length."""

    def __init__(self, file: BinaryIO, stage: str, progress: StageProgress | None) -> None:
        self.file, self.stage, self.progress = file, stage, progress
        self.size = file.seek(0, 2)
        file.seek(0)

    def __len__(self) -> int:
        return self.size

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        piece = self.file.read(size)
        if self.progress:
            self.progress(self.stage, self.file.tell(), self.size)
        return piece


def _with_format(recipe: Recipe, job: Job) -> Recipe:
    """The recipe with the format that the destination's name stands for. Raises UsageError."""
    place = job.destination.place
    if job.destination.is_folder or place == STANDARD:
        return recipe
    check_named(place, recipe.format)
    return replace(recipe, format=format_of(Path(place)))


def _expected(job: Job, recipe: Recipe) -> str | None:
    """Where the result will go, if that can be known before."""
    if not job.destination.is_folder:
        return job.destination.place
    size = (1, 1) if recipe.target.scale else size_of(job)
    may_be_document = Path(job.source.name).suffix.lower() in DOCUMENTS
    format_ = recipe.format or ("" if may_be_document else "png")
    if not size or not format_:
        return None
    return _place(job, recipe, recipe.target.size(size), format_)


def _place(job: Job, recipe: Recipe, size: Size, format_: str) -> str:
    """Where a result of a size and format goes."""
    destination = job.destination
    if not destination.is_folder:
        return destination.place
    name = destination.name_of(job.source, recipe.target, size, format_)
    return storage.join(destination.place, name)


def _format(answer: Response) -> str:
    """The format of a result. Raises ServerError for an answer that has none."""
    kind, _, name = answer.headers.get("Content-Type", "").partition("/")
    if kind != "image" or name not in FORMATS:
        raise ServerError(f"{answer.url.partition('?')[0]} sent no picture; is it srup serve?")
    return name


def _result(begun: Result, headers: Mapping[str, str]) -> Result:
    """What the headers of an answer say of a result. Raises ServerError."""
    try:
        pages, consistency = int(headers["X-Srup-Pages"]), headers.get("X-Srup-Consistency")
        return replace(
            begun,
            status="done",
            before=_size(headers["X-Srup-Before"]),
            after=_size(headers["X-Srup-After"]),
            pages=pages if pages > 1 else None,
            animated="X-Srup-Animated" in headers,
            networks=re.sub(r" x(?=\d)", " ×", unquote(headers["X-Srup-Network"])),
            why=unquote(headers.get("X-Srup-Why", "")),
            consistency=float(consistency) if consistency else None,
        )
    except (KeyError, ValueError) as error:
        raise ServerError(f"the server's answer lacks {error}; is it srup serve?") from error


def _size(text: str) -> Size:
    width, _, height = text.partition("x")
    return int(width), int(height)


def _why(error: Exception) -> str:
    """Why a server cannot be reached, in a few words: what requests says is full of addresses."""
    text = str(error)
    known = {
        "Connection refused": "nothing listens there",
        "timed out": "it does not answer",
        "Name or service not known": "no machine is called so",
        "resolve": "no machine is called so",
        "reset": "it broke the connection off",
        "aborted": "it broke the connection off",
        "BrokenPipe": "it broke the connection off",
        "IncompleteRead": "it broke the connection off",
    }
    return next((words for sign, words in known.items() if sign in text), reason_of(error))

"""Judges cases in child processes, within limits of time and memory."""

from __future__ import annotations

import faulthandler
import io
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Literal

import srup
from srup import memory
from srup.errors import InternalError, SrupError
from tests.fuzz import targets

LIMIT = 10.0  # seconds a case
MEMORY = 1_500_000_000  # bytes that a process may hold at once
BEYOND = 4 << 30  # bytes that it may ask for, so that the machine goes on working
STARTING = 120.0  # seconds in which imports are done and seeds made
ANSWER, ANSWERS = 0.05, 100  # seconds, and how often, to wait for a hanging process to say where

PACKAGE = f"{Path(srup.__file__).parent}{os.sep}"

Verdict = Literal["ok", "refused", "foreign", "hang", "death", "memory"]
RIGHT = ("ok", "refused")


@dataclass(frozen=True)
class Outcome:
    """What became of a case. `where` tells findings apart, `about` is for people."""

    verdict: Verdict
    case: bytes
    where: str = ""
    about: str = ""
    seconds: float = 0.0
    peak: int = 0  # bytes

    @property
    def wrong(self) -> bool:
        return self.verdict not in RIGHT


class Judge:
    """A process that judges cases of a target, and is replaced when it hangs or dies."""

    def __init__(self, name: str, seed: int = 0, *, limit: float = LIMIT) -> None:
        self.name, self.seed, self.limit = name, seed, limit
        self.home = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self.process: multiprocessing.process.BaseProcess | None = None

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        shutil.rmtree(self.home, ignore_errors=True)

    def outcome(self, request: int | bytes) -> Outcome:
        """What becomes of a case: of this number, or of these bytes."""
        if self.process is None:
            self._begin()
        self.connection.send(request)
        case = request if isinstance(request, bytes) else b""
        try:
            if self.connection.poll(self.limit):
                case = self.connection.recv()
                if self.connection.poll(self.limit):
                    found: Outcome = self.connection.recv()
                    return replace(found, case=case)
            self._ask_where()
            self._end()
            return Outcome("hang", case, *self._last_words("hang"), self.limit)
        except EOFError:
            assert self.process
            self.process.join()
            code = self.process.exitcode
            self._end()
            return Outcome("death", case, *self._last_words(f"exit code {code}"))

    def _begin(self) -> None:
        shutil.rmtree(self.home / "case", ignore_errors=True)  # of a process that was killed
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (self.name, self.seed, self.home, theirs)
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        assert self.connection.poll(STARTING), "the process does not begin"
        self.connection.recv()

    def _ask_where(self) -> None:
        """Has a process that hangs write down where it is, and waits until it has."""
        assert self.process and self.process.pid
        words, size = self.home / "words", 0
        os.kill(self.process.pid, signal.SIGUSR1)
        for _ in range(ANSWERS):
            self.connection.poll(ANSWER)
            before, size = size, words.stat().st_size
            if size and size == before:
                return

    def _end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.connection.close()
            self.process = None

    def _last_words(self, kind: str) -> tuple[str, str]:
        """Where a process was when it hung or died, as `Outcome` has it."""
        words = (self.home / "words").read_text(errors="replace")
        frames = [line.strip() for line in words.splitlines() if 'File "' in line]
        own = [frame for frame in frames if PACKAGE in frame] or frames or [""]
        return f"{kind} {own[0]}", words


def _serve(name: str, seed: int, home: Path, connection: Connection) -> None:
    """Judges what is asked for: sends the case, and then its outcome."""
    os.environ |= {"SRUP_CACHE": str(home / "cache"), "SRUP_OFFLINE": "1"}
    os.environ |= {"SRUP_ENGINE": "pytorch", "OMP_NUM_THREADS": "1", "TMPDIR": str(home / "tmp")}
    if name == "http":
        del os.environ["SRUP_OFFLINE"]
    (home / "tmp").mkdir(exist_ok=True)
    target = targets.target(name)
    target.make(Random(0))  # seeds are made, and plugins loaded
    words = (home / "words").open("w")
    _silence()
    faulthandler.enable(words)
    faulthandler.register(signal.SIGUSR1, words, all_threads=False)
    resource.setrlimit(resource.RLIMIT_AS, (memory.resident() + BEYOND, resource.RLIM_INFINITY))
    connection.send(None)
    while True:
        request = connection.recv()
        try:
            case = request if isinstance(request, bytes) else made(target, name, seed, request)
        except Exception:  # a mistake of the target's, which ends the process
            traceback.print_exc(file=words)
            raise
        connection.send(case)
        words.seek(0)
        words.truncate()  # what an earlier case left says nothing of this one
        connection.send(_judged(target, case, home / "case"))


def made(target: targets.Target, name: str, seed: int, number: int) -> bytes:
    """The case of this number."""
    return target.make(Random(f"{name} {seed} {number}"))


def _silence() -> None:
    """Libraries in C say what they think of a file, a thousand times."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    sys.stdout = sys.stderr = io.StringIO()


def _judged(target: targets.Target, case: bytes, folder: Path) -> Outcome:
    folder.mkdir()
    _forget_peak()
    started = time.perf_counter()
    verdict, where, about = _verdict(target, case, folder)
    seconds, peak = time.perf_counter() - started, memory.peak()
    os.chdir(folder.parent)
    shutil.rmtree(folder)
    if peak > MEMORY and verdict in RIGHT:
        verdict, where, about = "memory", "memory", f"{peak / 1e6:.0f} MB"
    return Outcome(verdict, b"", where, about, seconds, peak)


def _verdict(target: targets.Target, case: bytes, folder: Path) -> tuple[Verdict, str, str]:
    try:
        target.run(case, folder)
    except BaseException as error:
        if isinstance(error, SrupError) and not isinstance(error, InternalError):
            return "refused", "", str(error)
        where = f"{type(error).__name__} {_innermost(_first(error))}"
        return "foreign", where, "".join(traceback.format_exception(error))
    return "ok", "", ""


def _first(error: BaseException) -> BaseException:
    """The error that others were made of."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _innermost(error: BaseException) -> str:
    """The kind of an error, and where it was raised: the last line, and the last one of srup."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if PACKAGE in frame.filename]
    lines = [f"{Path(frame.filename).name}:{frame.name}" for frame in (*own[-1:], *frames[-1:])]
    return " ".join((type(error).__name__, *dict.fromkeys(lines)))


def _forget_peak() -> None:
    """Makes `memory.peak` count from now on."""
    Path("/proc/self/clear_refs").write_text("5")

"""Everything srup can say no with.

SrupError
├── UsageError            asked for what cannot be                        exit 2
│   ├── UnknownModel      no such name in the registry
│   ├── ScaleError        a scale no network, or this one, can do
│   └── EngineUnavailable an engine, extra or device that is not here
├── WeightsError          weights could not be had or do not fit          exit 3
│   ├── Offline           they would have to be downloaded, and may not be
│   ├── DownloadError     no source delivered them
│   ├── DigestMismatch    what was delivered is not what was published
│   └── WeightsMismatch   a checkpoint of another network
├── ImageError            this image failed, the next may not             exit 1
│   ├── ReadError         not an image, or a damaged one
│   ├── WriteError        the result could not be put where it should go
│   │   └── AlreadyExists a file is there that may not be replaced
│   ├── UnsoundResult     what was computed is no picture
│   └── InternalError     a mistake of srup's own, met at this image
├── OutOfMemory           too little memory or disk for this image        exit 1
└── TrainingError         training cannot begin or go on                  exit 1

A message is one line: what, where, and what to do next. What to do next often concerns an option,
which is called one thing in Python and another on the command line, and which not every command
has. So a hint names the option in braces, and whoever shows the error says how it is spelled:

    raise ReadError(f"{path} has more than 500 megapixels", "{max_pixels} raises this limit")
    raise OutOfMemory("the memory is full", "take smaller windows with {tile=128}")
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable

log = logging.getLogger(__name__)

REASON = 160  # characters of another library's message that are worth repeating
OPTION = re.compile(r"\{(\w+)(?:=([^{}]*))?\}")  # {name} or {name=value} in a hint

Spelling = Callable[
    [str, str | None], str | None
]  # (name of an option, value) → how it is written, None if there is none


def keyword(name: str, value: str | None) -> str:
    """How an option is written in Python."""
    return name if value is None else f"{name}={value}"


class SrupError(Exception):
    """What srup raises for anything that can go wrong in the world; the message is for people.

    `hints` say what to do next. An option in one is written `{name}` or `{name=value}`.
    """

    exit_code = 1

    def __init__(self, message: str, *hints: str) -> None:
        super().__init__(message, *hints)
        self.message, self.hints = message, hints

    def __str__(self) -> str:
        return self.told(keyword)

    def told(self, spelling: Spelling) -> str:
        """The message with those hints whose options `spelling` can write."""
        hints = [told for hint in self.hints if (told := spelled(hint, spelling)) is not None]
        return "; ".join([self.message, *([", ".join(hints)] if hints else [])])


def spelled(hint: str, spelling: Spelling) -> str | None:
    """A hint with its options written by `spelling`; None if one of them cannot be."""
    for name, value in OPTION.findall(hint):
        if spelling(name, value or None) is None:
            return None
    return OPTION.sub(lambda match: spelling(match[1], match[2]) or "", hint)


class UsageError(SrupError):
    exit_code = 2


class UnknownModel(UsageError):
    pass


class ScaleError(UsageError):
    pass


class EngineUnavailable(UsageError):
    pass


class WeightsError(SrupError):
    exit_code = 3


class Offline(WeightsError):
    pass


class DownloadError(WeightsError):
    pass


class DigestMismatch(WeightsError):
    pass


class WeightsMismatch(WeightsError):
    pass


class ImageError(SrupError):
    pass


class ReadError(ImageError):
    pass


class WriteError(ImageError):
    pass


class AlreadyExists(WriteError):
    pass


class UnsoundResult(ImageError):
    pass


class InternalError(ImageError):
    pass


class OutOfMemory(SrupError):
    pass


class TrainingError(SrupError):
    pass


def internal(error: BaseException, about: str) -> InternalError:
    """The error for what should not have happened, whose traceback is logged.

    `about` says what was being done, as "cannot read a.png".
    """
    log.info("an unexpected error in srup", exc_info=error)
    return InternalError(
        f"{about}: an unexpected error in srup ({type(error).__name__}: {reason_of(error)}); "
        "please report it",
        "{verbose} shows where it was raised",
    )


def is_internal(error: BaseException) -> bool:
    """Whether the line that raised an error is one of srup, and not of a library that it calls."""
    frames = list(traceback.walk_tb(error.__traceback__))
    module: str = frames[-1][0].f_globals.get("__name__", "")
    return module.partition(".")[0] == "srup"


def reason_of(error: BaseException) -> str:
    """What another library says went wrong, in one short line."""
    lines = str(error).strip().splitlines()
    return lines[0][:REASON] if lines else type(error).__name__

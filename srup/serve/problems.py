"""Errors as problem documents (RFC 9457), and problem documents as errors again.

A document has the text and the hints of the error as the command line would show them; `srup
upscale --server` makes the same error of it, with the same exit code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from srup.errors import (
    ImageError,
    InternalError,
    OutOfMemory,
    SrupError,
    UnsoundResult,
    UsageError,
    WeightsError,
    spelled,
)
from srup.serve.parameters import spelling

MEDIA_TYPE = "application/problem+json"
KIND = "urn:srup:"  # begins the type of a problem; the name of the error's class follows


class Unknown(UsageError):
    """There is nothing at this address."""


class Forbidden(UsageError):
    """The request comes from where none may come from."""


class TokenMissing(UsageError):
    """The request has no token, or a wrong one."""


class NotAcceptable(UsageError):
    """The client accepts no format that srup writes."""


class TooLarge(ImageError):
    """The request has more bytes than the server takes."""


class TooSlow(ImageError):
    """The request came too slowly, or took too long to compute."""


class StorageFull(ImageError):
    """What the server keeps has reached its limit."""


class Stopping(ImageError):
    """The server ends, or the request was cancelled."""


class Busy(ImageError):
    """As many requests wait as may. `retry_after` is in seconds."""

    def __init__(self, message: str, *hints: str, retry_after: int = 1) -> None:
        super().__init__(message, *hints)
        self.retry_after = retry_after


STATUS: dict[type[SrupError], HTTPStatus] = {  # a class stands for those below it
    Unknown: HTTPStatus.NOT_FOUND,
    Forbidden: HTTPStatus.FORBIDDEN,
    TokenMissing: HTTPStatus.UNAUTHORIZED,
    NotAcceptable: HTTPStatus.NOT_ACCEPTABLE,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    TooSlow: HTTPStatus.REQUEST_TIMEOUT,
    Busy: HTTPStatus.TOO_MANY_REQUESTS,
    StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    Stopping: HTTPStatus.SERVICE_UNAVAILABLE,
    UsageError: HTTPStatus.BAD_REQUEST,
    WeightsError: HTTPStatus.SERVICE_UNAVAILABLE,
    InternalError: HTTPStatus.INTERNAL_SERVER_ERROR,
    UnsoundResult: HTTPStatus.INTERNAL_SERVER_ERROR,
    OutOfMemory: HTTPStatus.INTERNAL_SERVER_ERROR,
    SrupError: HTTPStatus.UNPROCESSABLE_ENTITY,  # this picture, or this format for it
}


def status_of(error: SrupError) -> HTTPStatus:
    """The HTTP status that says best what an error is."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def document(error: SrupError, **about: str) -> dict[str, object]:
    """An error as a problem document; `about` are further members.

    Hints that name what a request cannot say are left out.
    """
    hints = [hint for hint in error.hints if spelled(hint, spelling) is not None]
    status = status_of(error)
    return {
        "type": f"{KIND}{type(error).__name__}",
        "title": status.phrase,
        "status": status.value,
        "detail": error.told(spelling),
        "message": error.message,
        "hints": hints,
        "exit_code": error.exit_code,
        **about,
    }


def error_of(problem: Mapping[str, Any]) -> SrupError:
    """The error that a problem document tells of; for what is none, a plain SrupError."""
    name = str(problem.get("type", "")).removeprefix(KIND)
    hints = problem.get("hints")
    texts = [str(hint) for hint in hints] if isinstance(hints, list) else []
    return _classes().get(name, SrupError)(str(problem.get("message", "no reason given")), *texts)


def _classes() -> dict[str, type[SrupError]]:
    return {kind.__name__: kind for kind in _below(SrupError)}


def _below(kind: type[SrupError]) -> Iterator[type[SrupError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _below(each)

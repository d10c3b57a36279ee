"""Answers: problem documents, and pictures with what is to be said of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from starlette.responses import FileResponse, JSONResponse
from starlette.types import Receive, Scope, Send

from srup.errors import SrupError
from srup.images import FORMATS
from srup.serve.problems import MEDIA_TYPE, Busy, NotAcceptable, TokenMissing, document, status_of
from srup.serve.tasks import MadePicture

MEDIA_TYPES = {name: f"image/{name}" for name in FORMATS}  # output format → media type
ALSO = {"image/apng": "png", "image/jpg": "jpeg", "image/heif": "heic"}
ANY = ("*/*", "image/*")
MOST, LONGEST = 20, 400  # warnings in a header, and characters of each
PLAIN = " ,.:;()/+-"  # characters of headers that need no escape, besides letters and digits


def problem(error: SrupError, **about: str) -> JSONResponse:
    """An error as an answer, after which the connection is closed: there may be more to come."""
    headers = {"Connection": "close"}
    if isinstance(error, Busy):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, TokenMissing):
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(
        document(error, **about), status_of(error), headers=headers, media_type=MEDIA_TYPE
    )


class PictureResponse(FileResponse):
    """A picture; `afterwards` is called when it is sent, or cannot be."""

    def __init__(
        self,
        path: Path,
        name: str,
        media_type: str,
        headers: Mapping[str, str] | None = None,
        afterwards: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(path, headers=headers, media_type=media_type, filename=name)
        self.afterwards = afterwards

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.afterwards()


def headers_of(made: MadePicture) -> dict[str, str]:
    """What became of a picture, as headers; text is percent-encoded where it is not ASCII."""
    result = made.result
    facts = {
        "Network": result.networks.replace("×", "x"),
        "Why": result.why,
        "Precision": made.precision,
        "Seconds": f"{result.seconds:.3f}",
        "Before": "{}x{}".format(*(result.before or (0, 0))),
        "After": "{}x{}".format(*(result.after or (0, 0))),
        "Pages": str(result.pages or 1),
        "Animated": "yes" if result.animated else "",
        "Consistency": "" if result.consistency is None else f"{result.consistency:.4f}",
        "Warnings": json.dumps([text[:LONGEST] for text in made.warnings[:MOST]]),
    }
    return {f"X-Srup-{name}": quote(value, safe=PLAIN) for name, value in facts.items() if value}


def accepted_format(accept: str) -> str | None:
    """The format that an Accept header asks for first; None where it takes any.

    Raises NotAcceptable if it takes none that srup writes.
    """
    wanted: list[tuple[float, str]] = []
    for each in accept.split(",") if accept.strip() else []:
        media_type, *parameters = (part.strip().lower() for part in each.split(";"))
        quality = _quality(parameters)
        if quality > 0:
            wanted.append((quality, media_type))
    if not accept.strip():
        return None
    known = {media_type: name for name, media_type in MEDIA_TYPES.items()} | ALSO
    # sorted is stable: of two that are as welcome the first one counts
    for _, media_type in sorted(wanted, key=lambda one: -one[0]):
        if media_type in ANY:
            return None
        if media_type in known:
            return known[media_type]
    raise NotAcceptable(
        f"no picture can be sent as {accept[:100]!r}; accept {', '.join(MEDIA_TYPES.values())}"
    )


def _quality(parameters: list[str]) -> float:
    for each in parameters:
        if each.startswith("q="):
            try:
                return float(each[2:])
            except ValueError:
                return 0.0
    return 1.0

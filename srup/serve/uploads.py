"""Bodies of requests: counted and timed while they stream into the private folder."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

# without this package starlette reads no forms, and says so late
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from srup.errors import UsageError
from srup.serve.limits import ServiceLimits
from srup.serve.problems import TooLarge, TooSlow
from srup.serve.store import Slot, label_of

MULTIPART = "multipart/form-data"


@dataclass
class Upload:
    """What came with a request: files by the names of their parts, and options."""

    files: dict[str, Path] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    fields: list[tuple[str, str]] = field(default_factory=list)


async def received(
    request: Request, slot: Slot, limits: ServiceLimits, parts: Sequence[str]
) -> Upload:
    """The body of a request, written to files called as `parts`, the first for a raw body.

    Raises TooLarge, TooSlow, StorageFull, UsageError for a body that is not as it should be,
    ClientDisconnect, and OSError where the disk is full.
    """
    body = _counted(request, slot.grow, limits)
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() == MULTIPART:
        upload = await _parts(request, body, slot, limits, parts)
    else:
        upload = await _raw(body, slot.path / parts[0], parts[0])
    for part in parts:
        if part not in upload.files:
            raise UsageError(f"the request has no {part}; send the bytes of a picture")
    return upload


async def _raw(body: AsyncGenerator[bytes, None], path: Path, part: str) -> Upload:
    with path.open("xb") as file:
        async for chunk in body:
            file.write(chunk)
    return Upload({part: path}, {part: ""})


async def _parts(
    request: Request,
    body: AsyncGenerator[bytes, None],
    slot: Slot,
    limits: ServiceLimits,
    parts: Sequence[str],
) -> Upload:
    """The parts of a form: files that are called as `parts`, and options."""
    upload = Upload()
    parser = MultiPartParser(
        request.headers,
        body,
        max_files=len(parts),
        max_fields=limits.fields,
        max_part_size=limits.field,
    )
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError) as error:
        reason = getattr(error, "message", None) or error
        raise UsageError(f"the form cannot be read: {reason}") from error
    try:
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                upload.fields.append((name, value))
            elif name not in parts or name in upload.files:
                raise UsageError(f"the form has a file {name[:60]!r}; give {' and '.join(parts)}")
            else:
                path = slot.path / parts[parts.index(name)]
                await asyncio.to_thread(_copy, value, path)
                upload.files[name], upload.labels[name] = path, label_of(value.filename or "")
    finally:
        await form.close()
    return upload


def _copy(upload: UploadFile, path: Path) -> None:
    with path.open("xb") as file:
        shutil.copyfileobj(upload.file, file)


async def _counted(
    request: Request, grow: Callable[[int], None], limits: ServiceLimits
) -> AsyncGenerator[bytes, None]:
    """The pieces of a body, as long as it is neither too large nor too slow."""
    check_length(request, limits)
    loop, size = asyncio.get_running_loop(), 0
    pieces, begun = request.stream(), loop.time()
    while True:
        # every byte buys time: a client that sends at the least rate or faster is never cut off
        due = begun + limits.upload_seconds + size / limits.upload_rate
        try:
            piece = await asyncio.wait_for(anext(pieces), max(due - loop.time(), 0))
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError as error:
            about = f"the request came too slowly: {size} bytes in {loop.time() - begun:.0f} s"
            raise TooSlow(f"{about}; try again on a faster connection") from error
        size += len(piece)
        if size > limits.upload:
            raise _too_large(limits)
        grow(len(piece))
        yield piece


def check_length(request: Request, limits: ServiceLimits) -> None:
    """Raises TooLarge for a request that says that it has more bytes than it may."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > limits.upload:
        raise _too_large(limits)


def _too_large(limits: ServiceLimits) -> TooLarge:
    return TooLarge(f"the request has more than {limits.upload / 1e6:g} MB, which is the most here")


async def drain(request: Request, limits: ServiceLimits) -> None:
    """Takes what a client that is refused still sends, for a moment.

    To close a connection that has unread bytes would take the answer away with it.
    """
    if "expect" in request.headers:  # it waits for leave to send
        return
    with suppress(asyncio.TimeoutError, ClientDisconnect, RuntimeError):
        await asyncio.wait_for(_drain(request, limits.upload), limits.drain_seconds)


async def _drain(request: Request, most: int) -> None:
    async for piece in request.stream():
        most -= len(piece)
        if most < 0:
            return

"""Listens for requests with uvicorn, and cuts off clients that keep a connection without using it.

What uvicorn does not limit is limited here: the time until the head of a request is there, and the
time that a client takes to accept what it asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from srup.errors import UsageError
from srup.serve.limits import ServiceLimits

BACKLOG = 128


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes one that is free. Raises UsageError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        about = f"cannot listen on {host}, port {port}: {reason}"
        raise UsageError(about, "{port} takes another") from error
    return made


class Patient(H11Protocol):
    """A connection that is closed when its client takes too long."""

    def __init__(self, limits: ServiceLimits, **options: Any) -> None:
        super().__init__(**options)
        self.limits = limits
        self.head: asyncio.TimerHandle | None = None
        self.writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # so that the time counts for every byte
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        self._unwatch()
        super().on_response_complete()

    def _watch(self) -> None:
        """Starts the time for a head, or ends it where a request is under way."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._unwatch()
        elif self.head is None:
            self.head = self.loop.call_later(self.limits.head_seconds, self.transport.abort)

    def _unwatch(self) -> None:
        if self.head is not None:
            self.head.cancel()
            self.head = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self.writing = self.loop.call_later(self.limits.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.writing is not None:
            self.writing.cancel()
            self.writing = None


class HttpServer(uvicorn.Server):
    """uvicorn's server, which leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server(app: ASGIApp, limits: ServiceLimits) -> HttpServer:
    """A server for `serve(sockets=[bound(…)])`; it ends when its `should_exit` is set."""
    config = uvicorn.Config(
        app,
        http=cast(Any, partial(Patient, limits)),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=1,
    )
    return HttpServer(config)

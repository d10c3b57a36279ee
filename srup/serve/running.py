"""A server from start to end: its socket, folder, queue and workers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from srup import processor, temporaries
from srup.errors import UsageError
from srup.pipeline import Recipe
from srup.serve.app import app
from srup.serve.guards import Access, bracketed, is_loopback
from srup.serve.limits import ServiceLimits
from srup.serve.listening import bound, server
from srup.serve.queue import Queue
from srup.serve.service import Service
from srup.serve.store import Store
from srup.serve.workers import WorkerProcess

TOKEN = re.compile(r"[!-~]{16,}")  # what a header can say as it is


class Running:
    """A server that listens. `run` serves until `stop` is called, which any thread may do.

    `recipe` is that of requests that name nothing; each of `devices` has a worker. Raises
    UsageError where it cannot listen, or others could reach it and it has no token.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        devices: Sequence[str] = ("auto",),
        limits: ServiceLimits | None = None,
    ) -> None:
        _check_token(token, host)
        self.limits = limits or ServiceLimits()
        share = max(1, processor.cores() // len(devices))
        self.workers = [WorkerProcess(device, share) for device in devices]
        read_options = replace(recipe.read_options, max_pixels=self.limits.pixels)
        self.recipe = replace(recipe, read_options=read_options)
        self.listener = bound(host, port)
        self.access = Access(host, self.listener.getsockname()[1], token)
        self.stopping: Callable[[], object] | None = None
        self.stopped = False

    @property
    def url(self) -> str:
        """The address of the page."""
        host = "localhost" if self.access.is_everywhere else self.access.host
        return f"http://{bracketed(host)}:{self.access.port}/"

    def run(self) -> None:
        """Serves until it is stopped; what is being computed then is given up."""
        with self.listener, temporaries.folder() as folder:
            service = Service(
                self.recipe,
                self.limits,
                Queue(self.workers, self.limits),
                Store(folder, self.limits.storage),
            )
            asyncio.run(self._serve(service))

    async def _serve(self, service: Service) -> None:
        loop = asyncio.get_running_loop()
        serving = server(app(service, self.access), self.limits)

        def end() -> None:
            service.queue.end()
            serving.should_exit = True

        self.stopping = partial(loop.call_soon_threadsafe, end)
        if self.stopped:
            end()
        await serving.serve(sockets=[self.listener])
        self.stopping = None

    def stop(self) -> None:
        """Has `run` end soon."""
        self.stopped = True
        if self.stopping:
            self.stopping()


def _check_token(token: str | None, host: str) -> None:
    """Raises UsageError where others could come in without a token, and for one that is none."""
    if token is None and not is_loopback(host):
        about = f"others can reach {host}, so requests must know a token"
        raise UsageError(about, "give one with {token}")
    if token is not None and not TOKEN.fullmatch(token):
        raise UsageError("a token has 16 or more letters, digits and signs, and no spaces")

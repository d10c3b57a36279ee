"""The service: its routes, and what every request has in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from srup.errors import SrupError, internal
from srup.serve import api, page_api
from srup.serve.answers import problem
from srup.serve.guards import Access, Guard
from srup.serve.problems import StorageFull, Unknown
from srup.serve.service import Handler, Service
from srup.serve.tasks import Warm
from srup.serve.uploads import drain

SWEEP = 60  # seconds between looks for what no page asks for any more
GONE = 499  # the status that is written down where nobody reads it


def app(service: Service, access: Access) -> ASGIApp:
    """The ASGI application, guarded."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(service.queue.serve(Warm(service.recipe))),
            asyncio.create_task(_sweep(service)),
        ]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    routes = [
        Route(path, partial(_answered, service, handler), methods=[method])
        for method, path, handler in ROUTES
    ]
    unknown = {HTTPException: _unknown}
    routed = Starlette(routes=routes, lifespan=lifespan, exception_handlers=unknown)
    return Guard(routed, access, service.limits)


async def _answered(service: Service, handler: Handler, request: Request) -> Response:
    """What a handler answers, or the problem that it met."""
    try:
        return await handler(service, request)
    except ClientDisconnect:
        return Response(status_code=GONE)
    except SrupError as error:
        found = error
    except OSError as error:
        found = StorageFull(f"the server cannot keep it: {error.strerror or error}")
    except Exception as error:
        found = internal(error, f"{request.method} {request.url.path}")
    await drain(request, service.limits)
    return problem(found)


async def _unknown(request: Request, error: Exception) -> Response:
    about = f"there is no {request.method} {request.url.path[:100]}"
    return problem(Unknown(f"{about}; GET /v1/openapi.json says what there is"))


async def _sweep(service: Service) -> None:
    """Removes what was left by pages that were closed without a word."""
    while True:
        await asyncio.sleep(SWEEP)
        for picture in service.shelf.unseen(service.limits.unseen_seconds):
            page_api.remove_picture(service, picture)
        service.store.sweep()


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/", page_api.show),
    ("POST", "/v1/upscale", api.upscale),
    ("POST", "/v1/score", api.score),
    ("GET", "/v1/models", api.models),
    ("GET", "/v1/health", api.health),
    ("GET", "/v1/openapi.json", api.description),
    ("POST", "/page/pictures", page_api.add_picture),
    ("GET", "/page/pictures/{name}", page_api.ping_picture),
    ("GET", "/page/pictures/{name}/view", page_api.view_picture),
    ("DELETE", "/page/pictures/{name}", page_api.drop_picture),
    ("POST", "/page/pictures/{name}/results", page_api.add_result),
    ("GET", "/page/results/{name}", page_api.show_result),
    ("GET", "/page/results/{name}/file", page_api.fetch_result),
    ("GET", "/page/results/{name}/view", page_api.view_result),
    ("DELETE", "/page/results/{name}", page_api.drop_result),
)

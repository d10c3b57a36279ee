"""The service: its routes, and what each of them does."""

from __future__ import annotations

import asyncio
from asyncio import FIRST_COMPLETED, Future
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from srup.errors import SrupError, internal
from srup.images import format_of
from srup.pipeline import Destination, Recipe
from srup.serve import openapi, page, parameters
from srup.serve.answers import MEDIA_TYPES, PictureResponse, accepted_format, headers_of, problem
from srup.serve.guards import Access, Guard
from srup.serve.kept import Kept, Picture, Shelf
from srup.serve.limits import Limits
from srup.serve.parameters import NAME, SCORING, Fields, values_of
from srup.serve.problems import StorageFull, Unknown, document
from srup.serve.queue import Queue
from srup.serve.store import Slot, Store, label_of
from srup.serve.tasks import (
    RESULT,
    SOURCE,
    VIEW,
    Enlarge,
    Look,
    Made,
    Outcome,
    Score,
    Seen,
    Task,
    Warm,
)
from srup.serve.uploads import check_length, drain, received
from srup.storage import Entry
from srup.version import __version__

SWEEP = 60  # seconds between looks for what no page asks for any more
GONE = 499  # the status that is written down where nobody reads it
CREATED, ACCEPTED, NO_CONTENT = 201, 202, 204


@dataclass(frozen=True)
class Service:
    """What handlers share. `recipe` is that of a request that names nothing."""

    recipe: Recipe
    limits: Limits
    queue: Queue
    store: Store
    shelf: Shelf = field(default_factory=Shelf)


Handler = Callable[[Service, Request], Awaitable[Response]]


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
            _drop_picture(service, picture)
        service.store.sweep()


# What the API does.


async def upscale(service: Service, request: Request) -> Response:
    """Enlarges the picture in the body; the result is the answer."""
    query = list(request.query_params.multi_items())
    accepted = accepted_format(request.headers.get("accept", ""))
    # what is wrong is better known before the upload
    _check_room(service, request)
    _recipe(service, _without_name(query), accepted)
    slot = service.store.create()
    try:
        upload = await received(request, slot, service.limits, (IMAGE,))
        fields = query + upload.fields
        label = label_of(dict(fields).get(NAME) or upload.labels[IMAGE])
        recipe = _recipe(service, _without_name(fields), accepted)
        pixels = service.limits.pixels
        task = Enlarge(slot.path, upload.files[IMAGE], label, recipe, pixels)
        made = await _outcome(service, request, task, _places(task))
        assert isinstance(made, Made)
        slot.measure()
    except BaseException:
        slot.remove()
        raise
    return _picture(made, label, recipe, headers_of(_told(made, task)), slot.remove)


async def score(service: Service, request: Request) -> Response:
    """Scores the part sr against the part hr; the row of the command is the answer."""
    _check_room(service, request)
    slot = service.store.create()
    try:
        upload = await received(request, slot, service.limits, PAIR)
        fields = [*request.query_params.multi_items(), *upload.fields]
        values = values_of(fields, SCORING)
        sr, hr = (upload.files[part] for part in PAIR)
        labels = (upload.labels["sr"], upload.labels["hr"])
        task = Score(sr, hr, labels, service.limits.pixels, **values)
        row = await _outcome(service, request, task, {str(sr): labels[0], str(hr): labels[1]})
    finally:
        slot.remove()
    return JSONResponse(row)


async def models(service: Service, _: Request) -> Response:
    """The networks that a request may name."""
    return JSONResponse({"default": service.recipe.model, "models": parameters.models()})


async def health(service: Service, _: Request) -> Response:
    """How many requests wait, what the workers do, and the version."""
    queue = service.queue
    workers = [{"device": each.device, "state": queue.state_of(each)} for each in queue.workers]
    return JSONResponse(
        {
            "version": __version__,
            "waiting": len(queue.waiting),
            "waiting_limit": service.limits.waiting,
            "seconds": round(queue.seconds, 3),
            "workers": workers,
            "stored": service.store.used,
            "stored_limit": service.store.limit,
        }
    )


async def description(service: Service, _: Request) -> Response:
    """The API as an OpenAPI document."""
    return JSONResponse(openapi.document(service.limits))


# What the page does besides: it keeps pictures and results until it drops them.


async def show(_: Service, __: Request) -> Response:
    """The page itself."""
    html, policy = page.page()
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})


async def add_picture(service: Service, request: Request) -> Response:
    """Keeps a picture, and says what was found about it."""
    _check_room(service, request)
    slot = service.store.create()
    try:
        upload = await received(request, slot, service.limits, (IMAGE,))
        label = label_of(request.query_params.get(NAME) or upload.labels[IMAGE])
        path = upload.files[IMAGE]
        task = Look(slot.path, path, service.limits.pixels)
        seen = await _outcome(service, request, task, {str(path): label})
        assert isinstance(seen, Seen)
        slot.measure()
    except BaseException:
        slot.remove()
        raise
    service.shelf.pictures[slot.name] = Picture(slot, label, path, seen)
    (width, height), about = seen.size, {"network": seen.network, "found": seen.found}
    facts = {"id": slot.name, "name": label, "width": width, "height": height, "pages": seen.pages}
    return JSONResponse({**facts, **about}, CREATED)


async def ping_picture(service: Service, request: Request) -> Response:
    """Says that a page still shows a picture."""
    service.shelf.picture(request.path_params["name"])
    return Response(status_code=NO_CONTENT)


async def view_picture(service: Service, request: Request) -> Response:
    """A picture as browsers show it."""
    kept = service.shelf.picture(request.path_params["name"])
    return _view(kept.path, kept.slot, kept.seen.extension)


async def drop_picture(service: Service, request: Request) -> Response:
    """Removes a picture and all that was made of it; what is being made is given up."""
    _drop_picture(service, service.shelf.picture(request.path_params["name"]))
    return Response(status_code=NO_CONTENT)


async def add_result(service: Service, request: Request) -> Response:
    """Puts an enlargement of a picture into the queue."""
    kept = service.shelf.picture(request.path_params["name"])
    recipe = _recipe(service, list(request.query_params.multi_items()), None)
    slot = service.store.create()
    task = Enlarge(slot.path, kept.path, kept.label, recipe, service.limits.pixels, view=True)
    try:
        ticket = await service.queue.submit(task)
    except BaseException:
        slot.remove()
        raise
    result = Kept(kept, slot, recipe, ticket)
    service.shelf.results[slot.name] = result
    ticket.outcome.add_done_callback(partial(_weigh, result))
    return JSONResponse({"id": slot.name}, ACCEPTED)


def _weigh(kept: Kept, outcome: Future[Outcome]) -> None:
    """Counts what a result takes; one that is too much is not kept."""
    try:
        if outcome.exception() is None:
            kept.slot.measure()
    except (StorageFull, OSError) as error:  # OSError: it was dropped meanwhile
        kept.error = error if isinstance(error, StorageFull) else None
        kept.slot.remove()


async def show_result(service: Service, request: Request) -> Response:
    """How far a result is, and what became of it."""
    kept = service.shelf.result(request.path_params["name"])
    ticket, task = kept.ticket, kept.ticket.task
    assert isinstance(task, Enlarge)
    facts: dict[str, object] = {
        "state": ticket.state,
        "stage": ticket.stage.partition(" ")[0],
        "done": ticket.done,
        "total": ticket.total,
        "position": service.queue.position(ticket),
    }
    error = kept.error
    if ticket.outcome.done():
        error = error or ticket.outcome.exception()  # type: ignore[assignment]
    if error:
        facts |= {"state": "failed", "problem": document(_relabelled(error, _places(task)))}
    elif ticket.outcome.done():
        made = ticket.outcome.result()
        assert isinstance(made, Made)
        facts |= _facts(_told(made, task), kept)
    return JSONResponse(facts)


def _facts(made: Made, kept: Kept) -> dict[str, object]:
    width, height = made.result.after or (0, 0)
    return {
        "name": _name(made, kept.picture.label, kept.recipe),
        "width": width,
        "height": height,
        "bytes": made.path.stat().st_size,
        "networks": made.result.networks,
        "why": made.result.why,
        "precision": made.precision,
        "seconds": made.result.seconds,
        "warnings": made.warnings,
        "viewed": (kept.slot.path / VIEW).exists(),  # the file itself is nothing for a browser
    }


async def fetch_result(service: Service, request: Request) -> Response:
    """The file of a result."""
    kept = service.shelf.result(request.path_params["name"])
    made = _made(kept)
    return _picture(made, kept.picture.label, kept.recipe, {}, _nothing)


async def view_result(service: Service, request: Request) -> Response:
    """A result as browsers show it."""
    kept = service.shelf.result(request.path_params["name"])
    made = _made(kept)
    return _view(made.path, kept.slot, made.path.suffix[1:])


def _made(kept: Kept) -> Made:
    made = kept.ticket.outcome.result() if kept.ticket.state == "done" else None
    if kept.error or not isinstance(made, Made):
        raise Unknown("there is no result; ask for its state first")
    return made


async def drop_result(service: Service, request: Request) -> Response:
    """Removes a result; one that is being made is given up."""
    _drop_result(service, service.shelf.result(request.path_params["name"]))
    return Response(status_code=NO_CONTENT)


def _drop_picture(service: Service, picture: Picture) -> None:
    for kept in service.shelf.results_of(picture):
        _drop_result(service, kept)
    del service.shelf.pictures[picture.slot.name]
    picture.slot.remove()


def _drop_result(service: Service, kept: Kept) -> None:
    service.queue.cancel(kept.ticket)
    del service.shelf.results[kept.slot.name]
    kept.slot.remove()


# What several of them need.

IMAGE, PAIR = "image", ("sr", "hr")  # parts of forms


def _check_room(service: Service, request: Request) -> None:
    """Raises Busy and TooLarge for a request that need not be read."""
    service.queue.check_room()
    check_length(request, service.limits)


def _without_name(fields: Fields) -> Fields:
    return [(name, value) for name, value in fields if name != NAME]


def _recipe(service: Service, fields: Fields, accepted: str | None) -> Recipe:
    """The recipe of a request; the option `format` comes before the header Accept."""
    recipe = parameters.recipe_of(fields, service.recipe)
    return replace(recipe, format=recipe.format or accepted)


async def _outcome(
    service: Service, request: Request, task: Task, places: Mapping[str, str]
) -> Outcome:
    """What becomes of a task; it is given up when the client goes away.

    Raises what it raises, with labels in place of `places`, and ClientDisconnect.
    """
    ticket = await service.queue.submit(task)
    gone = asyncio.create_task(_gone(request))
    either: set[Future[Any]] = {ticket.outcome, gone}
    try:
        await asyncio.wait(either, return_when=FIRST_COMPLETED)
        if not ticket.outcome.done():
            raise ClientDisconnect
        return ticket.outcome.result()
    except SrupError as error:
        raise _relabelled(error, places) from error
    finally:
        gone.cancel()
        service.queue.cancel(ticket)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _places(task: Enlarge) -> dict[str, str]:
    """Paths that messages may name → what the client calls them."""
    stem = Path(task.label).stem
    return {str(task.source): task.label, str(task.folder / f"{SOURCE}{RESULT}"): stem}


def _relabelled(error: SrupError, places: Mapping[str, str]) -> SrupError:
    """The same error in the client's words: paths of the server are nobody else's business."""
    error.message = _in_words(error.message, places)
    return error


def _in_words(text: str, places: Mapping[str, str]) -> str:
    for path, label in places.items():
        text = text.replace(path, label)
    return text


def _told(made: Made, task: Enlarge) -> Made:
    """The same with warnings in the client's words."""
    places = _places(task)
    return replace(made, warnings=tuple(_in_words(text, places) for text in made.warnings))


def _name(made: Made, label: str, recipe: Recipe) -> str:
    """What a result is called after its picture: "photo_x4.png"."""
    size = made.result.after or (0, 0)
    return Destination("", True).name_of(
        Entry(label, label), recipe.target, size, format_of(made.path)
    )


def _picture(
    made: Made,
    label: str,
    recipe: Recipe,
    headers: Mapping[str, str],
    afterwards: Callable[[], None],
) -> Response:
    media_type = MEDIA_TYPES[format_of(made.path)]
    return PictureResponse(made.path, _name(made, label, recipe), media_type, headers, afterwards)


def _view(path: Path, slot: Slot, extension: str) -> Response:
    view = slot.path / VIEW
    if view.exists():
        return PictureResponse(view, VIEW, MEDIA_TYPES["png"])
    media_type = MEDIA_TYPES["jpeg" if extension == "jpg" else extension]
    return PictureResponse(path, f"view.{extension}", media_type)


def _nothing() -> None:
    """Is done when a picture was sent that is kept."""


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/", show),
    ("POST", "/v1/upscale", upscale),
    ("POST", "/v1/score", score),
    ("GET", "/v1/models", models),
    ("GET", "/v1/health", health),
    ("GET", "/v1/openapi.json", description),
    ("POST", "/page/pictures", add_picture),
    ("GET", "/page/pictures/{name}", ping_picture),
    ("GET", "/page/pictures/{name}/view", view_picture),
    ("DELETE", "/page/pictures/{name}", drop_picture),
    ("POST", "/page/pictures/{name}/results", add_result),
    ("GET", "/page/results/{name}", show_result),
    ("GET", "/page/results/{name}/file", fetch_result),
    ("GET", "/page/results/{name}/view", view_result),
    ("DELETE", "/page/results/{name}", drop_result),
)

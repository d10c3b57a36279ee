"""What the page asks for besides the API: it keeps pictures and results until it drops them."""

from __future__ import annotations

from asyncio import Future
from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from srup.errors import ReadError
from srup.serve import page
from srup.serve.answers import MEDIA_TYPES, PictureResponse
from srup.serve.kept import Kept, KeptPicture
from srup.serve.parameters import NAME
from srup.serve.problems import StorageFull, Unknown, document
from srup.serve.service import (
    IMAGE,
    Service,
    check_room,
    name_of,
    outcome_of,
    picture_of,
    places_of,
    recipe_of,
    relabelled,
    told,
)
from srup.serve.store import Slot, label_of
from srup.serve.tasks import VIEW, Enlarge, Look, MadePicture, Outcome, Seen
from srup.serve.uploads import received

CREATED, ACCEPTED, NO_CONTENT = 201, 202, 204


async def show(_: Service, __: Request) -> Response:
    """The page itself."""
    html, policy = page.page()
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})


async def add_picture(service: Service, request: Request) -> Response:
    """Keeps a picture, and says what was found about it."""
    check_room(service, request)
    slot = service.store.create()
    try:
        upload = await received(request, slot, service.limits, (IMAGE,))
        label = label_of(request.query_params.get(NAME) or upload.labels[IMAGE])
        path = upload.files[IMAGE]
        task = Look(slot.path, path, service.limits.pixels)
        seen = await outcome_of(service, request, task, {str(path): label})
        assert isinstance(seen, Seen)
        slot.measure()
    except ReadError as error:  # to be expected: no status that browsers complain of
        slot.remove()
        return JSONResponse({"problem": document(error)})
    except BaseException:
        slot.remove()
        raise
    service.shelf.pictures[slot.name] = KeptPicture(slot, label, path, seen)
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
    remove_picture(service, service.shelf.picture(request.path_params["name"]))
    return Response(status_code=NO_CONTENT)


async def add_result(service: Service, request: Request) -> Response:
    """Puts an enlargement of a picture into the queue."""
    kept = service.shelf.picture(request.path_params["name"])
    recipe = recipe_of(service, list(request.query_params.multi_items()), None)
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
        facts |= {"state": "failed", "problem": document(relabelled(error, places_of(task)))}
    elif ticket.outcome.done():
        made = ticket.outcome.result()
        assert isinstance(made, MadePicture)
        facts |= _facts(told(made, task), kept)
    return JSONResponse(facts)


def _facts(made: MadePicture, kept: Kept) -> dict[str, object]:
    width, height = made.result.after or (0, 0)
    return {
        "name": name_of(made, kept.picture.label, kept.recipe),
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
    return picture_of(made, kept.picture.label, kept.recipe, {})


async def view_result(service: Service, request: Request) -> Response:
    """A result as browsers show it."""
    kept = service.shelf.result(request.path_params["name"])
    made = _made(kept)
    return _view(made.path, kept.slot, made.path.suffix[1:])


def _made(kept: Kept) -> MadePicture:
    made = kept.ticket.outcome.result() if kept.ticket.state == "done" else None
    if kept.error or not isinstance(made, MadePicture):
        raise Unknown("there is no result; ask for its state first")
    return made


async def drop_result(service: Service, request: Request) -> Response:
    """Removes a result; one that is being made is given up."""
    _drop_result(service, service.shelf.result(request.path_params["name"]))
    return Response(status_code=NO_CONTENT)


def remove_picture(service: Service, picture: KeptPicture) -> None:
    """Removes a picture and all that was made of it."""
    for kept in service.shelf.results_of(picture):
        _drop_result(service, kept)
    del service.shelf.pictures[picture.slot.name]
    picture.slot.remove()


def _drop_result(service: Service, kept: Kept) -> None:
    service.queue.cancel(kept.ticket)
    del service.shelf.results[kept.slot.name]
    kept.slot.remove()


def _view(path: Path, slot: Slot, extension: str) -> Response:
    view = slot.path / VIEW
    if view.exists():
        return PictureResponse(view, VIEW, MEDIA_TYPES["png"])
    media_type = MEDIA_TYPES["jpeg" if extension == "jpg" else extension]
    return PictureResponse(path, f"view.{extension}", media_type)

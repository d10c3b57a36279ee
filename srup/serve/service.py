"""What handlers of requests share: the queue, the folder, and how errors and results are named."""

from __future__ import annotations

import asyncio
from asyncio import FIRST_COMPLETED, Future
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from srup.errors import SrupError
from srup.images import format_of
from srup.pipeline import Destination, Recipe
from srup.serve import parameters
from srup.serve.answers import MEDIA_TYPES, PictureResponse
from srup.serve.kept import Shelf
from srup.serve.limits import ServiceLimits
from srup.serve.parameters import NAME, Fields
from srup.serve.queue import Queue
from srup.serve.store import Store
from srup.serve.tasks import RESULT, SOURCE, Enlarge, MadePicture, Outcome, Task
from srup.serve.uploads import check_length
from srup.storage import Entry

IMAGE = "image"  # the part of a form that holds the picture


@dataclass(frozen=True)
class Service:
    """What handlers share. `recipe` is that of a request that names nothing."""

    recipe: Recipe
    limits: ServiceLimits
    queue: Queue
    store: Store
    shelf: Shelf = field(default_factory=Shelf)


Handler = Callable[[Service, Request], Awaitable[Response]]


def check_room(service: Service, request: Request) -> None:
    """Raises Busy and TooLarge for a request that need not be read."""
    service.queue.check_room()
    check_length(request, service.limits)


def without_name(fields: Fields) -> Fields:
    """The options of a request, without what the picture is called."""
    return [(name, value) for name, value in fields if name != NAME]


def recipe_of(service: Service, fields: Fields, accepted: str | None) -> Recipe:
    """The recipe of a request; the option `format` comes before the header Accept."""
    recipe = parameters.recipe_of(fields, service.recipe)
    return replace(recipe, format=recipe.format or accepted)


async def outcome_of(
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
        relabelled(error, places)
        raise
    finally:
        gone.cancel()
        service.queue.cancel(ticket)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def places_of(task: Enlarge) -> dict[str, str]:
    """Paths that messages may name → what the client calls them."""
    stem = Path(task.label).stem
    return {str(task.source): task.label, str(task.folder / f"{SOURCE}{RESULT}"): stem}


def relabelled(error: SrupError, places: Mapping[str, str]) -> SrupError:
    """The same error in the client's words: paths of the server are nobody else's business."""
    error.message = _in_words(error.message, places)
    return error


def _in_words(text: str, places: Mapping[str, str]) -> str:
    for path, label in places.items():
        text = text.replace(path, label)
    return text


def told(made: MadePicture, task: Enlarge) -> MadePicture:
    """The same with warnings in the client's words."""
    places = places_of(task)
    return replace(made, warnings=tuple(_in_words(text, places) for text in made.warnings))


def name_of(made: MadePicture, label: str, recipe: Recipe) -> str:
    """What a result is called after its picture: "photo_x4.png"."""
    size = made.result.after or (0, 0)
    return Destination("", True).name_of(
        Entry(label, label), recipe.target, size, format_of(made.path)
    )


def picture_of(
    made: MadePicture,
    label: str,
    recipe: Recipe,
    headers: Mapping[str, str],
    afterwards: Callable[[], None] = lambda: None,
) -> Response:
    """A result as an answer; `afterwards` is called when it is sent, or cannot be."""
    media_type = MEDIA_TYPES[format_of(made.path)]
    return PictureResponse(made.path, name_of(made, label, recipe), media_type, headers, afterwards)

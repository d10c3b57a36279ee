"""The API: what its handlers answer."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from srup.serve import openapi, parameters
from srup.serve.answers import accepted_format, headers_of
from srup.serve.parameters import NAME, SCORING, values_of
from srup.serve.service import (
    IMAGE,
    Service,
    check_room,
    outcome_of,
    picture_of,
    places_of,
    recipe_of,
    told,
    without_name,
)
from srup.serve.store import label_of
from srup.serve.tasks import Enlarge, MadePicture, ScorePair
from srup.serve.uploads import received
from srup.version import __version__

PAIR = ("sr", "hr")  # parts of the form of POST /v1/score


async def upscale(service: Service, request: Request) -> Response:
    """Enlarges the picture in the body; the result is the answer."""
    query = list(request.query_params.multi_items())
    accepted = accepted_format(request.headers.get("accept", ""))
    # what is wrong is better known before the upload
    check_room(service, request)
    recipe_of(service, without_name(query), accepted)
    slot = service.store.create()
    try:
        upload = await received(request, slot, service.limits, (IMAGE,))
        fields = query + upload.fields
        label = label_of(dict(fields).get(NAME) or upload.labels[IMAGE])
        recipe = recipe_of(service, without_name(fields), accepted)
        pixels = service.limits.pixels
        task = Enlarge(slot.path, upload.files[IMAGE], label, recipe, pixels)
        made = await outcome_of(service, request, task, places_of(task))
        assert isinstance(made, MadePicture)
        slot.measure()
    except BaseException:
        slot.remove()
        raise
    return picture_of(made, label, recipe, headers_of(told(made, task)), slot.remove)


async def score(service: Service, request: Request) -> Response:
    """Scores the part sr against the part hr; the row of the command is the answer."""
    check_room(service, request)
    slot = service.store.create()
    try:
        upload = await received(request, slot, service.limits, PAIR)
        fields = [*request.query_params.multi_items(), *upload.fields]
        values = values_of(fields, SCORING)
        sr, hr = (upload.files[part] for part in PAIR)
        labels = (upload.labels["sr"], upload.labels["hr"])
        task = ScorePair(sr, hr, labels, service.limits.pixels, **values)
        row = await outcome_of(service, request, task, {str(sr): labels[0], str(hr): labels[1]})
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

"""The API as an OpenAPI document, made of the tables that requests are read by."""

from __future__ import annotations

from collections.abc import Iterable

from srup.serve.answers import MEDIA_TYPES
from srup.serve.limits import ServiceLimits
from srup.serve.parameters import NAME, PARAMETERS, SCORING, schema_of
from srup.serve.problems import MEDIA_TYPE, STATUS
from srup.version import __version__

BINARY = {"type": "string", "format": "binary"}
PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "description": "urn:srup: and the kind of error."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and what to do next."},
        "message": {"type": "string", "description": "The same without what to do next."},
        "hints": {"type": "array", "items": {"type": "string"}},
        "exit_code": {"type": "integer", "description": "That of the command line."},
    },
}
LABEL: dict[str, object] = {
    "name": NAME,
    "in": "query",
    "description": "What the picture is called: messages name it so, and the result after it.",
    "schema": {"type": "string"},
}


def document(limits: ServiceLimits) -> dict[str, object]:
    """The OpenAPI 3.1 document."""
    picture = {media_type: {"schema": BINARY} for media_type in MEDIA_TYPES.values()}
    parts = {"image": BINARY}
    upscale = _operation(
        f"Enlarge the picture in the body, of at most {limits.upload >> 20} MB.",
        [LABEL, *schema_of(PARAMETERS)],
        {"*/*": {"schema": BINARY}, **_form(parts)},
        {"description": "The enlarged picture; X-Srup-… headers say how.", "content": picture},
    )
    score = _operation(
        "PSNR and SSIM of the part sr against the part hr.",
        schema_of(SCORING),
        _form({"sr": BINARY, "hr": BINARY}),
        _json("The row of the command srup score."),
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "srup", "version": __version__},
        "paths": {
            "/v1/upscale": {"post": upscale},
            "/v1/score": {"post": score},
            "/v1/models": {"get": _operation("The networks.", (), {}, _json("The networks."))},
            "/v1/health": {"get": _operation("How busy it is.", (), {}, _json("How busy it is."))},
        },
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _form(parts: dict[str, dict[str, str]]) -> dict[str, object]:
    schema = {"type": "object", "required": list(parts), "properties": parts}
    return {"multipart/form-data": {"schema": schema}}


def _json(about: str) -> dict[str, object]:
    return {"description": about, "content": {"application/json": {"schema": {"type": "object"}}}}


def _operation(
    summary: str,
    parameters: Iterable[dict[str, object]],
    body: dict[str, object],
    answer: dict[str, object],
) -> dict[str, object]:
    problem = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    refusals = {
        str(each.value): {"description": each.phrase, **problem} for each in STATUS.values()
    }
    made: dict[str, object] = {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {"200": answer, **refusals},
    }
    return {**made, "requestBody": {"required": True, "content": body}} if body else made

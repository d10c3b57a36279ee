"""The options that a request may have, called as on the command line.

Left out are those that name files, folders, URLs or devices, and what is the server's to decide:
`srup serve` has them. The table makes recipes of requests, requests of recipes (for `client`), the
OpenAPI document and the form of the page.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from srup.errors import UnknownModel, UsageError
from srup.evaluation.protocols import PROTOCOLS
from srup.images import ALSO_CALLED, FORMATS, Encoding
from srup.inference.arguments import word_of
from srup.inference.run_options import PRECISIONS, TILINGS
from srup.inference.target import Target, parse_scale, target
from srup.models import choosing, community, registry, routing
from srup.models.registry import AUTO
from srup.pipeline import ReadOptions, Recipe

LONGEST = 60  # characters of a value that is repeated in an error
Fields = Sequence[tuple[str, str]]  # names and values of a request


@dataclass(frozen=True)
class Parameter:
    """An option: how a value of it is read, what it says, and its JSON schema."""

    read: Callable[[str], Any]  # raises UsageError or ValueError
    about: str
    schema: Mapping[str, object]
    repeated: bool = False


def _flag(text: str) -> bool:
    return word_of(text or "true", ("true", "false"), {"1": "true", "0": "false"}) == "true"


def _words(words: Sequence[str], also: Mapping[str, str] | None = None) -> Callable[[str], str]:
    return lambda text: word_of(text, words, also or {})


def _network(text: str) -> tuple[str, int | None]:
    """The name and scale of a network of the registry, or of a checkpoint that the server keeps."""
    if text.lower() == AUTO:
        return AUTO, None
    if community.is_file(text) or "/" in text or "\\" in text:  # files are the server's own
        raise UnknownModel(f"no network is called {text!r}")
    return registry.named(text)


def _flagged(about: str) -> Parameter:
    return Parameter(_flag, about, {"type": "boolean", "default": False})


def _whole(about: str, **bounds: int) -> Parameter:
    return Parameter(int, about, {"type": "integer", **bounds})


def _number(about: str, **bounds: float) -> Parameter:
    return Parameter(float, about, {"type": "number", **bounds})


def _choice(about: str, words: Sequence[str], also: Mapping[str, str] | None = None) -> Parameter:
    return Parameter(_words(words, also), about, {"type": "string", "enum": list(words)})


PARAMETERS = {
    "scale": Parameter(
        parse_scale, "How many times larger, as 4, 2.5 or 250%.", {"type": "string", "default": "4"}
    ),
    "size": Parameter(str, "Fit inside so many pixels, as 1920x1080.", {"type": "string"}),
    "fill": _flagged("With size: cover it, and crop the rest."),
    "stretch": _flagged("With size: exactly that, out of shape."),
    "width": _whole("Enlarge to this width in pixels.", minimum=1),
    "height": _whole("Enlarge to this height in pixels.", minimum=1),
    "long-edge": _whole("Enlarge the longer side to this in pixels.", minimum=1),
    "megapixels": _number("Enlarge to so many million pixels."),
    "model": Parameter(
        _network,
        "Network; auto decides by the picture. Named again, the next one runs after it.",
        {"type": "array", "items": {"type": "string"}, "default": [AUTO]},
        repeated=True,
    ),
    "strength": _number(
        "How much compression and noise to take away; left out, the picture decides.",
        minimum=0,
        maximum=1,
    ),
    "self-ensemble": _flagged("The mean over eight orientations: eight times the work."),
    "tiling": _choice("exact: the result of the whole image. acs: adaptive cropping.", TILINGS),
    "precision": _choice("Precision of the arithmetic.", PRECISIONS),
    "format": _choice("Output format; Accept says the same.", list(FORMATS), ALSO_CALLED),
    "quality": _whole("Quality of lossy formats.", minimum=1, maximum=100),
    "lossless": _flagged("Write WebP, HEIC and JPEG XL without loss."),
    "palette": _flagged("Accept the 256 colours of a GIF."),
    "dpi": _number("Set the density, in pixels per inch."),
    "strip": _flagged("Leave EXIF, XMP, IPTC and texts out."),
}
SCORING = {  # the options of POST /v1/score
    "protocol": _choice("Which values are compared.", list(PROTOCOLS)),
    "scale": _whole("Scale of SR: so many pixels are left out at each border.", minimum=1),
    "border": _whole("Pixels left out at each border, if not as many as the scale.", minimum=0),
}
NAME = "name"  # not an option: what the picture is called
SIZES = ("scale", "size", "fill", "stretch", "width", "height", "long-edge", "megapixels")
OPTIONS_OF = {  # which options make which part of a recipe
    "run_options": ("self-ensemble", "tiling", "precision"),
    "encoding": ("quality", "lossless", "palette"),
    "read_options": ("dpi", "strip"),
}


def spelling(name: str, value: str | None) -> str | None:
    """How a hint's option is written in a request; None for what a request cannot say."""
    name = name.rstrip("_").replace("_", "-")
    if name == "token":
        return "the header Authorization: Bearer TOKEN"
    if name not in PARAMETERS:
        return None
    return name if value is None else f"{name}={value}"


def values_of(fields: Fields, table: Mapping[str, Parameter]) -> dict[str, Any]:
    """The values of a request by the names of Python, `long_edge`. Raises UsageError."""
    found: dict[str, Any] = {}
    for given, text in fields:
        name = given.replace("_", "-")
        if name not in table:
            near = difflib.get_close_matches(name, table, n=1)
            advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(table)}"
            raise UsageError(f"no option is called {given[:LONGEST]!r}; {advice}")
        value, key = _read(name, text, table[name]), name.replace("-", "_")
        if table[name].repeated:
            found.setdefault(key, []).append(value)
        elif key in found:
            raise UsageError(f"{name} is given twice; give it once")
        else:
            found[key] = value
    return found


def _read(name: str, text: str, parameter: Parameter) -> Any:
    try:
        value = parameter.read(text)
    except ValueError as error:
        kind = parameter.schema["type"]
        raise UsageError(f"{name} must be of type {kind}, not {text[:LONGEST]!r}") from error
    low, high = parameter.schema.get("minimum"), parameter.schema.get("maximum")
    below = low is not None and not value >= low  # not a number is out of range, too
    if below or (high is not None and not value <= high):
        reach = f"from {low} on" if high is None else f"from {low} to {high}"
        raise UsageError(f"{name} must be {reach}, not {text[:LONGEST]}")
    return value


def recipe_of(fields: Fields, base: Recipe) -> Recipe:
    """The recipe of a request; what it leaves open is as in `base`.

    Raises UsageError and what `routing.route` raises, before anything is computed.
    """
    values = values_of(fields, PARAMETERS)
    sizes = {key: values[key] for key in map(_key, SIZES) if key in values}
    asked = any(value is not False for value in sizes.values())
    model, scale = base.model, base.target.scale or 4
    if "model" in values:
        model, scale = routing.chain(values["model"])
    recipe = replace(
        base,
        target=target(**sizes) if asked else Target(scale=scale),
        model=model,
        strength=values.get("strength", base.strength),
        format=values.get("format", base.format),
    )
    for part, names in OPTIONS_OF.items():
        changed = {key: values[key] for key in map(_key, names) if key in values}
        recipe = replace(recipe, **{part: replace(getattr(recipe, part), **changed)})
    return recipe


def fields_of(recipe: Recipe) -> list[tuple[str, str]]:
    """The request that asks for a recipe: the inverse of `recipe_of`, but for what is the server's.

    What is as it is by default is left out.
    """
    wanted = recipe.target
    fields: dict[str, object] = {
        "scale": wanted.scale,
        "width": wanted.width,
        "height": wanted.height,
        "long-edge": wanted.long_edge,
        "megapixels": wanted.megapixels,
        "fill": wanted.fit == "fill",
        "stretch": wanted.fit == "stretch",
        "strength": recipe.strength,
        "format": recipe.format,
    }
    defaults = {"read_options": ReadOptions(), "encoding": Encoding()}
    for part, names in OPTIONS_OF.items():
        own, usual = getattr(recipe, part), defaults.get(part, Recipe().run_options)
        for name in names:
            value = getattr(own, _key(name))
            fields[name] = None if value == getattr(usual, _key(name)) else value
    models = [("model", each) for each in recipe.model.split(routing.CHAIN)]
    return models + [(name, _text(value)) for name, value in fields.items() if _is_said(value)]


def _is_said(value: object) -> bool:
    return value is not None and value is not False


def _text(value: object) -> str:
    return "true" if value is True else str(value)


def _key(name: str) -> str:
    return name.replace("-", "_")


def models() -> list[dict[str, object]]:
    """The networks that a request may name: name, scales (0: any), purpose, licence."""
    found: list[dict[str, object]] = [
        {
            "name": AUTO,
            "scales": [],
            "for": f"by the picture: {choosing.CLEAN} or {choosing.PHOTO}",
            "parameters": None,
            "licence": "",
        }
    ]
    for name in (*registry.names(), *community.added()):
        rows = registry.find(name)
        released = [row for row in rows.values() if row.released]
        if not released:
            continue
        first = released[0]
        found.append(
            {
                "name": name,
                "scales": [row.scale for row in released],
                "for": registry.PURPOSES.get(name, first.note),
                "parameters": released[-1].parameters,
                "licence": first.licence,
            }
        )
    return found


def schema_of(table: Mapping[str, Parameter]) -> Iterable[dict[str, object]]:
    """The options of a table as parameters of an OpenAPI operation."""
    for name, each in table.items():
        yield {
            "name": name,
            "in": "query",
            "description": each.about,
            "schema": dict(each.schema),
        }

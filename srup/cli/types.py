"""What people type for a value: names in any case, scales in any notation; what is wrong is told in
one line with the nearest right one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from srup.cli import completion
from srup.errors import UsageError
from srup.inference.arguments import word_of
from srup.inference.target import parse_scale
from srup.models import registry


class Choice(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.4
    """One of several words, in any case, or another word for one of them."""

    name = "choice"

    def __init__(self, choices: Sequence[str], also: Mapping[str, str] | None = None) -> None:
        self.choices, self.also = tuple(choices), dict(also or {})

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return word_of(value, self.choices, self.also)
        except UsageError as error:
            self.fail(error.message, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        words = [word for word in self.choices if word.startswith(incomplete.lower())]
        return [CompletionItem(word) for word in words]

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str | None:
        return f"[{'|'.join(self.choices)}]"


class Scale(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.4
    """How many times larger: 4, 2.5, 4x, x4, ×4 or 400%. A whole number from `low` to `high`, if
    these are given, any number otherwise.
    """

    name = "scale"

    def __init__(self, low: int | None = None, high: int | None = None) -> None:
        self.low, self.high = low, high

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            scale = parse_scale(value) if isinstance(value, str) else float(value)
        except UsageError as error:
            self.fail(error.message, param, ctx)
        if self.low is None:
            return scale
        if not scale.is_integer() or scale < self.low or (self.high and scale > self.high):
            reach = f"from {self.low} to {self.high}" if self.high else f"from {self.low} on"
            self.fail(f"{value!r} is no whole scale {reach}", param, ctx)
        return int(scale)


class Named(NamedTuple):
    """A network that was named, and the scale if the name has one, as "imdn_x4"."""

    name: str
    scale: int | None


class NetworkName(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.4
    """A network's name, in any spelling; `also` are words that mean something else than one.

    Raises UnknownModel, which is told as it is.
    """

    name = "network"

    def __init__(self, *also: str) -> None:
        self.also = also

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        named = network_and_scale(value, self.also)
        if named.scale:
            about = f"{value} names a network and a scale"
            raise UsageError(about, f"write {{models={named.name}}}", f"{{scale={named.scale}}}")
        return named.name

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        also = [CompletionItem(word) for word in self.also if word.startswith(incomplete)]
        found = [*also, *completion.networks(ctx, param, incomplete)]
        return found or completion.files(ctx, param, incomplete)


class NameAndScale(NetworkName):
    """A network's name, which may end in a scale."""

    def convert(  # type: ignore[override]
        self, value: str | Named, param: click.Parameter | None, ctx: click.Context | None
    ) -> Named:
        return value if isinstance(value, Named) else network_and_scale(value, self.also)


def network_and_scale(value: str, also: Sequence[str] = ()) -> Named:
    """The network that a word means, and the scale at its end. Raises UnknownModel."""
    if value.lower() in also:
        return Named(value.lower(), None)
    return Named(*registry.named(value))


class Device(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.4
    """Where to compute; "gpu" is the best there is besides the processor."""

    name = "device"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return value.lower()

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return completion.devices(ctx, param, incomplete)

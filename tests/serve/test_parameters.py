"""The options of a request are those of the command, but for what is the server's."""

from __future__ import annotations

import click

from srup.cli.upscale import command
from srup.serve.parameters import PARAMETERS

NOT_OF_A_REQUEST = {  # options of the command → why no request has them
    "output": "names a file",
    "suffix": "is part of a name",
    "overwrite": "is about files",
    "weights": "names a file",
    "device": "is the server's",
    "engine": "is the server's",
    "tile": "is how much memory is taken",
    "max-pixels": "is the server's",
    "dry-run": "makes nothing",
    "server": "is about where",
    "token": "is a header",
    "json": "is about what is printed",
    "verbose": "is about what is printed",
    "quiet": "is about what is printed",
}


def test_every_option_of_the_command_is_in_the_table_or_is_none_of_a_request() -> None:
    flags = [each.opts for each in command.params if isinstance(each, click.Option)]
    names = {next(flag[2:] for flag in each if flag.startswith("--")) for each in flags}
    assert set(PARAMETERS) | set(NOT_OF_A_REQUEST) == names
    assert set(PARAMETERS).isdisjoint(NOT_OF_A_REQUEST)


def test_bounds_are_those_of_the_command() -> None:
    for each in command.params:
        name = each.opts[-1].lstrip("-") if isinstance(each, click.Option) else ""
        bounds = each.type if isinstance(each.type, (click.IntRange, click.FloatRange)) else None
        if name in PARAMETERS and bounds:
            schema = PARAMETERS[name].schema
            assert (schema.get("minimum"), schema.get("maximum")) == (bounds.min, bounds.max), name

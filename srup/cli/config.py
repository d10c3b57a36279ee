"""srup config: what is set, and where."""

from __future__ import annotations

import json

import click

from srup.cli import console, options, settings
from srup.cli.commands import CONFIGURED, Command
from srup.printable import printable

SECRET = ("token",)  # settings whose values are not shown


@click.command("config", cls=Command)
@options.as_json
def command(as_json: bool) -> None:
    """Show defaults of your own, and where they are set.

    They stand in a TOML file, whose place is shown first, or in variables such as SRUP_MODEL=imdn
    and SRUP_BATCH_JOBS=2. Keys are the long names of options: at the top level for upscale and
    batch, in a table for one command. The command line comes before variables, and these before
    the file.

    \b
    model = "imdn"
    quality = 90

    [batch]
    recursive = true
    """
    console.start_logging(False)
    file = settings.path()
    found = [each for name in CONFIGURED for each in settings.settings(name)]
    if as_json:
        for each in found:
            facts = {"command": each.command, "option": each.key, "value": _shown(each)}
            click.echo(json.dumps({**facts, "from": each.origin}))
        return
    from rich.text import Text  # help and completion need not wait for it

    console.line(f"{file}{'' if file.is_file() else ' (there is none)'}")
    table = console.table("command", "option", "value", "from")
    for each in found:
        cells = (each.command, each.key, _words(_shown(each)), each.origin)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    if found:
        console.out.print(table)


def _shown(each: settings.Setting) -> settings.Value:
    """The value of a setting, but for what nobody is to read over a shoulder."""
    return "(set)" if each.key in SECRET else each.value


def _words(value: settings.Value) -> str:
    """A value as it is typed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(value) if isinstance(value, list) else value

"""How a library error is told on the command line: its hints spelled in the options of the command
at hand.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from srup.cli.commands import COMMANDS
from srup.errors import Spelling


def spelling(command: click.Command) -> Spelling:
    """Writes an option as this command has it: "overwrite" → "-y", ("tile", "128") → "-t 128"; None
    for one it lacks. A command is written as such: "compare" → "srup compare".
    """
    options = {name: f"srup {name}" for name in COMMANDS}
    for parameter in command.params:
        # arguments have no flag to advise
        if isinstance(parameter, click.Option) and parameter.name:
            options[parameter.name.rstrip("_")] = parameter.opts[0]

    def spelled(name: str, value: str | None) -> str | None:
        if name not in options:
            return None
        return f"{options[name]} {value}" if value else options[name]

    return spelled


def usage_error(error: click.ClickException) -> str:
    """What click says is wrong with a command line, in one line that says where to look."""
    message = " ".join(error.format_message().split()).rstrip(".")
    message = message[:1].lower() + message[1:]
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None or "did you mean" in message.lower():
        return message
    return f"{message}; {context.command_path} --help shows what there is"


def command_of(root: click.Command, arguments: Sequence[str]) -> click.Command:
    """The command that a command line runs, through groups of commands."""
    command, context = root, click.Context(root)
    for word in arguments:
        if not isinstance(command, click.Group):
            break
        command = command.get_command(context, word) or command
    return command

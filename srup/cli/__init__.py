"""The command line: words for what the library does. Here errors become a line and an exit code."""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from srup import __version__, memory
from srup.cli import first_word, signals
from srup.cli.commands import COMMANDS, CONFIGURED, HELP, Context
from srup.cli.errors import command_of, spelling, usage_error
from srup.errors import OutOfMemory, SrupError, internal
from srup.files import remove_abandoned

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

INTERRUPTED = 130
FULL = OutOfMemory(
    "the memory is full", "take smaller windows with {tile=128}", "or a smaller image"
)


def _import_when_used(name: str) -> None:
    """Lets `from srup.cli import NAME` run the module when something of it is first asked for."""
    spec = importlib.util.find_spec(f"{__name__}.{name}")
    assert spec and spec.loader, f"{name} is no module of the command line"
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    setattr(sys.modules[__name__], name, module)
    spec.loader.exec_module(module)


_import_when_used("console")  # it brings rich, which help texts and completion need not wait for


class Commands(click.Group):
    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"srup.cli.{name}").command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands and options; and files, for a first word that is one."""
        from click.shell_completion import CompletionItem

        # click's own list of commands would import them all
        words = [CompletionItem(name, help=text) for name, text in COMMANDS.items()]
        found = [word for word in words if str(word.value).startswith(incomplete)]
        found += click.Command.shell_complete(self, ctx, incomplete)
        if not incomplete.startswith("-"):
            found.append(CompletionItem(incomplete, type="file"))
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, "-V", "--version", message="srup %(version)s")
def srup() -> None:
    """Enlarge images with super-resolution networks.

    \b
    srup photo.jpg                     4 times larger: photo_x4.png, beside it
    srup photo.jpg -s 2 -o larger.jpg  twice as large, under a name of your own
    srup batch photos/ larger/         a folder; again after a crash, it goes on
    srup models                        the networks, and what each is for
    """


def main() -> None:
    _keep_standard_streams()
    memory.keep_freed()
    signals.watch()
    remove_abandoned()
    sys.exit(run(sys.argv[1:]))


def _keep_standard_streams() -> None:
    """Makes standard streams that nothing can be wrong with."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # one that is closed would be the next file opened, and warnings be written into it
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        # names need not be UTF-8, and terminals not show all letters
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run(arguments: list[str]) -> int:
    """Runs a command line; its exit code."""
    try:
        arguments = first_word.completed(arguments, COMMANDS)
        own = _own_defaults(arguments)
        result = srup.main(arguments, prog_name="srup", standalone_mode=False, default_map=own)
        if sys.stdout is not None:
            sys.stdout.flush()  # what cannot be written is met here, and not at the end of Python
        return result if isinstance(result, int) else 0
    except (SrupError, MemoryError) as raised:
        error = raised if isinstance(raised, SrupError) else FULL
        command = command_of(srup, arguments)
        return _refused(error.told(spelling(command)), error.exit_code)
    except click.ClickException as error:
        return _refused(usage_error(error), error.exit_code)
    except click.exceptions.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _refused("interrupted", INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has gone
        sys.stdout = None
        return 1
    except OSError as error:  # what the system refuses, where nothing else was made of it
        return _refused(_told(error), 1)
    except Exception as error:  # a mistake of srup's own
        command = command_of(srup, arguments)
        return _refused(internal(error, f"srup {command.name}").told(spelling(command)), 1)


def _own_defaults(arguments: list[str]) -> dict[str, Any]:
    """Defaults that are set for the command of a command line. Raises UsageError."""
    command = arguments[0] if arguments else ""
    if command not in CONFIGURED or not {*HELP}.isdisjoint(arguments):
        return {}
    from srup.cli import settings

    return settings.default_map(command)


def _told(error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.filename:
        return f"cannot use {os.fsdecode(error.filename)}: {reason}"
    sys.stdout = None  # or Python would try once more at its end
    return f"the output cannot be written: {reason}"


def _refused(message: str, code: int) -> int:
    from srup.cli import console

    with suppress(OSError):  # there may be nowhere to tell it
        console.error(message)
    return code

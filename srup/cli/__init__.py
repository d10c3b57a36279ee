"""The command line: words for what the library does. Here errors become a line and an exit code."""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from srup import __version__, memory
from srup.cli import signals
from srup.cli.errors import command_of, spelling
from srup.errors import OutOfMemory, SrupError
from srup.files import remove_abandoned

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = {  # name of a command and its module → its line in `srup --help`, which imports none
    "upscale": "Enlarge images: photographs, animations, documents of many pages.",
    "batch": "Enlarge folders of images: IN are folders, files or globs, OUT is a folder.",
    "inspect": "Say what kind of pictures these are: how compressed, how noisy, enlarged before.",
    "models": "Show the networks; fetch, check and remove their weights.",
    "train": "Train NETWORK on folders of images, any format, or HDF5 files with groups lr and hr.",
    "score": "PSNR and SSIM of SR, a file or a folder, against HR.",
    "evaluate": "Score networks on a folder of HR images, bicubic first.",
    "compare": "Make a page that compares: networks on an IMAGE, or versions of one image.",
    "features": "Draw the feature maps after each stage of a network as a grid.",
    "bench": "Measure this machine: networks in every precision and engine it has.",
    "completion": "Print a script that lets a shell complete srup's command lines.",
    "man": "Print the manual page of srup and its commands.",
}
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
    srup upscale photo.jpg              4 times larger, with the network that comes with srup
    srup upscale photo.jpg -s 2 -m imdn
    srup batch photos/ larger/          a folder; again after a crash, it goes on
    srup models                         what there is
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
        result = srup.main(arguments, prog_name="srup", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # what cannot be written is met here, and not at the end of Python
        return result if isinstance(result, int) else 0
    except (SrupError, MemoryError) as raised:
        error = raised if isinstance(raised, SrupError) else FULL
        command = command_of(srup, arguments)
        return _refused(error.told(spelling(command)), error.exit_code)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _refused("interrupted", INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has gone
        sys.stdout = None
        return 1
    except OSError as error:  # what the system refuses, where nothing else was made of it
        return _refused(_told(error), 1)


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

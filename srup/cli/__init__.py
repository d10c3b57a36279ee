"""The command line: words for what the library does. Here errors become a line and an exit code."""

from __future__ import annotations

import importlib
import io
import os
import sys
from contextlib import suppress

import click

from srup import __version__, memory
from srup.cli import signals
from srup.cli.errors import command_of, spelling
from srup.errors import OutOfMemory, SrupError, internal
from srup.files import remove_abandoned

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
}
INTERRUPTED = 130
FULL = OutOfMemory(
    "the memory is full", "take smaller windows with {tile=128}", "or a smaller image"
)


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"srup.cli.{name}").command
        return command

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
    except Exception as error:  # a mistake of srup's own
        command = command_of(srup, arguments)
        return _refused(internal(error, f"srup {command.name}").told(spelling(command)), 1)


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

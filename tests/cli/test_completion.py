"""What shells complete, asked of real ones: keys are typed on terminals."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import srup
from srup.cli import COMMANDS
from srup.cli import srup as root
from srup.cli.completion import SHELLS

pty = pytest.importorskip("pty", reason="needs the terminals of POSIX")

BEGIN = {  # what a shell runs first; the lines for completion are those of the documents
    "bash": """PS1='ready> '\neval "$(srup completion bash)"\n""",
    "zsh": """PS1='ready> '\nautoload compinit; compinit -u -D\neval "$(srup completion zsh)"\n""",
    "fish": "function fish_prompt; echo 'ready> '; end\nsrup completion fish | source\n",
}
STARTED = {  # how it is told to
    "bash": ("--rcfile", ".zshrc", "-i"),
    "zsh": ("-d", "-i"),
    "fish": ("--no-config", "--init-command", "source .zshrc"),
}
TYPED = {  # what is typed before the tabulator → the line that it makes
    "srup upsc": "srup upscale",
    "srup pho": "srup photo.jpg",
    "srup u": "srup up",  # a command, upscale, and a file, upload.jpg
    "srup upscale pho": "srup upscale photo.jpg",
    "srup batch fold": "srup batch folder",
    "srup upscale -m imdn-pl": "srup upscale -m imdn-plus",
    "srup upscale -m au": "srup upscale -m auto",
    "srup upscale -f web": "srup upscale -f webp",
    "srup upscale --engine open": "srup upscale --engine openvino",
    "srup batch -d cp": "srup batch -d cpu",
    "srup evaluate --degrade sens": "srup evaluate --degrade sensor-noise:50",
    "srup score -f ht": "srup score -f html",
    "srup upscale photo.jpg --self-e": "srup upscale photo.jpg --self-ensemble",
    "srup models info rfd": "srup models info rfdn",
}
SECONDS = 60  # to wait for a shell; many times what it needs
FREE = {  # texts that nobody can know: numbers, names of one's own
    "upscale size",
    "upscale tile",
    "upscale suffix",
    "batch size",
    "batch tile",
    "batch suffix",
    "batch cluster",
    "batch column",
    "compare tile",
    "evaluate tile",
    "evaluate data_set",
    "features channels",
    "models name",
    "serve host",
    "serve token",
    "serve tile",
    "upscale server",
    "upscale token",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures and a folder in it, and `srup` in the PATH."""
    folder = tmp_path / "here"
    (folder / "folder").mkdir(parents=True)
    for name in ("photo.jpg", "upload.jpg"):
        (folder / name).touch()
    program = tmp_path / "bin" / "srup"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m srup "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(srup.__file__).parents[1]))
    monkeypatch.setenv("ZDOTDIR", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TERM", "xterm")
    return folder


@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_completes(shell: str, here: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}: apt-get install {shell}")
    (here / ".zshrc").write_text(BEGIN[shell])
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(here)
        os.execvp(shell, [shell, *STARTED[shell]])
    found = {line: completed(terminal, line) for line in TYPED}
    os.close(terminal)
    os.waitpid(child, 0)
    assert found == TYPED


def completed(terminal: int, line: str) -> str:
    """What a shell makes of a line at the tabulator key."""
    shown(terminal, r"ready> ")
    # Control-A goes to the start of the line and Control-E to its end: printf then shows it, after
    # a word that is not in what was typed, which the terminal shows too
    os.write(terminal, f"{line}\t\x01printf 'ma%s<%s>\\n' de: '\x05'\n".encode())
    # zsh takes back what it has put after a word when one does not go on there
    return shown(terminal, "made:<(.*?)>")[1].rstrip(" /")


def shown(terminal: int, pattern: str) -> re.Match[str]:
    """The next text on a terminal that is of this pattern."""
    text = ""
    while not (found := re.search(pattern, text)):
        ready, _, _ = select.select([terminal], [], [], SECONDS)
        assert ready, f"nothing like {pattern} in {text!r}"
        text += os.read(terminal, 1).decode(errors="replace")
    return found


def texts() -> Iterator[tuple[str, click.Context, click.Parameter]]:
    """Every parameter whose value is a text of any kind, with where it is."""
    for name in COMMANDS:
        command = root.get_command(click.Context(root), name)
        assert command
        for ctx in [click.Context(command, info_name=name), *_below(command)]:
            for parameter in ctx.command.params:
                if isinstance(parameter.type, click.types.StringParamType):
                    yield f"{name} {parameter.name}", ctx, parameter


def _below(command: click.Command) -> list[click.Context]:
    if not isinstance(command, click.Group):
        return []
    return [click.Context(each, info_name=name) for name, each in command.commands.items()]


def test_what_can_be_known_is_completed() -> None:
    """Texts complete to something, but for those that nobody can know."""
    bare = {name for name, ctx, each in texts() if not each.shell_complete(ctx, "")}
    assert bare == FREE


def test_help_texts_have_no_colons_before_them() -> None:
    """zsh takes what stands before the first colon for the word."""
    for name, ctx, parameter in texts():
        for item in parameter.shell_complete(ctx, ""):
            assert not (item.help and ":" in item.value), name


@pytest.mark.parametrize("words", ["", "ups", *(f"{name} -" for name in COMMANDS)])
def test_completing_is_quick(words: str) -> None:
    """It imports no library that takes long, and no command that is not asked about."""
    code = "import sys; from srup.cli import main\ntry: main()\n"
    code += "except SystemExit: print(*sys.modules, sep='\\n', file=sys.stderr)"
    settings = {
        "_SRUP_COMPLETE": "bash_complete",
        "COMP_WORDS": f"srup {words}",
        "COMP_CWORD": str(words.count(" ") + 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("plain,")
    imported = set(done.stderr.split())
    assert not imported & {"torch", "rich", "openvino", "requests"}
    assert words.strip(" -") in COMMANDS or not imported & {"numpy", "PIL"}

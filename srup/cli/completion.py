"""srup completion: scripts that let shells complete command lines; and what there is to complete.

Such a script asks srup itself each time, through click.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
)

from srup.cli.commands import Command
from srup.models import community, registry

# bash completes either words of ours or files of its own, and here both where both are meant
BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' type value files=
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            plain) COMPREPLY+=("$value") ;;
            file) files=default ;;
            dir) files=dirnames ;;
        esac
    done < <(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete $1)
    if [[ $files && ${#COMPREPLY[@]} -gt 0 ]]; then
        COMPREPLY+=($(compgen -f -- "$2"))
        compopt -o filenames
    elif [[ $files ]]; then
        compopt -o $files
    fi
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """The script for bash."""

    source_template = BASH


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": ZshComplete, "fish": FishComplete}


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script that lets a shell complete srup's command lines.

    \b
    eval "$(srup completion bash)"                in ~/.bashrc
    eval "$(srup completion zsh)"                 in ~/.zshrc, after compinit
    srup completion fish | source                 in ~/.config/fish/config.fish
    """
    made = SHELLS[shell](ctx.find_root().command, {}, "srup", "_SRUP_COMPLETE")
    click.echo(made.source_template % made.source_vars())


def networks(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The networks of the registry, with their scales."""
    found = []
    for name in (*registry.names(), *community.added()):
        scales = " ".join(f"×{scale}" if scale else "any" for scale in registry.find(name))
        found.append(CompletionItem(name, help=scales))
    return _beginning(found, incomplete)


def devices(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Kinds of devices; which are here only PyTorch knows, which takes seconds to import."""
    names = ["auto", "cpu", "gpu", *(["mps"] if sys.platform == "darwin" else ["cuda"])]
    return _beginning(map(CompletionItem, names), incomplete)


def degradations(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Specs of one operation, of a middling strength."""
    from srup.images.degrade import CLEAN, KINDS  # brings NumPy, which the script itself can spare

    # without help texts, which zsh separates from the words by colons
    specs = [CLEAN, *(f"{name}:{kind.high / 2:g}" for name, kind in KINDS.items())]
    return _beginning(map(CompletionItem, specs), incomplete)


def files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files and folders, which the shell knows."""
    return [CompletionItem(incomplete, type="file")]


def _beginning(items: Iterable[CompletionItem], incomplete: str) -> list[CompletionItem]:
    return [item for item in items if item.value.startswith(incomplete)]

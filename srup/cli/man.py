"""srup man: the manual page, in the language of troff, from what the commands say of themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from srup import __version__
from srup.cli import INTERRUPTED
from srup.cli.commands import FIRST, Command, grouped, record
from srup.errors import SrupError, UsageError, WeightsError

VERBATIM = "\b"  # begins a paragraph of a help text whose lines stay as they are
OPTION = re.compile(r"(-[^ ]+(?:(?:, | / )-[^ ]+)*)(?: (.*))?", re.DOTALL)  # its names, its metavar
SPECIAL = str.maketrans(  # characters that troff would take for its own, or make typographic
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
)
RAGGED = (".nh", ".ad l")  # words are not hyphenated, lines not stretched
EXIT_STATUS = {
    0: "All was done.",
    SrupError.exit_code: "Some images failed.",
    UsageError.exit_code: "Wrong usage.",
    WeightsError.exit_code: "Weights could not be had or did not verify.",
    INTERRUPTED: "Interrupted.",
}
ENVIRONMENT = {
    "SRUP_CACHE": "The folder where weights are kept.",
    "SRUP_CONFIG": "The file of defaults of your own, see srup config.",
    "SRUP_MIRROR": "A URL that is asked first for each weights file.",
    "SRUP_OFFLINE": "If 1, the network is never used.",
    "SRUP_SERVER": "What --server of srup upscale names.",
    "SRUP_TOKEN": "What requests to srup serve must know.",
    "SRUP_ENGINE": "What --engine auto takes.",
    "TMPDIR": "Where very large images keep what does not fit into memory.",
    "NO_COLOR": "If set, nothing is printed in colours.",
}


@click.command("man", cls=Command)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Print the manual page of srup and its commands.

    \b
    man -l <(srup man)
    srup man > ~/.local/share/man/man1/srup.1
    """
    click.echo(page(ctx.find_root()), nl=False)


def page(root: click.Context) -> str:
    """The manual page of a group of commands and all below it; `root` is the group's context."""
    title, *_ = (root.command.help or "").partition(".")
    lines = [f'.TH SRUP 1 "" "srup {__version__}" "User Commands"', *RAGGED]
    lines += [".SH NAME", _text(f"srup - {title[:1].lower()}{title[1:]}")]
    lines += [".SH SYNOPSIS", *_synopsis(root), ".SH DESCRIPTION", *_description(root)]
    lines += _options(root)
    for ctx in _commands(root):
        lines += [f".SH {_quoted(ctx.command_path.upper())}"]
        lines += [*_synopsis(ctx), *_description(ctx), *_options(ctx)]
    lines += [".SH EXIT STATUS", *_terms({str(code): text for code, text in EXIT_STATUS.items()})]
    lines += [".SH ENVIRONMENT", *_terms(ENVIRONMENT)]
    return "\n".join([*lines, ""])


def _commands(ctx: click.Context) -> Iterator[click.Context]:
    """The commands below a group, each before those below it."""
    if not isinstance(ctx.command, click.Group):
        return
    for name in ctx.command.list_commands(ctx):
        command = ctx.command.get_command(ctx, name)
        if command is not None and not command.hidden:
            below = click.Context(command, info_name=name, parent=ctx)
            yield below
            yield from _commands(below)


def _synopsis(ctx: click.Context) -> Iterator[str]:
    yield f".B {_quoted(ctx.command_path)}"
    yield _text(" ".join(ctx.command.collect_usage_pieces(ctx)))


def _description(ctx: click.Context) -> Iterator[str]:
    """The help text of a command; its examples line by line."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(ctx.command.help or "")):
        if paragraph.startswith(VERBATIM):
            _, *lines = paragraph.split("\n")
            yield from (".PP", ".RS 4", ".nf", *map(_text, lines), ".fi", ".RE")
        else:
            yield from (".PP", _text(" ".join(paragraph.split())))


def _options(ctx: click.Context) -> Iterator[str]:
    """The options of a command, under the headings of their groups where it has many."""
    options = [
        each
        for each in ctx.command.get_params(ctx)
        if isinstance(each, click.Option) and not each.hidden
    ]
    grouped_options = grouped(options) if ctx.command.name in FIRST else [("Options", options)]
    for name, members in grouped_options:
        yield f".SS {_quoted(name)}"
        for option in members:
            yield from _option(*record(option, ctx))


def _option(names: str, help_: str) -> tuple[str, ...]:
    """An option from its record in a help text, as ("-s, --scale FLOAT", "How many times …")."""
    found = OPTION.fullmatch(names)
    flags, metavar = found.groups() if found else (names, None)
    tag = f"\\fB{_text(flags)}\\fR"
    if metavar:
        tag += f" \\fI{_text(metavar)}\\fR".replace("|", r"|\:")  # a long list may be broken there
    return (".TP", tag, _text(" ".join(help_.split())))


def _terms(texts: dict[str, str]) -> Iterator[str]:
    for term, text in texts.items():
        yield from (".TP", f"\\fB{_text(term)}\\fR", _text(text))


def _quoted(text: str) -> str:
    """A text as one argument of a macro."""
    return '"' + _text(text).replace('"', r"\(dq") + '"'


def _text(text: str) -> str:
    """A text that troff shows as it is."""
    escaped = re.sub(r"[^\x00-\x7f]", _character, text.translate(SPECIAL))
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


def _character(found: re.Match[str]) -> str:
    return rf"\[u{ord(found[0]):04X}]"

"""How commands explain themselves: what most people need on one screen, the rest in groups.

`srup upscale --help` shows the options of `FIRST`, `srup upscale --help --all` every option, in the
groups of `GROUPS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

COMMANDS = {  # name of a command and its module → its line in `srup --help`, which imports none
    "upscale": "Enlarge images: photographs, animations, documents of many pages.",
    "batch": "Enlarge folders of images: IN are folders, files or globs, OUT is a folder.",
    "serve": "Serve a page to drop pictures on, and an API for programs.",
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
    "config": "Show defaults of your own, and where they are set.",
}
# commands that take no defaults of one's own
UNCONFIGURED = ("models", "completion", "man", "config")
CONFIGURED = tuple(name for name in COMMANDS if name not in UNCONFIGURED)
ALL = "--all"
HELP = ("-h", "--help")
QUIET = "srup.quiet"  # in the meta of a context: show nothing but results and errors
GROUPS = {  # heading → names of parameters; what is in none comes last, under REST
    "Size": (
        *("scale", "scales", "size", "fill", "stretch"),
        *("width", "height", "long_edge", "megapixels"),
    ),
    "Network": ("model", "models", "strength", "weights", "self_ensemble", "start", "teachers"),
    "Input": ("list_file", "recursive", "on_collision", "max_pixels", "hr", "lr", "degradations"),
    "Output": (
        *("output", "suffix", "format_", "quality", "lossless", "palette", "dpi", "strip"),
        *("overwrite", "report_file", "save", "half", "per_image"),
    ),
    "Scoring": ("protocol", "border", "edges", "data_set", "validate", "every"),
    "Learning": (
        *("steps", "batch", "patch", "optimiser", "rate", "last_rate", "warm_up", "schedule"),
        *("loss", "finish", "decay", "wider", "clip", "distil", "degrade", "seed"),
    ),
    "Service": ("port", "host", "open_", "server", "token", "waiting", "max_upload", "storage"),
    "Speed and memory": (
        *("tile", "tiling", "device", "engine", "precision", "compiled"),
        *("threads", "cluster", "cores"),
    ),
}
REST = "Other"
FIRST = {  # command → the options that its first screen shows; other commands show all
    "upscale": ("output", "scale", "size", "model", "strength", "format_", "overwrite", "dry_run"),
    "batch": (
        *("recursive", "scale", "size", "model", "strength", "format_", "overwrite"),
        *("report_file", "watch", "dry_run"),
    ),
    "serve": ("port", "host", "token", "open_", "model", "device", "waiting"),
    "compare": ("models", "scale", "reference", "output", "overwrite"),
    "bench": ("models", "scale", "picture", "sides", "pressure", "save", "output"),
    "evaluate": ("models", "scale", "lr", "degradations", "protocol", "per_image", "output"),
    "train": ("output", "scales", "steps", "start", "validate", "degrade", "overwrite"),
}
NAMES = {  # names of click's types → how a value of them is called in help
    "integer": "N",
    "integer range": "N",
    "float": "N",
    "float range": "N",
    "scale": "N",
    "file": "FILE",
    "directory": "FOLDER",
}
NO_BREAK = "\u2011"  # a hyphen that textwrap does not break lines at


class Formatter(click.HelpFormatter):
    """Help that breaks no word at its hyphen: "lite-photo" stays on one line."""

    def write(self, string: str) -> None:
        super().write(string.replace(NO_BREAK, "-"))

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", NO_BREAK))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 24, col_spacing: int = 2
    ) -> None:
        kept = [(name, text.replace("-", NO_BREAK)) for name, text in rows]
        super().write_dl(kept, col_max, col_spacing)


class Context(click.Context):
    formatter_class = Formatter


class Command(click.Command):
    """A command whose help fits a screen, and that takes `--quiet`."""

    context_class = Context

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "quiet" not in {parameter.name for parameter in self.params}:
            self.params.append(quiet())
        for parameter in self.params:
            if isinstance(parameter, click.Option) and parameter.metavar is None:
                parameter.metavar = NAMES.get(parameter.type.name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if self.name in FIRST and ALL in args and not {*HELP}.isdisjoint(args):
            args.remove(ALL)
            ctx.meta[ALL] = True
        self._let_typed_sizes_win(ctx, args)
        return super().parse_args(ctx, args)

    def _let_typed_sizes_win(self, ctx: click.Context, args: list[str]) -> None:
        """Forgets sizes that are set as defaults where the command line has another one.

        Together they would contradict each other.
        """
        sizes = GROUPS["Size"]
        if ctx.default_map and not set(sizes).isdisjoint(ctx.default_map):
            typed, _, _ = self.make_parser(ctx).parse_args(args=[*args])
            if not set(sizes).isdisjoint(typed):
                kept = {name: v for name, v in ctx.default_map.items() if name not in sizes}
                ctx.default_map = kept

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        first = FIRST.get(self.name or "")
        if first and ALL not in ctx.meta:
            shown = [each for each in options if each.name in first]
            _write(formatter, ctx, "Options", sorted(shown, key=lambda one: first.index(one.name)))
            count = len(options) - len(shown)
            formatter.write_paragraph()
            formatter.write_text(f"{ctx.command_path} --help --all shows {count} more options.")
            return
        if not first:
            _write(formatter, ctx, "Options", options)
            return
        for heading, members in grouped(options):
            _write(formatter, ctx, heading, members)


class Group(Command, click.Group):
    """A command with commands below it."""

    command_class = Command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


def quiet() -> click.Option:
    """The option `--quiet` of every command."""
    return click.Option(
        ["--quiet"],
        is_flag=True,
        expose_value=False,
        callback=_be_quiet,
        help="Print errors and what was asked for only: no progress, no warnings.",
    )


def _be_quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[QUIET] = True


def grouped(options: Sequence[click.Option]) -> Iterator[tuple[str, list[click.Option]]]:
    """The groups of a command's options that are not empty, each in the order of its table."""
    by_name = {option.name: option for option in options}
    for heading, names in GROUPS.items():
        members = [by_name.pop(name) for name in names if name in by_name]
        if members:
            yield heading, members
    yield REST, list(by_name.values())


def group_of(option: click.Option) -> str:
    """The heading that an option is under."""
    headings = (heading for heading, names in GROUPS.items() if option.name in names)
    return next(headings, REST)


def _write(
    formatter: click.HelpFormatter, ctx: click.Context, heading: str, options: list[click.Option]
) -> None:
    with formatter.section(heading):
        formatter.write_dl([record(option, ctx) for option in options])


def record(option: click.Option, ctx: click.Context) -> tuple[str, str]:
    """How an option is written, and what it does with its default."""
    record = option.get_help_record(ctx)
    assert record is not None, "a hidden option"
    text = option.help or ""
    if option.show_default and option.default is not None:
        values = option.default if isinstance(option.default, (list, tuple)) else [option.default]
        text += f"  [default: {', '.join(map(_number, values))}]"
    return record[0], text


def _number(value: object) -> str:
    """A default as people write it: 4, and not 4.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)

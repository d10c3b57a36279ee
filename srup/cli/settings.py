"""Defaults of one's own: a TOML file and environment variables, which click takes before those of
the program.

    model = "imdn"      # top level: for upscale and batch

    [batch]             # a table: for one command, before what the top level says
    jobs = 2

The file is `config.toml` in the folder where the platform keeps settings, or what `SRUP_CONFIG`
names. `SRUP_MODEL=imdn` and `SRUP_BATCH_JOBS=2` say the same and come before the file. The command
line comes before both.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import platformdirs

from srup.cli.commands import CONFIGURED
from srup.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIG = "SRUP_CONFIG"  # the variable that names the file
# variables that say something else than a default of an option
RESERVED = (CONFIG, "SRUP_CACHE", "SRUP_MIRROR", "SRUP_OFFLINE", "SRUP_ENGINE")
SHARED = ("upscale", "batch")  # the commands that the top level holds for

Value = str | bool | list[str]  # as click takes it from a command line


@dataclass(frozen=True)
class Setting:
    """A default for an option of a command, and the file or variable that it comes from."""

    command: str
    option: click.Option
    value: Value
    origin: str

    @property
    def key(self) -> str:
        """The option as it is called in the file: "self-ensemble"."""
        return _keys(self.option)[0]


def path() -> Path:
    """The file of settings, whether it is there or not."""
    named = os.environ.get(CONFIG)
    return Path(named) if named else platformdirs.user_config_path("srup") / "config.toml"


def default_map(command: str) -> dict[str, dict[str, Value]]:
    """The defaults of one's own for a command, as click takes them. Raises UsageError."""
    return {command: {str(each.option.name): each.value for each in settings(command)}}


def settings(command: str) -> list[Setting]:
    """What is set for a command, each option once, what comes first winning.

    Raises UsageError for a file that cannot be read, and for what no option is called or takes.
    """
    found: dict[str | None, Setting] = {}
    for each in (*_from_environment(command), *_from_file(command)):
        found.setdefault(each.option.name, each)
    return list(found.values())


def _from_file(command: str) -> Iterator[Setting]:
    """The settings of the command's own table, then those of the top level."""
    file, tables = path(), _read(path())
    shared = {key: value for key, value in tables.items() if not isinstance(value, dict)}
    for name in tables.keys() - shared.keys():
        if name not in CONFIGURED:
            raise UsageError(f"{file}: no command is called {name!r}{_nearest(name, CONFIGURED)}")
    for key, value in tables.get(command, {}).items():
        yield _setting(command, key, value, f"{file} [{command}]", known=_options(command))
    known = {key for name in SHARED for key in _options(name)} if shared else set()
    for key, value in shared.items():
        if key not in known:
            raise UsageError(f"{file}: no option is called {key!r}{_nearest(key, known)}")
        if command in SHARED and key in _options(command):
            yield _setting(command, key, value, str(file), known=_options(command))


def _read(file: Path) -> dict[str, dict[str, object]]:
    """The tables of a file; nothing where there is none. Raises UsageError."""
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        if CONFIG in os.environ:
            raise UsageError(f"{CONFIG} names {file}, and there is no such file") from None
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {file}: {error}; correct or remove it") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is no TOML: {error}; correct or remove it") from error


def _from_environment(command: str) -> Iterator[Setting]:
    """The settings of variables for the command alone, then of those for `upscale` and `batch`."""
    own, shared = f"SRUP_{command.upper()}_", "SRUP_"
    others = tuple(f"SRUP_{name.upper()}_" for name in CONFIGURED)
    for name, value in os.environ.items():
        if name.startswith(own):
            key = _key(name, own)
            yield _setting(command, key, value, name, known=_options(command))
    for name, value in os.environ.items():
        if not name.startswith(shared) or name.startswith(others) or name in RESERVED:
            continue
        key = _key(name, shared)
        known = {each for command in SHARED for each in _options(command)}
        if key not in known:
            raise UsageError(f"{name} is no setting of srup{_nearest(key, known)}")
        if command in SHARED and key in _options(command):
            yield _setting(command, key, value, name, known=_options(command))


def _key(variable: str, prefix: str) -> str:
    """What a variable sets: SRUP_SELF_ENSEMBLE is "self-ensemble"."""
    return variable.removeprefix(prefix).lower().replace("_", "-")


def _setting(
    command: str, key: str, value: object, origin: str, *, known: Mapping[str, click.Option]
) -> Setting:
    """A setting whose value its option takes. Raises UsageError."""
    if key not in known:
        where = f"{origin}: no option of srup {command} is called {key!r}"
        raise UsageError(f"{where}{_nearest(key, known)}")
    option = known[key]
    words = _as_words(value, option)
    try:
        option.type_cast_value(click.Context(click.Command(command)), words)
    except click.BadParameter as error:
        raise UsageError(f"{origin}: {key} = {value!r}: {error.message}") from error
    return Setting(command, option, words, origin)


def _as_words(value: object, option: click.Option) -> Value:
    """A value as it would be typed."""
    if option.multiple:
        return [str(each) for each in value] if isinstance(value, list) else str(value).split()
    return value if isinstance(value, bool) else str(value)


def _options(command: str) -> dict[str, click.Option]:
    """The options of a command that may be set, by what they are called in the file."""
    module = importlib.import_module(f"srup.cli.{command}")
    return {
        key: option
        for option in module.command.params
        if isinstance(option, click.Option)
        for key in _keys(option)
    }


def _keys(option: click.Option) -> list[str]:
    return [flag[2:] for flag in option.opts if flag.startswith("--")]


def _nearest(word: str, words: Collection[str]) -> str:
    near = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {near[0]}?" if near else ""

"""What a batch has to do: images found, and the file that each becomes. Nothing is decoded here."""

from __future__ import annotations

import glob
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Literal

from PIL import ExifTags

from srup.batch.shards import is_shard
from srup.errors import ReadError, SrupError, UsageError
from srup.images import EXTENSIONS, looks_like_image, named_like_image, open_image
from srup.images.codec_errors import codec_errors
from srup.pipeline import Destination, Job, Recipe, check_suffix
from srup.storage import Entry, entry, is_url, join, listing

OnCollision = Literal["refuse", "suffix"]


def find(inputs: Sequence[str], *, recursive: bool = False) -> list[Entry]:
    """The images among `inputs`: files, folders (all below them with `recursive`), globs, URLs of
    these.

    An entry's `name` is its path below the folder it was found in, or that of its file alone. In
    folders a file is an image if its name or its first bytes say so; what was named itself is taken
    at its word. What cannot be read on this machine, folders too, has an `error`. Raises ReadError
    for what does not exist.
    """
    found = {}
    for place in inputs:
        for each in below(place, recursive):
            found[each.path] = each
    return list(found.values())


def below(place: str, recursive: bool) -> Iterator[Entry]:
    """The images at one of the places of `find`, as they are come upon. Raises ReadError."""
    here = entry(place) if is_url(place) else _entry_or_error(place)
    if here is not None and not here.folder:
        yield here
    elif here is not None:
        yield from filter(_is_image, listing(place, recursive=recursive))
    elif not is_url(place) and glob.has_magic(place):
        yield from _matching(place)
    else:
        raise ReadError(f"cannot read {place}: no such file or folder; check the name")


def _matching(pattern: str) -> Iterator[Entry]:
    """The files that a glob matches, named by their path below its fixed part."""
    root = _fixed_part(pattern)
    try:
        # pathlib's glob takes no absolute patterns
        paths = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
    except RecursionError as error:
        about = f"cannot read {pattern}: folders lie too deep for a pattern; name a folder"
        raise ReadError(about, "take {recursive}") from error
    for path in paths:
        each = _entry_or_error(path)
        if each and not each.folder:
            yield replace(each, name=os.path.relpath(path, root))


def _fixed_part(pattern: str) -> Path:
    """The folder of a glob before its first wildcard."""
    fixed = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _is_image(found: Entry) -> bool:
    """Whether a file's name or first bytes say image, or its name shard; of a folder or a URL its
    name alone. A folder that cannot be read may hold images.
    """
    if named_like_image(found.path):
        return True
    if found.folder:
        return bool(found.error)
    if is_shard(found.path):
        return True
    return not found.error and not is_url(found.path) and looks_like_image(found.path)


def read_list(lines: Iterable[str], *, recursive: bool = False) -> list[Entry]:
    """The images of a list, one a line; empty lines and those that begin with # do not count.

    With `recursive` a relative path keeps its folders in the output. What is missing or cannot be
    read stays in the list, and fails when its turn comes.
    """
    return list({each.path: each for each in listed(lines, recursive)}.values())


def listed(lines: Iterable[str], recursive: bool) -> Iterator[Entry]:
    """The same one by one, and what is in the list twice is there twice."""
    for line in lines:
        place = line.strip()
        if not place or place.startswith("#"):
            continue
        each = _entry_or_error(place) or Entry(place, PurePosixPath(place).name)
        if recursive and _keeps_folders(place):
            each = replace(each, name=os.path.normpath(place))
        yield each


def _entry_or_error(place: str) -> Entry | None:
    """The file or folder at a place, with an `error` where it cannot be read; None if there is
    none.
    """
    try:
        return entry(place)
    except SrupError as error:
        return Entry(place, PurePosixPath(place).name, error=str(error))


def _keeps_folders(place: str) -> bool:
    return not is_url(place) and not Path(place).is_absolute() and ".." not in Path(place).parts


def size_of(job: Job) -> tuple[int, int] | None:
    """(width, height) of a job's image, upright, by the head of its file; None if it is damaged or
    not at hand.
    """
    unreadable = codec_errors(ReadError, job.source.path)
    try:
        with warnings.catch_warnings(), unreadable, open_image(job.source.path) as opened:
            warnings.simplefilter("ignore")
            turned = opened.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            return opened.size[::-1] if turned else opened.size
    except (SrupError, OSError):  # making the image will say what is wrong
        return None


def planned(
    sources: Sequence[Entry],
    out: str,
    recipe: Recipe,
    *,
    suffix: str = "",
    on_collision: OnCollision = "refuse",
) -> list[Job]:
    """One job for each source that is not itself a result, all into the folder or URL `out`.

    What lies in `out` is left out if `out` is below an input folder, or if another source of the
    same run becomes it. Two sources of one result are refused, or told apart as a_jpg.png and
    a_png.png with `on_collision` "suffix". Raises UsageError.
    """
    jobs = proposed(sources, out, recipe, suffix=suffix, on_collision=on_collision)
    for _, error in conflicts(jobs):
        raise error
    return jobs


def proposed(
    sources: Sequence[Entry],
    out: str,
    recipe: Recipe,
    *,
    suffix: str = "",
    on_collision: OnCollision = "refuse",
) -> list[Job]:
    """The same jobs, those included that are in conflict with others. Raises UsageError."""
    check_suffix(suffix)
    readable = [source for source in sources if not source.error]
    namer = Namer(out, suffix, recipe)
    jobs = _without_results(list(map(namer.job, readable)), out)
    if on_collision == "suffix":
        count = Counter(job.name for job in jobs)
        jobs = [namer.told_apart(job) if count[job.name] > 1 else job for job in jobs]
    return [*jobs, *(failing_job(source, out) for source in sources if source.error)]


class Namer:
    """Gives results their names: those of the sources with a suffix and the format's extension."""

    def __init__(self, out: str, suffix: str, recipe: Recipe) -> None:
        self.folder, self.separator = join(out, "x")[:-1], "/" if is_url(out) else os.sep
        self.suffix, self.ending = suffix, f"{suffix}{EXTENSIONS[recipe.format or 'png']}"

    def job(self, source: Entry) -> Job:
        """The job of a source."""
        folder, stem, extension = _parts(source.name)
        ending = f"{self.suffix}.{extension}" if is_shard(f".{extension}") else self.ending
        return self._made(source, f"{folder}{stem}{ending}")

    def told_apart(self, job: Job) -> Job:
        """The same job, with its result named after the source's extension too: a_jpg.png."""
        folder, stem, extension = _parts(job.name)
        own = _parts(job.source.name)[2].lower()
        return self._made(job.source, f"{folder}{stem}_{own}.{extension}")

    def _made(self, source: Entry, name: str) -> Job:
        place = self.folder + (name if self.separator == "/" else name.replace("/", self.separator))
        return Job(name, source, Destination(place, overwrite=True, make_folders=True))


def failing_job(source: Entry, out: str) -> Job:
    """The job of what cannot be read; its name ends as that of no result does."""
    return Job(f"{source.path}/", source, Destination(out))


def _parts(name: str) -> tuple[str, str, str]:
    """A path as its folder, the stem of its file and the extension: ("sub/", "a.b", "png")."""
    # pathlib takes five times as long, which counts for a million names
    folder, slash, file = name.replace(os.sep, "/").rpartition("/")
    stem, _, extension = file.rpartition(".")
    if not stem or not extension:
        stem, extension = file, ""
    return folder + slash, stem, extension


def _without_results(jobs: list[Job], out: str) -> list[Job]:
    """The jobs whose source is not itself a result of this batch."""
    # a second run over a folder must not enlarge the results of the first
    identities, made = Identities(out), set()
    for job in jobs:
        place = identities.of_result(job)
        if place != identities.of_source(job):
            made.add(place)
    kept = []
    for job in jobs:
        if identities.of_source(job) not in made and not identities.is_nested(job.source):
            kept.append(job)
    return kept


class Identities:
    """Tells whether two paths are one file; links and relative paths may name it in several ways.

    Folders are looked up once: that is most of what planning many files would take.
    """

    def __init__(self, out: str) -> None:
        self.out = resolved(out)
        self.resolved = lru_cache(maxsize=1000)(resolved)

    def of_source(self, job: Job) -> str:
        """The same for every path to one source."""
        return self._of(job.source.path, job.source.link)

    def of_result(self, job: Job) -> str:
        """The same for every path to one result."""
        place = job.destination.place
        return self._of(place, not is_url(place) and os.path.islink(place))  # noqa: PTH114

    def of_new_result(self, job: Job) -> str:
        """The same, where a link that stands at its place is replaced and not followed."""
        return self._of(job.destination.place, False)

    def is_within(self, source: Entry) -> bool:
        """Whether a source lies in the output folder."""
        return self._of(source.path, source.link).startswith(f"{self.out}/")

    def is_nested(self, source: Entry) -> bool:
        """Whether a source that was found in a folder lies in the output folder further down."""
        place = self._of(source.path, source.link)
        if not place.startswith(f"{self.out}/"):
            return False
        root = place.removesuffix(source.name.replace(os.sep, "/"))
        return self.out.startswith(root) and self.out != root.rstrip("/")

    def _of(self, place: str, link: bool) -> str:
        if is_url(place):
            return place
        if link:
            return self.resolved(place)
        folder, _, name = place.rpartition(os.sep)
        return f"{self.resolved(folder or os.curdir)}/{name}"


def resolved(place: str) -> str:
    """A path without links, with slashes; a URL without one at its end."""
    return place.rstrip("/") if is_url(place) else Path(os.path.realpath(place)).as_posix()


def conflicts(jobs: Sequence[Job]) -> Iterator[tuple[Job, UsageError]]:
    """The jobs whose result would replace an input, or is that of a job before them; and why."""
    readable = [job for job in jobs if not job.source.error]
    identities = Identities(".")
    sources = set(map(identities.of_source, readable))
    taken: dict[str, Job] = {}
    for job in readable:
        place = job.destination.place
        if identities.of_result(job) in sources:
            yield job, is_input(place)
        elif job.name in taken:
            yield job, become_one(f"{taken[job.name].source.path} and {job.source.path}", job.name)
        else:
            taken[job.name] = job


def is_input(place: str) -> UsageError:
    """What to say where a result would replace an input."""
    about = f"{place} is itself an input; name another folder"
    return UsageError(about, "or a {suffix=_x4}")


def become_one(both: str, name: str) -> UsageError:
    """What to say where two inputs have one result."""
    about = f"{both} would both become {name}; rename one"
    return UsageError(about, "or tell them apart with {on_collision=suffix}")

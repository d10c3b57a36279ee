"""What a batch has to do: images found, and the file that each becomes. Nothing is decoded here."""

from __future__ import annotations

import glob
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal

from PIL import ExifTags

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
        for each in _below(place, recursive):
            found[each.path] = each
    return list(found.values())


def _below(place: str, recursive: bool) -> Iterator[Entry]:
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
    """Whether a file's name or first bytes say image; of a folder or a URL its name alone.

    A folder that cannot be read may hold images.
    """
    if found.error:
        return found.folder or named_like_image(found.path)
    if found.folder or is_url(found.path):
        return named_like_image(found.path)
    return looks_like_image(found.path)


def read_list(lines: Iterable[str], *, recursive: bool = False) -> list[Entry]:
    """The images of a list, one a line; empty lines and those that begin with # do not count.

    With `recursive` a relative path keeps its folders in the output. What is missing or cannot be
    read stays in the list, and fails when its turn comes.
    """
    found = {}
    for line in lines:
        place = line.strip()
        if not place or place.startswith("#"):
            continue
        each = _entry_or_error(place) or Entry(place, PurePosixPath(place).name)
        if recursive and _keeps_folders(place):
            each = replace(each, name=os.path.normpath(place))
        found[each.path] = each
    return list(found.values())


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
    jobs = [_job(source, out, _result_name(source.name, suffix, recipe)) for source in readable]
    jobs = _without_results(jobs, out)
    if on_collision == "suffix":
        jobs = _told_apart(jobs, out)
    return [*jobs, *(_failing_job(source, out) for source in sources if source.error)]


def _job(source: Entry, out: str, name: str) -> Job:
    destination = Destination(join(out, name), overwrite=True, make_folders=True)
    return Job(name, source, destination)


def _failing_job(source: Entry, out: str) -> Job:
    """The job of what cannot be read; its name ends as that of no result does."""
    return Job(f"{source.path}/", source, Destination(out))


def _result_name(name: str, suffix: str, recipe: Recipe) -> str:
    path = PurePosixPath(name.replace(os.sep, "/"))
    return str(path.with_name(f"{path.stem}{suffix}{EXTENSIONS[recipe.format or 'png']}"))


def _without_results(jobs: list[Job], out: str) -> list[Job]:
    """The jobs whose source is not itself a result of this batch."""
    # a second run over a folder must not enlarge the results of the first
    made = set()
    for job in jobs:
        place, source = _identity(job.destination.place), _identity(job.source.path)
        if place != source:
            made.add(place)
    kept = []
    for job in jobs:
        if _identity(job.source.path) not in made and not _nested(job.source, out):
            kept.append(job)
    return kept


def _nested(source: Entry, out: str) -> bool:
    """Whether a source that was found in a folder lies in the output folder further down."""
    if is_url(out) != is_url(source.path):
        return False
    place, folder = _identity(source.path), _identity(out)
    root = place.removesuffix(Path(source.name).as_posix())
    return place.startswith(f"{folder}/") and folder.startswith(root) and folder != root.rstrip("/")


def _identity(place: str) -> str:
    """The same for every path to one file."""
    return place if is_url(place) else Path(os.path.realpath(place)).as_posix()


def _told_apart(jobs: Sequence[Job], out: str) -> list[Job]:
    """The jobs, those of one result named after their source's extension too: a_jpg.png."""
    count = Counter(job.name for job in jobs)
    apart = []
    for job in jobs:
        if count[job.name] > 1:
            path, extension = PurePosixPath(job.name), Path(job.source.name).suffix[1:].lower()
            job = _job(
                job.source, out, str(path.with_name(f"{path.stem}_{extension}{path.suffix}"))
            )
        apart.append(job)
    return apart


def conflicts(jobs: Sequence[Job]) -> Iterator[tuple[Job, UsageError]]:
    """The jobs whose result would replace an input, or is that of a job before them; and why."""
    readable = [job for job in jobs if not job.source.error]
    # links and relative paths may name one file in several ways
    sources = {_identity(job.source.path) for job in readable}
    taken: dict[str, Job] = {}
    for job in readable:
        place = job.destination.place
        if _identity(place) in sources:
            about = f"{place} is itself an input; name another folder"
            yield job, UsageError(about, "or a {suffix=_x4}")
        elif job.name in taken:
            both = f"{taken[job.name].source.path} and {job.source.path}"
            about = f"{both} would both become {job.name}; rename one"
            yield job, UsageError(about, "or tell them apart with {on_collision=suffix}")
        else:
            taken[job.name] = job

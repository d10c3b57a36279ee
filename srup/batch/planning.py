"""What a batch has to do: inputs found, and the file that each becomes. Nothing here opens an image."""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from PIL import ExifTags
from PIL import Image as Pillow

from srup.errors import ReadError, UsageError
from srup.images import looks_like_image, named_like_image
from srup.storage import Entry, entry, is_url, join, listing


@dataclass(frozen=True)
class Job:
    """One image to make: `source` becomes the file `name` below the output folder. `tile` overrides that of the batch."""

    source: Entry
    name: str
    tile: int | None = None


def find(inputs: Sequence[str], *, recursive: bool = False) -> list[Entry]:
    """The images among `inputs`: files, folders (all below them with `recursive`), globs, and URLs of these.

    An entry's `name` is its path below the folder it was found in, or that of its file alone. In folders, a file is an image if its
    name or its first bytes say so; what was named itself is taken at its word. Raises ReadError for what is not there.
    """
    found = [each for place in inputs for each in _below(place, recursive)]
    return list({each.path: each for each in found}.values())


def _below(place: str, recursive: bool) -> Iterator[Entry]:
    here = entry(place)
    if here is not None and not here.folder:
        yield here
    elif here is not None:
        yield from filter(_is_image, listing(place, recursive=recursive))
    elif not is_url(place) and glob.has_magic(place):
        root = _fixed_part(place)
        for path in sorted(glob.glob(place, recursive=True)):  # noqa: PTH207 - of an absolute pattern, too
            yield from (
                replace(each, name=os.path.relpath(path, root))
                for each in [entry(path)]
                if each and not each.folder
            )
    else:
        raise ReadError(f"cannot read {place}: no such file or folder; check the name")


def _is_image(found: Entry) -> bool:
    """Whether a file's name or first bytes say image; of a folder or a URL its name alone."""
    if found.folder or is_url(found.path):
        return named_like_image(found.path)
    return looks_like_image(found.path)


def size_of(job: Job) -> tuple[int, int] | None:
    """(width, height) by the head of the file; None if it is damaged or not at hand."""
    try:
        with warnings.catch_warnings(), Pillow.open(job.source.path) as opened:
            warnings.simplefilter("ignore")
            turned = opened.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            return opened.size[::-1] if turned else opened.size
    except (
        Exception
    ):  # Pillow's decoders raise what they like; whoever makes the image will say what is wrong
        return None


def _fixed_part(pattern: str) -> Path:
    """The folder of a glob before its first wildcard."""
    fixed = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def read_list(lines: Iterable[str], *, recursive: bool = False) -> list[Entry]:
    """The inputs of a list, one a line; empty lines and those that begin with # do not count.

    With `recursive`, a relative path keeps its folders in the output. What is missing stays in the list, to fail in its turn.
    """
    named = [line.strip() for line in lines]
    found = []
    for place in [place for place in named if place and not place.startswith("#")]:
        each = entry(place) or Entry(place, PurePosixPath(place).name)
        kept = (
            recursive
            and not is_url(place)
            and not Path(place).is_absolute()
            and ".." not in Path(place).parts
        )
        found.append(replace(each, name=os.path.normpath(place)) if kept else each)
    return list({each.path: each for each in found}.values())


def plan(
    sources: Sequence[Entry],
    out: str,
    *,
    suffix: str = "",
    extension: str | None = None,
    on_collision: str = "refuse",
) -> list[Job]:
    """One job for each source that is not itself a result. `extension` None keeps the source's.

    What lies in the output folder is left out if that folder is below an input, or if a source of the same run becomes it. Two
    sources with one result are refused, or told apart as a_jpg.png and a_png.png with `on_collision` "suffix". Raises UsageError.
    """
    jobs = [Job(each, _result(each.name, suffix, extension)) for each in sources]
    made = {
        _identity(join(out, job.name))
        for job in jobs
        if _identity(join(out, job.name)) != _identity(job.source.path)
    }
    jobs = [
        job
        for job in jobs
        if _identity(job.source.path) not in made and not _nested(job.source, out)
    ]
    if on_collision == "suffix":
        jobs = _told_apart(jobs)
    _check(jobs, out)
    return jobs


def _result(name: str, suffix: str, extension: str | None) -> str:
    path = PurePosixPath(Path(name).as_posix())
    return str(path.with_name(f"{path.stem}{suffix}{extension or path.suffix}"))


def _nested(source: Entry, out: str) -> bool:
    """Whether a source that was found in a folder lies in the output folder further down."""
    if is_url(out) != is_url(source.path):
        return False
    place, folder = _identity(source.path), _identity(out)
    root = place.removesuffix(_identity_of_name(source.name))
    return place.startswith(f"{folder}/") and folder.startswith(root) and folder != root.rstrip("/")


def _identity(place: str) -> str:
    return place if is_url(place) else Path(os.path.realpath(place)).as_posix()


def _identity_of_name(name: str) -> str:
    return Path(name).as_posix()


def _told_apart(jobs: Sequence[Job]) -> list[Job]:
    names = [job.name for job in jobs]

    def own(job: Job) -> str:
        path = PurePosixPath(job.name)
        return str(
            path.with_name(f"{path.stem}_{Path(job.source.name).suffix[1:].lower()}{path.suffix}")
        )

    return [replace(job, name=own(job)) if names.count(job.name) > 1 else job for job in jobs]


def _check(jobs: Sequence[Job], out: str) -> None:
    sources = {_identity(job.source.path) for job in jobs}
    taken: dict[str, Job] = {}
    for job in jobs:
        if _identity(join(out, job.name)) in sources:
            raise UsageError(
                f"{job.name} in {out} is itself an input; name another folder, or a --suffix such as _x4"
            )
        if job.name in taken:
            both = f"{taken[job.name].source.path} and {job.source.path}"
            raise UsageError(
                f"{both} would both become {job.name}; rename one, or tell them apart with --on-collision suffix"
            )
        taken[job.name] = job

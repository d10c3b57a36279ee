"""One image of a shard after the other: enlarged as any file is, in a folder of temporary files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from srup import temporaries
from srup.errors import SrupError
from srup.images import EXTENSIONS, named_like_image
from srup.pipeline import SMALL_WINDOWS, Destination, Job, Result, Stopped, Worker
from srup.storage import Entry

NAMELESS = ".image"  # what an image is called whose name says nothing


@dataclass
class Members:
    """Enlarges the images of the shard `name`; `results` is what became of each, by its key."""

    worker: Worker
    name: str
    folder: Path
    results: list[Result] = field(default_factory=list)

    @property
    def extension(self) -> str:
        """That of the results, with its point."""
        return EXTENSIONS[self.worker.recipe.format or "png"]

    def enlarged(self, key: str, write_source: Callable[[BinaryIO], None]) -> bytes | None:
        """The file that an image becomes; None where it fails.

        `write_source` writes the file that it is. Raises Stopped, and what concerns all images.
        """
        # of what a shard calls an image only a known extension is taken: it is a stranger's word
        suffix = PurePosixPath(key).suffix.lower() if named_like_image(key) else NAMELESS
        source = self.folder / f"source{suffix}"
        with source.open("wb") as file:
            write_source(file)
        result = self._made(key, source)
        self.results.append(result)
        if result.status == "stopped":
            raise Stopped
        return self._place.read_bytes() if result.status == "done" else None

    def refuse(self, key: str, error: SrupError) -> None:
        """Notes that an image cannot be made."""
        self.results.append(Result(key, f"{self.name}/{key}", "failed", error))

    @property
    def _place(self) -> Path:
        return self.folder / f"result{self.extension}"

    def _made(self, key: str, source: Path) -> Result:
        destination = Destination(str(self._place), overwrite=True)
        entry = Entry(str(source), PurePosixPath(key).name, source.stat().st_size)
        job = Job(key, entry, destination)
        result = self.worker.process(job)
        if result.no_memory:
            result = self.worker.process(replace(job, tile=SMALL_WINDOWS))
        error = result.error and self._told(result.error, source, key)
        return replace(result, source=f"{self.name}/{key}", destination="", error=error)

    def _told(self, error: SrupError, source: Path, key: str) -> SrupError:
        """An error that names the image as its shard does, and no temporary file."""
        message = error.message.replace(str(source), f"{self.name}/{key}")
        message = message.replace(str(self._place), f"{self.name}/{key}")
        return type(error)(message, *error.hints)


@contextmanager
def members(worker: Worker, name: str) -> Iterator[Members]:
    """The images of a shard; temporary files are removed afterwards."""
    with temporaries.folder() as folder:
        yield Members(worker, name, folder)

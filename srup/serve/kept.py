"""What the page keeps: pictures that were dropped on it, and what was made of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from srup.errors import SrupError
from srup.pipeline import Recipe
from srup.serve.problems import Unknown
from srup.serve.queue import Ticket
from srup.serve.store import Slot
from srup.serve.tasks import Seen


@dataclass(eq=False)
class KeptPicture:
    """A picture that was uploaded, and when a page last asked for it."""

    slot: Slot
    label: str
    path: Path
    seen: Seen
    asked: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class Kept:
    """A result, or what is to become one. `error` is why it is not kept."""

    picture: KeptPicture
    slot: Slot
    recipe: Recipe
    ticket: Ticket
    error: SrupError | None = None


class Shelf:
    """The pictures and results of all pages, by names that only the page knows."""

    def __init__(self) -> None:
        self.pictures: dict[str, KeptPicture] = {}
        self.results: dict[str, Kept] = {}

    def picture(self, name: str) -> KeptPicture:
        """Raises Unknown."""
        if name not in self.pictures:
            raise Unknown("this picture is not kept any more; drop it once more")
        self.pictures[name].asked = time.monotonic()
        return self.pictures[name]

    def result(self, name: str) -> Kept:
        """Raises Unknown."""
        if name not in self.results:
            raise Unknown("this result is not kept any more; make it once more")
        self.results[name].picture.asked = time.monotonic()
        return self.results[name]

    def results_of(self, picture: KeptPicture) -> list[Kept]:
        """What was made of a picture, or is to be."""
        return [kept for kept in self.results.values() if kept.picture is picture]

    def unseen(self, seconds: float) -> Iterator[KeptPicture]:
        """Pictures that no page has asked for in so many seconds."""
        before = time.monotonic() - seconds
        yield from [each for each in self.pictures.values() if each.asked < before]

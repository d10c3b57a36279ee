"""What has come of a batch so far, and the summary at its end."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import dataclass, field

from srup.batch.shards import shard_of
from srup.batch.streaming import Count, Stream
from srup.cli import console
from srup.pipeline import Result


@dataclass
class Tally:
    """What has come of a batch so far. Pixels are those of the inputs."""

    done: int = 0
    before: int = 0
    left: set[str] = field(default_factory=set)
    stream: Stream | None = None  # of which nobody knows how many there are
    count: Count | None = None
    pixels: int = 0
    shards: int = 0
    retries: int = 0
    in_shards: int = 0  # images, and those of them that failed
    failed_in_shards: int = 0
    failed: list[Result] = field(default_factory=list)
    partly: list[Result] = field(default_factory=list)  # shards with failed images, old or new
    started: float = field(default_factory=time.perf_counter)

    def take(self, result: Result) -> None:
        """Counts a result."""
        self.left.discard(result.name)
        self.retries += result.retries
        if result.status == "failed":
            self.failed.append(result)
            return
        self.done += 1
        self.shards += shard_of(result)
        self.in_shards += result.images or 0
        self.failed_in_shards += result.failed
        if result.error:
            self.partly.append(result)
        width, height = result.before or (0, 0)
        self.pixels += width * height

    @property
    def known(self) -> int:
        """How many images were come to so far."""
        return self.done + self.before + len(self.failed) + len(self.left)

    def tell(self, *, interrupted: bool) -> None:
        """Says in one line what was done, then what failed, and how to go on."""
        seconds = time.perf_counter() - self.started
        counts = [f"{self.done} done"]
        if self.before:
            counts.append(f"{self.before} were done before")
        counts.append(f"{len(self.failed)} failed")
        if self.left:
            more = self.count is not None and self.known < self.count.found
            counts.append(f"{'more than ' * more}{len(self.left)} left")
        if self.in_shards:
            inside = f"{self.in_shards} image{'s' * (self.in_shards != 1)} in shards"
            counts.append(f"{inside}, of which {self.failed_in_shards} failed")
        if self.retries:
            counts.append(f"{self.retries} transfers were made again")
        rate = f"{(self.done - self.shards + self.in_shards) / seconds:.2f} images/s"
        if not self.shards:  # the sizes of what is in them are not known here
            rate += f", {self.pixels / 1e6 / seconds:.2f} megapixels/s"
        summary = f"{', '.join(counts)}: {console.duration(seconds)}, {rate}"
        console.line(summary, always=True)
        for result in (*self.failed, *self.partly):
            if result.error:
                console.error(result.error)
        if interrupted or self.left:
            console.line(f"to go on: {_same_command()}", always=True)


def _same_command() -> str:
    """The command line that goes on where this one was stopped."""
    # what -y allowed is in the journal now; with it all would be made anew
    words = [word for word in sys.argv[1:] if word not in ("-y", "--overwrite")]
    return shlex.join(["srup", *words])

"""An ordered map in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")
Pool = Callable[[int], AbstractContextManager[Executor]]


class OrderedMap(Protocol):
    """A `map` whose results come in the order of its items."""

    def __call__(self, run: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]: ...


@contextmanager
def ordered_map(workers: int, pool: Pool = ThreadPoolExecutor) -> Iterator[OrderedMap]:
    """A `map` in threads of `pool`, in order, at most `workers` items at a time.

    With one worker it is the plain `map`.
    """
    if workers == 1:
        yield map
        return
    with pool(workers) as threads:

        def mapped(run: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
            ahead: deque[Future[R]] = deque()
            try:
                for item in items:
                    ahead.append(threads.submit(run, item))
                    # one more than there are workers, so that none waits for the next item
                    if len(ahead) > workers:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                # an error ends it: items that were not begun are not computed
                for future in ahead:
                    future.cancel()

        yield mapped

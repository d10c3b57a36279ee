from __future__ import annotations

from srup.batch.executors.scheduling import JobQueue
from srup.pipeline import job


def test_the_queue_gives_up_a_job_that_kills_its_workers() -> None:
    queue = JobQueue(job(name, f"{name}.png") for name in ("a", "b", "c"))
    first, second = queue.take(idle=True), queue.take(idle=False)
    assert first and second
    assert list(queue.put_back([first, second])) == []
    again = queue.take(idle=True)
    assert again and again.name == first.name
    assert again.destination.overwrite, "the dead worker may have written it"
    assert queue.take(idle=False).name == "c"  # type: ignore[union-attr]
    assert [result.name for result in queue.put_back([first])] == ["a"]
    assert queue.take(idle=True).name == second.name  # type: ignore[union-attr]
    assert queue.take(idle=True) is None
    assert queue.is_empty

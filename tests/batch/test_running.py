from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import srup
from srup.batch import planning, running
from srup.batch.journal import journal
from srup.batch.planning import Job
from srup.batch.running import MemoryBudget, Result, Settings, Worker
from srup.errors import WeightsMismatch
from srup.images import read_image
from srup.inference.run_options import RunOptions
from srup.inference.target import Target
from srup.storage import Entry
from tests.data.draw import draw


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(str(tmp_path / "out"), Target(scale=2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures and a file that is none."""
    place = tmp_path / "in"
    place.mkdir()
    for width in (20, 24, 28):
        draw(width, 16).save(place / f"{width}.png")
    (place / "broken.png").write_text("no image")
    return place


def planned(folder: Path, settings: Settings) -> list[Job]:
    return planning.plan(planning.find([str(folder)]), settings.out, extension=settings.extension)


def made(folder: Path, settings: Settings, **options: bool) -> dict[str, str]:
    """What a whole run does: name → status."""
    stopped = threading.Event()
    make = Worker(settings, stopped)
    with journal(settings.out) as lines:
        todo, refused = running.pending(planned(folder, settings), lines, settings, **options)
        running.claim(todo, lines, settings)
        results = [*refused, *running.in_threads(todo, make, threads=2, stopped=stopped)]
        for result in results:
            lines.append([result.record()])
    return {result.name: result.status for result in results}


def test_results_are_those_of_one_image_at_a_time(folder: Path, settings: Settings) -> None:
    assert made(folder, settings) == {
        "20.png": "done",
        "24.png": "done",
        "28.png": "done",
        "broken.png": "failed",
    }
    alone = srup.load("lite", scale=2)
    for path in sorted(Path(settings.out).glob("*.png")):
        assert (read_image(path).pixels == alone(read_image(folder / path.name)).pixels).all()


def test_only_what_is_missing_changed_or_failed_is_made_again(
    folder: Path, settings: Settings
) -> None:
    made(folder, settings)
    assert made(folder, settings) == {"broken.png": "failed"}
    (Path(settings.out) / "20.png").unlink()
    draw(24, 18).save(folder / "24.png")
    draw(20, 16).save(folder / "broken.png")
    assert made(folder, settings) == {"20.png": "done", "24.png": "done", "broken.png": "done"}
    assert made(folder, settings, overwrite=True).keys() == {
        "20.png",
        "24.png",
        "28.png",
        "broken.png",
    }


def test_touched_inputs_count_as_changed_but_not_by_content(
    folder: Path, settings: Settings
) -> None:
    (folder / "broken.png").unlink()
    made(folder, settings)
    (folder / "20.png").touch()
    assert made(folder, settings, rehash=True) == {}
    assert made(folder, settings) == {"20.png": "done"}


def test_other_settings_make_all_anew_and_say_so(folder: Path, settings: Settings) -> None:
    made(folder, settings)
    larger = replace(settings, target=Target(scale=3))
    with journal(settings.out) as lines:
        assert running.otherwise(planned(folder, larger), lines, larger) == "3 images, scale: 2 → 3"
        assert running.otherwise(planned(folder, settings), lines, settings) is None
    assert made(folder, larger)["20.png"] == "done"
    assert read_image(Path(settings.out) / "20.png").size == (60, 48)


def test_windows_and_devices_do_not_decide_the_bytes(settings: Settings) -> None:
    assert replace(settings, run_options=RunOptions(tile=64, device="cpu")).key == settings.key
    assert replace(settings, run_options=RunOptions(precision="fp32")).key != settings.key
    assert replace(settings, model="imdn").key != settings.key
    assert replace(settings, target=Target(width=50)).key != settings.key


def test_what_a_batch_did_not_make_is_not_replaced(folder: Path, settings: Settings) -> None:
    Path(settings.out).mkdir()
    (Path(settings.out) / "20.png").write_text("precious")
    assert made(folder, settings)["20.png"] == "failed"
    assert (Path(settings.out) / "20.png").read_text() == "precious"
    assert made(folder, settings, overwrite=True)["20.png"] == "done"


def test_what_a_killed_run_claimed_is_ours(folder: Path, settings: Settings) -> None:
    """Killed between the file and its line in the journal: it is made once more, not refused."""
    with journal(settings.out) as lines:
        running.claim(planned(folder, settings), lines, settings)
    (Path(settings.out) / "20.png").write_text("half")
    (Path(settings.out) / ".20.png.0123abcd.part").write_text("half")
    running.clear(settings.out)
    assert made(folder, settings)["20.png"] == "done"
    assert not list(Path(settings.out).glob("*.part"))


def test_an_input_that_goes_away(folder: Path, settings: Settings) -> None:
    todo = planned(folder, settings)
    (folder / "24.png").unlink()
    result = Worker(settings, threading.Event())(next(job for job in todo if job.name == "24.png"))
    assert result.status == "failed"
    assert "no such file" in (result.error or "")


def test_what_did_not_fit_is_tried_alone_in_small_windows(folder: Path, settings: Settings) -> None:
    todo = planned(folder, settings)
    seen = []

    def drive(jobs: Iterable[Job]) -> Iterator[Result]:
        for job in jobs:
            seen.append((job.name, job.tile))
            large = job.name == "20.png" and job.tile is None
            yield Result(job.name, "", "failed" if large else "done", no_memory=large)

    assert {result.status for result in running.completed(todo, drive)} == {"done"}
    assert seen[-1] == ("20.png", running.SMALL_WINDOWS)


def test_weights_that_do_not_fit_end_the_batch(
    folder: Path, settings: Settings, tmp_path: Path
) -> None:
    import torch

    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsMismatch):
        made(folder, replace(settings, weights=str(tmp_path / "other.pth")))


def test_stopped_jobs_are_not_begun(folder: Path, settings: Settings) -> None:
    stopped = threading.Event()
    stopped.set()
    results = running.in_threads(
        planned(folder, settings), Worker(settings, stopped), threads=2, stopped=stopped
    )
    assert {result.status for result in results} == {"stopped"}


def test_room_is_shared_and_one_that_is_too_large_waits_to_be_alone() -> None:
    room, order = MemoryBudget(10), []
    entered = threading.Event()

    def large() -> None:
        entered.set()
        with room.taken(100):
            order.append("large")

    with room.taken(6), room.taken(4):
        other = threading.Thread(target=large)
        other.start()
        entered.wait()
        order.append("small")
    other.join()
    assert order == ["small", "large"]
    assert room.used == 0


def test_the_journal_survives_names_of_all_kinds(folder: Path, settings: Settings) -> None:
    draw(20, 16).save(folder / "grüße [1] \u202e.png")
    assert made(folder, settings)["grüße [1] \u202e.png"] == "done"
    assert made(folder, settings) == {"broken.png": "failed"}


def test_the_queue_gives_up_a_job_that_kills_its_workers() -> None:
    queue = running.Queue(Job(Entry(name, name), name) for name in ("a", "b", "c"))
    first, second = queue.take(idle=True), queue.take(idle=False)
    assert first and second
    assert list(queue.put_back([first, second])) == []
    again = queue.take(idle=True)
    assert again == first
    assert queue.take(idle=False).name == "c"  # type: ignore[union-attr]
    assert [result.name for result in queue.put_back([first])] == ["a"]
    assert queue.take(idle=True) == second
    assert queue.take(idle=True) is None
    assert queue.is_empty

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import srup
from srup import batch, temporaries
from srup.batch import Policy, in_threads, planning, running
from srup.batch.executors.threads import in_order
from srup.batch.journal import NAME
from srup.batch.leftovers import remove_partial_files
from srup.batch.records import record_intent
from srup.batch.settings import decisive, settings_key
from srup.errors import OutOfMemory, ReadError, WeightsMismatch
from srup.images import Encoding, read_image
from srup.inference.run_options import RunOptions
from srup.inference.target import Target
from srup.models.registry import find
from srup.pipeline import SMALL_WINDOWS, Job, Recipe, Result, Worker
from tests.data.draw import draw

LOCK = ".srup-journal.lock"
RECIPE = Recipe(Target(scale=2))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures and a file that is none."""
    place = tmp_path / "in"
    place.mkdir()
    for width in (20, 24, 28):
        draw(width, 16).save(place / f"{width}.png")
    (place / "broken.png").write_text("no image")
    return place


def planned(folder: Path, out: Path, recipe: Recipe = RECIPE) -> list[Job]:
    return batch.planned(batch.find([str(folder)]), str(out), recipe)


def made(folder: Path, out: Path, recipe: Recipe = RECIPE, **policy: bool) -> dict[str, str]:
    """What a whole run does: name → status."""
    jobs = planned(folder, out, recipe)
    with batch.journal(str(out)) as journal:
        results = batch.run(jobs, recipe, journal, policy=Policy(**policy))
        return {result.name: result.status for result in results}


def test_results_are_those_of_one_image_at_a_time(folder: Path, out: Path) -> None:
    statuses = {"20.png": "done", "24.png": "done", "28.png": "done", "broken.png": "failed"}
    assert made(folder, out) == statuses
    alone = srup.load("lite", scale=2)
    for path in sorted(out.glob("*.png")):
        assert (read_image(path).pixels == alone(read_image(folder / path.name)).pixels).all()


def test_a_callback_hears_of_the_progress(folder: Path, out: Path) -> None:
    heard: list[tuple[float, float]] = []
    announced = []

    def announce(chosen: batch.Chosen) -> None:
        announced.append(([job.name for job in chosen.todo], chosen.before))

    for _ in range(2):
        with batch.journal(str(out)) as journal:
            list(
                batch.run(
                    planned(folder, out),
                    RECIPE,
                    journal,
                    announce=announce,
                    progress=lambda done, total: heard.append((done, total)),
                )
            )
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4), (1, 1)]
    assert announced == [(["20.png", "24.png", "28.png", "broken.png"], 0), (["broken.png"], 3)]


def test_only_what_is_missing_changed_or_failed_is_made_again(folder: Path, out: Path) -> None:
    made(folder, out)
    assert made(folder, out) == {"broken.png": "failed"}
    (out / "20.png").unlink()
    draw(24, 18).save(folder / "24.png")
    draw(20, 16).save(folder / "broken.png")
    assert made(folder, out) == {"20.png": "done", "24.png": "done", "broken.png": "done"}
    everything = {"20.png", "24.png", "28.png", "broken.png"}
    assert made(folder, out, overwrite=True).keys() == everything


def test_touched_inputs_count_as_changed_but_not_by_content(folder: Path, out: Path) -> None:
    (folder / "broken.png").unlink()
    made(folder, out)
    (folder / "20.png").touch()
    assert made(folder, out, rehash=True) == {}
    assert made(folder, out) == {"20.png": "done"}


def test_other_settings_make_all_anew_and_say_so(folder: Path, out: Path) -> None:
    made(folder, out)
    larger = replace(RECIPE, target=Target(scale=3))
    with batch.journal(str(out)) as journal:
        jobs = planned(folder, out)
        assert batch.settings_difference(journal, larger) == "scale 2 → 3"
        assert batch.made_otherwise(jobs, journal, larger) == 3
        assert batch.settings_difference(journal, RECIPE) == ""
        assert batch.made_otherwise(jobs, journal, RECIPE) == 0
    assert made(folder, out, larger)["20.png"] == "done"
    assert read_image(out / "20.png").size == (60, 48)


def test_windows_and_devices_do_not_decide_the_bytes() -> None:
    def key(**changes: object) -> str:
        return settings_key(replace(RECIPE, **changes))  # type: ignore[arg-type]

    assert key(run_options=RunOptions(tile=64, device="cpu")) == settings_key(RECIPE)
    assert key(run_options=RunOptions(precision="fp32")) != settings_key(RECIPE)
    assert key(model="imdn") != settings_key(RECIPE)
    assert key(target=Target(width=50)) != settings_key(RECIPE)
    assert key(encoding=Encoding(lossless=True)) != settings_key(RECIPE)


def test_what_is_by_default_does_not_enter_the_settings() -> None:
    """So that an option added later makes nothing anew of what was made without it."""
    jpeg = Recipe(Target(width=50), "imdn", encoding=Encoding(80), format="jpeg")
    assert decisive(jpeg) == {
        "model": "imdn",
        "quality": 80,
        "extension": ".jpg",
        "tiling": "exact",
        "self_ensemble": False,
        "engine": "auto",
        "precision": "auto",
        "width": 50,
        "fit": "inside",
        "weights": [row.digest for row in find("imdn").values()],
    }
    assert settings_key(Recipe(Target(scale=2))) == settings_key(Recipe(Target(scale=2.0)))


def test_what_a_batch_did_not_make_is_not_replaced(folder: Path, out: Path) -> None:
    """Nor by a second run, which knows of the first that it failed."""
    out.mkdir()
    (out / "20.png").write_text("precious")
    for _ in range(2):
        assert made(folder, out)["20.png"] == "failed"
        assert (out / "20.png").read_text() == "precious"
    assert made(folder, out, overwrite=True)["20.png"] == "done"


def test_what_appears_meanwhile_is_not_replaced(folder: Path, out: Path) -> None:
    """It comes while the image is computed, and stays: now, and when the batch is run again."""

    def executor(jobs: Iterable[Job], worker: Worker) -> Iterator[Result]:
        for job in jobs:
            yield with_a_rival(job, worker)

    def with_a_rival(job: Job, worker: Worker) -> Result:
        def progress(stage: str, done: float, total: float) -> None:
            if stage.startswith("enlarging"):
                Path(job.destination.place).parent.mkdir(exist_ok=True)
                Path(job.destination.place).write_text("precious")

        worker.progress = progress if job.name == "20.png" else None
        return worker.process(job)

    with batch.journal(str(out)) as journal:
        results = list(batch.run(planned(folder, out), RECIPE, journal, executor))
    failed = {result.name: str(result.error) for result in results if result.status == "failed"}
    assert failed.keys() == {"20.png", "broken.png"}
    assert "appeared while srup was at work" in failed["20.png"]
    assert made(folder, out) == {"20.png": "failed", "broken.png": "failed"}
    assert (out / "20.png").read_text() == "precious"


def test_hidden_results_are_found_again(folder: Path, out: Path) -> None:
    draw(20, 16).save(folder / ".hidden.png")
    jobs = batch.planned(batch.find([str(folder / ".hidden.png")]), str(out), RECIPE)
    for expected in (["done"], []):
        with batch.journal(str(out)) as journal:
            assert [result.status for result in batch.run(jobs, RECIPE, journal)] == expected


def test_what_a_killed_run_was_about_to_make_is_ours(folder: Path, out: Path) -> None:
    """Killed between the file and its line in the journal: it is made once more, not refused."""
    with batch.journal(str(out)) as journal:
        record_intent(planned(folder, out), journal, RECIPE)
    (out / "20.png").write_text("half")
    assert made(folder, out)["20.png"] == "done"


def test_what_a_killed_run_left_half_written_is_removed(folder: Path, out: Path) -> None:
    """And nothing else that is called alike: of the user, or of a process that is at work.

    Whatever a clock says, which may have been set back.
    """
    long = f"{'x' * 240}.png"
    left = [".20.png.0123abcd.part", ".24.png.89abcdef.part.pixels.tif"]
    left.append(f".{long[:180]}.0123abcd.part")
    kept = [
        ".backup.part",
        ".mine.png.0123abcd.part",
        ".20.png.0123ABCD.part",
        ".20.png.0123abcd.part.txt",
        "20.png.0123abcd.part",
    ]
    out.mkdir()
    for name in (*left, *kept, "../.20.png.0123abcd.part"):
        (out / name).write_text("half")
    (out / ".24.png.0123abcd.part").mkdir()
    tomorrow = time.time() + 86_400
    os.utime(out / left[0], (tomorrow, tomorrow))
    at_work = temporaries.held(out / ".28.png.0123abcd.part")
    with batch.journal(str(out)) as journal, at_work:
        record_intent(planned(folder, out), journal, RECIPE)
        for name in (long, "../20.png", "gone/a.png", "\0"):
            journal.append([{"name": name, "status": "claimed"}])
        remove_partial_files(journal)
        found = {path.name for path in out.iterdir()}
    assert found == {*kept, ".24.png.0123abcd.part", ".28.png.0123abcd.part", NAME, LOCK}
    assert (out / "../.20.png.0123abcd.part").exists()


def test_watching_a_file_that_conflicts_fails_alone(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told once; what was made before it stays, and what comes after it is made."""
    monkeypatch.setattr(running, "LOOK", 0.01)
    (folder / "broken.png").unlink()
    (folder / "gone.png").symlink_to("nowhere")  # fails once, and not at every look
    stopped = threading.Event()
    arriving = iter(("20.jpg", "32.png"))
    results = []

    def look() -> list[Job]:
        return planning.proposed(batch.find([str(folder)]), str(out), RECIPE)

    with batch.journal(str(out)) as journal:
        jobs = planned(folder, out)
        for result in batch.run(jobs, RECIPE, journal, look=look, stopped=stopped):
            results.append(result)
            if len(results) < 4:  # those that were there at the beginning
                continue
            name = next(arriving, None)
            if name is None:
                stopped.set()
            else:
                draw(32, 16).save(folder / name)
        assert journal.last["20.png"]["status"] == "done"
    later = [(Path(result.source).name, result.status) for result in results[4:]]
    assert later == [("20.jpg", "failed"), ("32.png", "done")]
    assert "would both become 20.png; rename one" in str(results[4].error)
    assert read_image(out / "20.png").size == (40, 32)


def test_an_input_that_goes_away_before_it_is_hashed(folder: Path, out: Path) -> None:
    made(folder, out)
    jobs = planned(folder, out)
    (folder / "20.png").unlink()
    with batch.journal(str(out)) as journal:
        policy = Policy(rehash=True)
        results = {each.name: each for each in batch.run(jobs, RECIPE, journal, policy=policy)}
    assert results.keys() == {"20.png", "broken.png"}
    assert "no such file" in str(results["20.png"].error)


def test_an_input_that_goes_away(folder: Path, out: Path) -> None:
    job = next(job for job in planned(folder, out) if job.name == "24.png")
    (folder / "24.png").unlink()
    result = Worker(RECIPE).process(job)
    assert result.status == "failed"
    assert "no such file" in str(result.error)


def test_what_did_not_fit_is_tried_alone_in_small_windows(folder: Path, out: Path) -> None:
    seen = []

    def executor(jobs: Iterable[Job], worker: Worker) -> Iterator[Result]:
        for job in jobs:
            seen.append((job.name, job.tile))
            error = None
            if job.name == "20.png" and job.tile is None:
                error = OutOfMemory("the memory is full")
            yield Result(job.name, "", "failed" if error else "done", error)

    with batch.journal(str(out)) as journal:
        results = batch.run(planned(folder, out), RECIPE, journal, executor)
        assert {result.status for result in results} == {"done"}
    assert seen[-1] == ("20.png", SMALL_WINDOWS)


def test_what_did_not_fit_is_written_at_the_second_try(folder: Path, out: Path) -> None:
    """The first try has looked at its place, which is not taken by that."""

    def executor(jobs: Iterable[Job], worker: Worker) -> Iterator[Result]:
        def full(stage: str, done: float, total: float) -> None:
            if stage.startswith("enlarging"):
                raise MemoryError

        for job in jobs:
            worker.progress = full if job.tile is None else None
            yield worker.process(job)

    with batch.journal(str(out)) as journal:
        results = list(batch.run(planned(folder, out), RECIPE, journal, executor))
    assert [result.status for result in results].count("done") == 3


def test_weights_that_do_not_fit_end_the_batch(folder: Path, out: Path, tmp_path: Path) -> None:
    import torch

    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsMismatch):
        made(folder, out, replace(RECIPE, weights=str(tmp_path / "other.pth")))


def test_fail_fast_stops_at_the_first_failure(folder: Path, out: Path) -> None:
    (folder / "10.png").write_text("no image")
    one_at_a_time = partial(in_threads, threads=1)
    with batch.journal(str(out)) as journal:
        jobs = planned(folder, out)
        fail_fast = Policy(fail_fast=True)
        results = list(batch.run(jobs, RECIPE, journal, one_at_a_time, policy=fail_fast))
    assert results[0].status == "failed"
    assert len(results) < len(jobs)


def test_stopped_jobs_are_not_begun(folder: Path, out: Path) -> None:
    stopped = threading.Event()
    stopped.set()
    results = in_threads(planned(folder, out), Worker(RECIPE, stopped=stopped), threads=2)
    assert {result.status for result in results} == {"stopped"}


def test_in_order_keeps_the_order(folder: Path, out: Path) -> None:
    jobs = planned(folder, out)
    results = list(in_order(jobs, Worker(RECIPE)))
    assert [result.name for result in results] == [job.name for job in jobs]
    assert [result.status for result in results] == ["done", "done", "done", "failed"]


def test_the_journal_survives_names_of_all_kinds(folder: Path, out: Path) -> None:
    draw(20, 16).save(folder / "grüße [1] \u202e.png")
    assert made(folder, out)["grüße [1] \u202e.png"] == "done"
    assert made(folder, out) == {"broken.png": "failed"}


def test_what_was_begun_before_an_error_is_told(folder: Path, out: Path) -> None:
    """A later image may need weights that cannot be had; the first one is done all the same."""
    first, *_ = planned(folder, out)
    told = []

    def jobs() -> Iterator[Job]:
        yield first
        raise WeightsMismatch("no weights")

    with pytest.raises(WeightsMismatch):
        for result in in_order(jobs(), Worker(RECIPE)):
            told.append(result.status)
    assert told == ["done"]


@pytest.mark.usefixtures("ends")
def test_stopped_it_does_not_wait_for_a_look(folder: Path, out: Path) -> None:
    """Of a large tree, or a file system that does not answer."""
    jobs, stopped, never = planned(folder, out), threading.Event(), threading.Event()

    def look() -> list[Job]:
        stopped.set()
        never.wait()
        return jobs

    with batch.journal(str(out)) as journal:
        results = list(batch.run(jobs, RECIPE, journal, look=look, stopped=stopped))
    never.set()
    assert len(results) == len(jobs)


def test_what_a_look_raises_is_raised(folder: Path, out: Path) -> None:
    def look() -> list[Job]:
        raise ReadError("the folder is gone")

    jobs = planned(folder, out)
    with batch.journal(str(out)) as journal, pytest.raises(ReadError, match="is gone"):
        list(batch.run(jobs, RECIPE, journal, look=look))


def test_a_batch_that_0_1_0_began_goes_on() -> None:
    """The key is what srup 0.1.0 wrote into the journal of `srup batch -m imdn -s 2`."""
    assert settings_key(Recipe(Target(scale=2), model="imdn")) == "dc79ef59"

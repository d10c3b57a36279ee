from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np
import pytest

import srup
from srup.errors import ImageError, InternalError, ScaleError, UsageError, WriteError
from srup.images import Encoding, Image, Pages, read_image, read_pages
from srup.inference.run_options import RunOptions
from srup.inference.target import Target
from srup.pipeline import (
    Destination,
    Job,
    MemoryBudget,
    ReadOptions,
    Recipe,
    Worker,
    job,
    plan,
    process,
)
from srup.storage import Entry

TWICE = Recipe(Target(scale=2))
GREY = Pages((Image(np.zeros((6, 8, 1), np.uint8)),))
CLEAR = Pages((Image(np.zeros((6, 8, 3), np.uint8), np.zeros((6, 8), np.uint8)),))


def in_folder(folder: str, **options: str) -> Job:
    return Job("a", Entry("in/a.jpg", "a.jpg"), Destination(folder, True, **options))  # type: ignore[arg-type]


def test_a_plan_decides_name_size_and_route() -> None:
    made = plan(TWICE, in_folder("out"), GREY)
    assert (made.place, made.sizes, made.networks) == ("out/a_x2.png", ((16, 12),), "lite ×2")
    odd = Recipe(Target(width=20), format="jpeg")
    made = plan(odd, in_folder("s3://bucket"), GREY)
    assert made.place == "s3://bucket/a_20x15.jpg"
    assert (made.factor, made.networks) == (2.5, "lite ×3, resized")
    assert plan(TWICE, in_folder("out", suffix=""), GREY).place == "out/a.png"


def test_a_plan_names_documents_and_standard_output() -> None:
    pages = Pages((*GREY.images, *GREY.images))
    assert plan(TWICE, in_folder("out"), pages).place == "out/a_x2.tif"
    made = plan(TWICE, job("-", "-"), GREY)
    assert (made.place, made.name) == ("-", "stdin_x2.png")


def test_a_plan_refuses_what_cannot_be() -> None:
    with pytest.raises(WriteError, match="transparency"):
        plan(TWICE, job("a.png", "a.jpg"), CLEAR)
    with pytest.raises(UsageError, match="contradict"):
        plan(Recipe(format="jpeg"), job("a.png", "b.png"), GREY)
    with pytest.raises(ScaleError):
        plan(Recipe(Target(width=800_000)), job("a.png", "b.png"), GREY)


def test_one_image_from_file_to_file(photo: Path, tmp_path: Path) -> None:
    result = process(TWICE, job(photo, tmp_path / "larger.png"))
    assert (result.status, result.before, result.after) == ("done", (80, 60), (160, 120))
    assert result.consistency is not None and result.consistency > 25
    alone = srup.load("lite", scale=2)
    assert (read_image(tmp_path / "larger.png").pixels == alone(read_image(photo)).pixels).all()


def test_what_is_wrong_with_an_image_is_in_its_result(photo: Path, tmp_path: Path) -> None:
    missing = process(TWICE, job(tmp_path / "gone.png", tmp_path / "larger.png"))
    assert (missing.status, str(missing.error)).count("failed") == 1
    assert "no such file" in str(missing.error)
    existing = process(TWICE, job(photo, photo))
    assert "overwrite replaces it" in str(existing.error)
    too_large = process(Recipe(read_options=ReadOptions(max_pixels=10)), job(photo, "-"))
    assert "max_pixels raises this limit" in str(too_large.error)


def test_what_nobody_expected_is_the_failure_of_an_image(
    photo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And called srup's own mistake, with the traceback where one asks for it."""
    mistakes = (TypeError("no such thing"), PermissionError(13, "Permission denied", "/tmp"))
    found = []
    for mistake in mistakes:

        def progress(*_: object, raised: Exception = mistake) -> None:
            raise raised

        with caplog.at_level(logging.INFO, "srup"):
            found.append(process(TWICE, job(photo, tmp_path / "x.png"), progress=progress))
    internal, refused = found
    assert (internal.status, type(internal.error)) == ("failed", InternalError)
    assert "an unexpected error in srup (TypeError: no such thing)" in str(internal.error)
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [mistakes[0]]
    assert (refused.status, type(refused.error)) == ("failed", ImageError)
    assert "Permission denied: '/tmp'" in str(refused.error)


def test_an_image_whose_size_asks_too_much_fails_alone(photo: Path, tmp_path: Path) -> None:
    """A width is another scale for every image, so one that is too small ends no batch."""
    result = process(Recipe(Target(width=80_000)), job(photo, tmp_path / "larger.png"))
    assert result.status == "failed"
    assert isinstance(result.error, ScaleError)


def test_read_options_change_what_is_kept(photo: Path, tmp_path: Path) -> None:
    recipe = Recipe(Target(scale=2), read_options=ReadOptions(dpi=300, strip=True))
    assert process(recipe, job(photo, tmp_path / "larger.png")).status == "done"
    assert read_image(tmp_path / "larger.png").dpi == pytest.approx((300, 300), abs=0.1)


def test_encoding_reaches_the_file(photo: Path, tmp_path: Path) -> None:
    for name, quality in (("low", 20), ("high", 95)):
        recipe = Recipe(Target(scale=2), encoding=Encoding(quality))
        process(recipe, job(photo, tmp_path / f"{name}.jpg"))
    assert (tmp_path / "low.jpg").stat().st_size < (tmp_path / "high.jpg").stat().st_size / 2


def test_a_stopped_worker_begins_nothing(photo: Path, tmp_path: Path) -> None:
    worker = Worker(TWICE)
    worker.stopped.set()
    assert worker.process(job(photo, tmp_path / "larger.png")).status == "stopped"
    assert not (tmp_path / "larger.png").exists()


def test_stopping_gives_up_the_computation(photo: Path, tmp_path: Path) -> None:
    recipe = Recipe(Target(scale=2), run_options=RunOptions(tile=32))
    worker = Worker(recipe, progress=lambda stage, done, total: worker.stopped.set())
    assert worker.process(job(photo, tmp_path / "larger.png")).status == "stopped"
    assert not list(tmp_path.glob("larger*"))


def test_progress_names_the_stage(photo: Path, tmp_path: Path) -> None:
    heard = []
    recipe = Recipe(Target(scale=2), run_options=RunOptions(tile=32))
    process(recipe, job(photo, tmp_path / "larger.png"), progress=lambda *what: heard.append(what))
    stages = list(dict.fromkeys(stage for stage, _, _ in heard))
    assert stages == [
        "reading photo.png",
        "preparing lite",
        "enlarging photo.png",
        "writing larger.png",
    ]
    for stage in stages:  # each is told to be complete, so that its bar goes
        _, done, total = [each for each in heard if each[0] == stage][-1]
        assert done == total > 0


def test_two_results_of_one_name_are_not_written_over_each_other(
    tmp_path: Path, photo: Path
) -> None:
    worker = Worker(TWICE)
    results = [worker.process(job(photo, tmp_path / "larger.png")) for _ in range(2)]
    assert [result.status for result in results] == ["done", "failed"]


def test_the_budget_is_shared_and_a_request_above_it_waits_to_be_alone() -> None:
    budget, order = MemoryBudget(10), []
    entered = threading.Event()

    def large() -> None:
        entered.set()
        with budget.taken(100):
            order.append("large")

    with budget.taken(6), budget.taken(4):
        other = threading.Thread(target=large)
        other.start()
        entered.wait()
        order.append("small")
    other.join()
    assert order == ["small", "large"]
    assert budget.used == 0


def test_pages_are_counted(tmp_path: Path, photo: Path) -> None:
    from PIL import Image as Pillow

    frame = Pillow.open(photo)
    frame.save(tmp_path / "pages.tif", save_all=True, append_images=[frame])
    result = process(TWICE, job(tmp_path / "pages.tif", tmp_path / "larger.tif"))
    assert (result.status, result.pages, result.animated) == ("done", 2, False)
    assert len(read_pages(tmp_path / "larger.tif")) == 2

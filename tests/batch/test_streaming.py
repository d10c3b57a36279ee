from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from srup import batch
from srup.batch import Policy, planning
from srup.batch.planning import OnCollision
from srup.batch.streaming import Sources, Stream
from srup.errors import UsageError
from srup.images import read_image
from srup.inference.target import Target
from srup.pipeline import Job, Recipe
from srup.storage import Entry
from tests.data.draw import draw

RECIPE = Recipe(Target(scale=2), "bicubic")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """in/{a.png, b.jpg, notes.txt, sub/c.png, sub/a.png}, and out/ with a result in it"""
    place = tmp_path / "in"
    for name in ("a.png", "b.jpg", "sub/c.png", "sub/a.png"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        draw(8, 6).save(place / name)
    (place / "notes.txt").write_text("no image")
    return place


def streamed(
    *places: Path,
    out: Path,
    suffix: str = "",
    on_collision: OnCollision = "refuse",
    recursive: bool = True,
) -> Stream:
    sources = Sources(tuple(map(str, places)), recursive=recursive)
    return Stream(sources, str(out), RECIPE, suffix, on_collision, sources.apart(str(out)))


def made(stream: Stream, **policy: bool) -> dict[str, str]:
    """What a whole run does: source → status."""
    with batch.journal(stream.out) as journal:
        results = batch.run(stream, RECIPE, journal, policy=Policy(**policy))
        return {Path(result.source).name: result.status for result in results}


@pytest.mark.parametrize("out", ["../out", ".", "sub", "..", "new"])
@pytest.mark.parametrize("collide", ["refuse", "suffix"])
def test_the_jobs_are_those_of_planning_all_at_once(
    folder: Path, out: str, collide: OnCollision
) -> None:
    """Wherever the output folder lies, and when there are results in it."""
    draw(8, 6).save(folder / "b.webp")
    (folder / "linked").symlink_to(folder / "sub")
    place = (folder / out).resolve()
    stream = streamed(folder, out=place, suffix="_x", on_collision=collide)
    for _ in range(2):
        jobs = list(stream)
        found = planning.find([str(folder)], recursive=True)
        at_once = planning.proposed(found, str(place), RECIPE, suffix="_x", on_collision=collide)
        conflicts = {job.source.path for job, _ in planning.conflicts(at_once)}
        assert sorted(names(jobs)) == sorted(names(at_once))
        assert {job.source.path for job in jobs if job.refused} == conflicts
        for job in jobs:
            if not job.refused:
                Path(job.destination.place).parent.mkdir(exist_ok=True, parents=True)
                draw(16, 12).save(job.destination.place)


def names(jobs: list[Job]) -> list[str]:
    return [job.name for job in jobs]


def test_the_first_job_comes_before_the_last_file_is_found(tmp_path: Path) -> None:
    def endless() -> Iterator[Entry]:
        yield Entry("in/a.png", "a.png")
        raise AssertionError("looked further than was asked")

    job = next(iter(Stream(endless(), str(tmp_path), RECIPE, apart=("in",))))
    assert job.name == "a.png"


def test_of_two_inputs_with_one_result_the_first_is_made(folder: Path, tmp_path: Path) -> None:
    draw(10, 6).save(folder / "a.webp")
    out = tmp_path / "out"
    stream = streamed(folder, out=out)
    statuses = {"a.png": "done", "b.jpg": "done", "c.png": "done", "a.webp": "failed"}
    assert made(stream) == statuses
    for policy in ({}, {"overwrite": True}):
        made(stream, **policy)
        assert read_image(out / "a.png").size == (16, 12)
    (refused,) = [job.refused for job in stream if job.refused]
    assert "a.webp and another input would both become a.png" in str(refused)


def test_nothing_is_written_over_an_input(folder: Path, tmp_path: Path) -> None:
    """Nor where a folder in the output folder is a link to one of the inputs."""
    before = (folder / "sub" / "c.png").read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(folder / "sub")
    for out in (folder, tmp_path / "out"):
        statuses = made(streamed(folder, out=out), overwrite=True)
        assert statuses["c.png"] == "failed"
        assert (folder / "sub" / "c.png").read_bytes() == before


def test_a_second_run_makes_what_is_missing(folder: Path, tmp_path: Path) -> None:
    stream = streamed(folder, out=tmp_path / "out")
    assert set(made(stream).values()) == {"done"}
    assert made(stream) == {}
    (tmp_path / "out" / "sub" / "c.png").unlink()
    assert made(stream) == {"c.png": "done"}


def test_what_is_given_twice_comes_once(folder: Path, tmp_path: Path) -> None:
    stream = streamed(folder, folder / "a.png", folder, out=tmp_path / "out")
    assert sorted(names(list(stream))) == ["a.png", "b.png", "sub/a.png", "sub/c.png"]


def test_a_suffix_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no part of a file name"):
        streamed(tmp_path, out=tmp_path, suffix="/x")

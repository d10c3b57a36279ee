from __future__ import annotations

import os
from pathlib import Path

import pytest

from srup.batch import planning
from srup.errors import ReadError, UsageError
from srup.pipeline import Destination, Job, Recipe, job, process
from srup.storage import Entry
from tests.conftest import few_calls
from tests.data.draw import draw


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """in/{a.png, b.jpg, notes.txt, unnamed (a PNG), .hidden.png, sub/c.png, shots.png/d.png}"""
    place = tmp_path / "in"
    for name in ("a.png", "b.jpg", ".hidden.png", "sub/c.png", "shots.png/d.png"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        draw(8, 6).save(place / name)
    draw(8, 6).save(place / "unnamed", "PNG")
    (place / "notes.txt").write_text("no image")
    return place


def names(found: list[Entry]) -> list[str]:
    return [each.name for each in found]


def test_a_folder_is_its_images_by_name_or_content(folder: Path) -> None:
    """A folder that is called like an image is not passed over, unless it is gone into."""
    assert names(planning.find([str(folder)])) == ["a.png", "b.jpg", "shots.png", "unnamed"]
    assert names(planning.find([str(folder)], recursive=True)) == [
        "a.png",
        "b.jpg",
        "unnamed",
        "shots.png/d.png",
        "sub/c.png",
    ]


def test_files_and_globs(folder: Path) -> None:
    assert names(planning.find([str(folder / "sub/c.png"), str(folder / "notes.txt")])) == [
        "c.png",
        "notes.txt",
    ]
    assert names(planning.find([str(folder / "*.png")])) == ["a.png"]
    assert names(planning.find([str(folder / "**/*.png")])) == [
        "a.png",
        "shots.png/d.png",
        "sub/c.png",
    ]


def test_what_is_given_twice_is_made_once(folder: Path) -> None:
    assert names(planning.find([str(folder), str(folder)])) == [
        "a.png",
        "b.jpg",
        "shots.png",
        "unnamed",
    ]


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no such file"):
        planning.find([str(tmp_path / "gone")])


def test_folders_that_cannot_be_read_fail_alone(unprivileged: Path) -> None:
    """One without "r" cannot be listed, one without "x" has names that cannot be reached."""
    for name in ("a", "listed", "reached", "z"):
        (unprivileged / name).mkdir()
        draw(8, 6).save(unprivileged / name / "1.png")
        (unprivileged / name / "notes.txt").write_text("no image")
    (unprivileged / "listed").chmod(0o300)
    (unprivileged / "reached" / "sub").mkdir()
    (unprivileged / "reached").chmod(0o600)
    jobs = planning.planned(
        planning.find([str(unprivileged)], recursive=True), "out", Recipe(), on_collision="refuse"
    )
    assert [job.name for job in jobs if not job.source.error] == ["a/1.png", "z/1.png"]
    failed = {job.source.name: job.source.error for job in jobs if job.source.error}
    assert failed.keys() == {"listed", "reached/1.png", "reached/sub"}
    assert all("Permission denied; check its owner" in error for error in failed.values())
    one, other = planning.find([str(unprivileged / "reached" / "1.png"), str(unprivileged / "a")])
    assert ("Permission denied" in one.error, other.error) == (True, "")


@pytest.fixture
def tower(tmp_path: Path) -> Path:
    """A folder with 120 folders in one another, and below them so long names that the path of the
    last one is too long.
    """
    here = os.open(tmp_path, os.O_RDONLY)
    for name in (*["d"] * 120, *["x" * 250] * 17):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    return tmp_path


def test_a_tree_may_be_deeper_than_python_can_call(tower: Path) -> None:
    """And deeper than paths can be long, which is an error of that folder alone."""
    deep = Path(*["d"] * 120, "deep.png")
    draw(8, 6).save(tower / "top.png")
    draw(8, 6).save(tower / deep)
    with few_calls():
        top, below, last = planning.find([str(tower)], recursive=True)
        with pytest.raises(ReadError, match="too deep for a pattern; name a folder"):
            planning.find([str(tower / "**" / "*.png")])
    assert names([top, below]) == ["top.png", str(deep)]
    assert last.folder and "too long" in last.error


def test_a_loop_of_links_ends(folder: Path) -> None:
    (folder / "sub" / "up").symlink_to(folder)
    assert "sub/c.png" in names(planning.find([str(folder)], recursive=True))


def test_a_list_keeps_folders_only_when_recursive(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    lines = ["sub/c.png\n", "\n", "# a remark\n", "gone.png\n", str(folder / "a.png")]
    assert names(planning.read_list(lines)) == ["c.png", "gone.png", "a.png"]
    assert names(planning.read_list(lines, recursive=True)) == ["sub/c.png", "gone.png", "a.png"]


def test_what_cannot_be_looked_up_in_a_list_fails_alone(folder: Path) -> None:
    pytest.importorskip("fsspec", reason="needs the extra srup[remote]")
    lines = ["a\0b.png", "nosuch://host/a.png", str(folder / "a.png"), "x" * 300]
    jobs = planning.planned(planning.read_list(lines), "out", Recipe())
    assert [(each.name, bool(each.source.error)) for each in jobs] == [
        ("a.png", False),
        ("a\0b.png/", True),
        ("nosuch://host/a.png/", True),
        (f"{'x' * 300}/", True),
    ]
    reasons = ("embedded null", "Protocol not known", "too long")
    for each, about in zip(jobs[1:], reasons, strict=True):
        result = process(Recipe(), each)
        assert (result.status, about in str(result.error)) == ("failed", True)


def test_a_job_keeps_its_folder(folder: Path, tmp_path: Path) -> None:
    planned = planning.planned(
        planning.find([str(folder / "**/c.png")]),
        str(tmp_path / "out"),
        Recipe(format="jpeg"),
        suffix="_x4",
    )
    assert [job.name for job in planned] == ["sub/c_x4.jpg"]


def entries(*paths: str) -> list[Entry]:
    return [Entry(path, Path(path).name) for path in paths]


def test_two_inputs_of_one_result_are_refused_or_told_apart() -> None:
    both = entries("in/a.jpg", "in/a.png", "in/b.png")
    with pytest.raises(UsageError, match=r"in/a\.jpg and in/a\.png would both become a\.png"):
        planning.planned(both, "out", Recipe())
    told = planning.planned(both, "out", Recipe(), on_collision="suffix")
    assert [job.name for job in told] == ["a_jpg.png", "a_png.png", "b.png"]


def test_a_result_is_not_an_input(folder: Path) -> None:
    """In the folder itself, and below it, a second run finds the same jobs as the first."""
    draw(8, 6).save(folder / "a_x4.png")
    into_itself = planning.planned(
        planning.find([str(folder / "*.*g")]), str(folder), Recipe(), suffix="_x4"
    )
    assert [job.name for job in into_itself] == ["a_x4.png", "b_x4.png"]
    out = folder / "sub"
    below = planning.planned(planning.find([str(folder)], recursive=True), str(out), Recipe())
    assert "sub/c.png" not in [job.name for job in below]
    assert len(below) == 5


def test_nothing_is_written_over_an_input(folder: Path) -> None:
    with pytest.raises(UsageError, match="is itself an input"):
        planning.planned(planning.find([str(folder)]), str(folder), Recipe())


def test_urls_keep_their_form() -> None:
    source = Entry("s3://bucket/in/a.jpg", "a.jpg")
    assert planning.planned([source], "s3://bucket/out", Recipe()) == [
        Job(
            "a.png",
            source,
            Destination("s3://bucket/out/a.png", overwrite=True, make_folders=True),
        )
    ]


def test_the_size_is_that_of_the_upright_image(tmp_path: Path) -> None:
    picture = draw(8, 6)
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert planning.size_of(job(tmp_path / "turned.jpg", "")) == (6, 8)
    assert planning.size_of(job(tmp_path / "gone.jpg", "")) is None

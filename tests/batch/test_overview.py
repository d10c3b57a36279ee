from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

import srup
from srup import batch
from srup.batch.overview import check_report, overview, write_report
from srup.errors import AlreadyExists
from srup.inference.target import Target
from srup.pipeline import Recipe
from tests.data.draw import draw

RECIPE = Recipe(Target(scale=2))


@pytest.fixture
def out(tmp_path: Path) -> str:
    (tmp_path / "in").mkdir()
    draw(20, 16).save(tmp_path / "in" / "a.png")
    return str(tmp_path / "out")


def reported(out: str, path: Path, *, overwrite: bool = False) -> None:
    """What `srup batch in out --report path` does."""
    jobs = batch.planned(batch.find([str(Path(out).with_name("in"))]), out, RECIPE)
    with batch.journal(out) as journal:
        check_report(path, journal, overwrite=overwrite)
        list(batch.run(jobs, RECIPE, journal))
        write_report(path, jobs, journal, RECIPE, overwrite=overwrite)


def test_a_batch_replaces_its_own_report_alone(out: str, tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    for _ in range(2):
        reported(out, path)
        assert "a.png,20×16,40×32" in path.read_text()
    path.write_text("a report with remarks")
    with pytest.raises(AlreadyExists, match="was not written by this batch; overwrite replaces"):
        reported(out, path)
    assert path.read_text() == "a report with remarks"
    reported(out, path, overwrite=True)
    assert "a.png" in path.read_text()


def test_a_report_that_appears_meanwhile_is_not_replaced(out: str, tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    with batch.journal(out) as journal:
        check_report(path, journal, overwrite=False)
        path.write_text("theirs")
        with pytest.raises(AlreadyExists):
            write_report(path, [], journal, RECIPE, overwrite=False)
    assert path.read_text() == "theirs"


def test_the_folder_of_a_page_is_not_replaced_either(out: str, tmp_path: Path) -> None:
    path, folder = tmp_path / "page.html", tmp_path / "page_files"
    folder.mkdir()
    (folder / "00001.webp").write_text("theirs")
    with pytest.raises(AlreadyExists, match="page_files exists"):
        reported(out, path)
    assert (folder / "00001.webp").read_text() == "theirs"
    assert not path.exists()
    reported(out, tmp_path / "page.csv")


def test_it_sums_up(out: str, tmp_path: Path) -> None:
    """When, by which version, with which settings; how many, how large, how long."""
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    jobs = batch.planned(batch.find([str(tmp_path / "in")]), out, RECIPE)
    with batch.journal(out) as journal:
        list(batch.run(jobs, RECIPE, journal))
        found = overview(jobs, journal, RECIPE)
        assert overview(jobs, journal, RECIPE) == found
    assert found.title == "2 images, enlarged 2 times"
    source, result = (tmp_path / "in" / "a.png").stat(), (tmp_path / "out" / "a.png").stat()
    assert {
        "by": f"srup {srup.__version__}",
        "network": "auto",
        "enlarged": "2 times",
        "format": "png",
        "precision": "auto",
        "images": 2,
        "done": 1,
        "failed": 1,
        "megapixels in": 20 * 16 / 1e6,
        "megapixels out": 40 * 32 / 1e6,
        "MB in": source.st_size / 1e6,
        "MB out": result.st_size / 1e6,
    }.items() <= found.summary.items()
    assert isinstance(found.summary["seconds"], float)
    written = datetime.fromtimestamp(result.st_mtime, timezone.utc)
    assert str(found.summary["made"]).startswith(f"{written:%Y-%m-%d }")


def test_what_an_earlier_version_or_damage_left_out_is_not_told(out: str, tmp_path: Path) -> None:
    lines = [
        '{"name": "a.png", "status": "done", "before": [20, "16"], "after": [], "bytes": 9}',
        '{"name": "b.png", "status": "done", "before": [2, 4], "at": 99999999999999, "by": "0.3"}',
    ]
    draw(20, 16).save(tmp_path / "in" / "b.png")
    Path(out).mkdir()
    (Path(out) / ".srup-journal.jsonl").write_text("\n".join(lines) + "\n")
    jobs = batch.planned(batch.find([str(tmp_path / "in")]), out, RECIPE)
    with batch.journal(out) as journal:
        summary = overview(jobs, journal, RECIPE).summary
    assert (summary["made"], summary["by"], summary["done"]) == (None, "srup 0.3", 2)
    assert (summary["megapixels in"], summary["megapixels out"]) == (8 / 1e6, 0)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target(2.5), "2.5 times"),
        (Target(width=1920), "to a width of 1920 pixels"),
        (Target(height=80), "to a height of 80 pixels"),
        (Target(width=4, height=3), "to fit into 4×3 pixels"),
        (Target(width=4, height=3, fit="fill"), "to cover 4×3 pixels"),
        (Target(width=4, height=3, fit="stretch"), "to exactly 4×3 pixels"),
        (Target(long_edge=9), "to a longer side of 9 pixels"),
        (Target(megapixels=1.5), "to 1.5 megapixels"),
    ],
)
def test_titles_are_words(target: Target, words: str, out: str) -> None:
    with batch.journal(out) as journal:
        assert overview([], journal, Recipe(target)).title == f"0 images, enlarged {words}"

from __future__ import annotations

from pathlib import Path

import pytest

from srup import batch
from srup.batch.overview import check_report, write_report
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

from __future__ import annotations

from pathlib import Path

import pytest

from srup.cli import run
from srup.models.registry import MODELS, names
from tests.conftest import json_lines


def test_the_table_shows_every_network(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert run(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : len(names()) + 1]] == names()


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--json"]) == 0
    assert [facts["name"] for facts in json_lines(capsys.readouterr().out)] == [
        model.name for model in MODELS
    ]


@pytest.mark.parametrize("name", names())
def test_info(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "info", name]) == 0
    assert "licence" in capsys.readouterr().out
    assert run(["models", "info", name, "--json"]) == 0


def test_verify_finds_damage_and_remove_removes_it(
    cache: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "imdn_x2.pth").write_bytes(b"rotten")
    (cache / "weights" / "imdn_x3.pth.part").write_bytes(b"half")
    (cache / "weights" / "imdn_x4.pth").symlink_to(shared / "weights" / "imdn_x4.pth")
    assert run(["models", "verify", "imdn"]) == 3
    out = capsys.readouterr().out
    assert "imdn_x2.pth  damaged" in out
    assert "imdn_x3.pth  not here" in out
    assert "imdn_x4.pth  right" in out
    assert run(["models", "remove", "imdn"]) == 0
    assert list((cache / "weights").iterdir()) == []


def test_verify_names_what_is_here_and_counts_the_rest(
    cache: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {model.file for model in MODELS}
    packaged = [f"{name}.pt  right" for name in ("lite", "lite-photo", "bicubic")]
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "imdn_x4.pth").symlink_to(shared / "weights" / "imdn_x4.pth")
    assert run(["models", "verify"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines[:-1]) == sorted(["imdn_x4.pth  right", *packaged])
    assert lines[-1] == f"{len(files) - 4} others are not here"
    assert run(["models", "verify", "--json"]) == 0
    records = json_lines(capsys.readouterr().out)
    assert {record["file"] for record in records} == files
    right = [record["name"] for record in records if record["verdict"] == "right"]
    assert sorted(map(str, right)) == ["bicubic", "imdn", "lite", "lite-photo"]


def test_verify_fails_for_one_that_is_damaged(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "imdn_x2.pth").write_bytes(b"rotten")
    assert run(["models", "verify"]) == 3
    assert "imdn_x2.pth  damaged: srup models remove it" in capsys.readouterr().out
    assert run(["models", "verify", "imdn", "--json"]) == 3
    verdicts = [record["verdict"] for record in json_lines(capsys.readouterr().out)]
    assert verdicts == ["damaged", "not here", "not here"]


def test_remove_leaves_the_package_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "remove", "--all"]) == 0
    assert capsys.readouterr().out == ""
    assert run(["models", "path", "lite"]) == 0
    assert Path(capsys.readouterr().out.strip()).exists()


def test_download_names_what_failed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRUP_OFFLINE", "1")
    assert run(["models", "download", "lite", "imdn-rtc"]) == 3
    captured = capsys.readouterr()
    assert "lite.pt" in captured.out
    assert "imdn_rtc.pth is not in the cache" in captured.err
    assert run(["models", "download"]) == 2


def test_path(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "path"]) == 0
    assert Path(capsys.readouterr().out.strip()) == cache / "weights"

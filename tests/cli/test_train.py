from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image as Pillow

from srup.cli import run
from tests.conftest import json_lines
from tests.data.draw import draw


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    draw(120, 96).save(tmp_path / "pictures" / "a.png")
    return tmp_path / "pictures"


def command(pictures: Path, out: Path, *options: str) -> list[str]:
    small = ["--batch", "2", "--patch", "16", "--every", "2", "-d", "cpu"]
    return ["train", "imdn-rtc", str(pictures), "-o", str(out), *small, *options]


def test_trains_validates_and_draws(
    pictures: Path, tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "own.pt"
    assert (
        run(command(pictures, out, "--steps", "5", "--validate", str(pictures), "--json", "--half"))
        == 0
    )
    records = json_lines(capsys.readouterr().out)
    assert [record["step"] for record in records] == [2, 4, 5]
    assert all("2" in record["psnr"] for record in records)  # type: ignore[operator]
    assert next(iter(torch.load(out, weights_only=True).values())).dtype == torch.float16
    assert Pillow.open(tmp_path / "own.png").width == 960
    assert run(["upscale", str(photo), "-m", "imdn-rtc", "--weights", str(out), "-s", "2"]) == 0
    assert Pillow.open(photo.with_name("photo_x2.png")).size == (160, 120)


def test_a_record_has_one_kind_of_loss(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """L2 begins at step 4 of 5: the mean of steps 3 and 4 would be of two kinds."""
    records: list[dict[int, tuple[object, object]]] = []
    for every in ("1", "2"):
        options = ["--steps", "5", "--loss", "l1", "--finish", "0.4", "--validate", str(pictures)]
        options += ["--every", every, "--json"]
        assert run(command(pictures, tmp_path / f"{every}.pt", *options)) == 0
        lines = json_lines(capsys.readouterr().out)
        records.append({line["step"]: (line["kind"], line["loss"]) for line in lines})  # type: ignore[misc]
    each, pairs = records
    assert [kind for kind, _ in each.values()] == ["l1", "l1", "l1", "l2", "l2"]
    assert pairs[4] == each[4]


def test_degraded_lr_is_trained_and_validated(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--steps", "2", "--validate", str(pictures), "--degrade", "photo"]
    assert run([*command(pictures, tmp_path / "a.pt", *options), "--json"]) == 0
    told = capsys.readouterr()
    (record,) = json_lines(told.out)
    degraded = record["degraded"]
    assert isinstance(degraded, dict)
    assert {spec: list(psnr) for spec, psnr in degraded.items()} == {
        "jpeg:75": ["2"],
        "jpeg:50": ["2"],
    }
    assert degraded["jpeg:50"]["2"] != degraded["jpeg:75"]["2"]
    assert "jpeg:75 ×2: bicubic" in told.err
    capsys.readouterr()
    assert run(command(pictures, tmp_path / "a.pt", "--steps", "2")) == 1
    assert "other degrade" in capsys.readouterr().err


def test_teachers_and_muon(
    pictures: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the teacher makes is kept, and another one does not go on where it was."""
    taught = command(pictures, tmp_path / "a.pt", "--steps", "2", "--optimiser", "muon")
    assert run([*taught, "--teacher", "lite"]) == 0
    made = list(cache.rglob("x2-*.bin"))
    assert [path.stat().st_size for path in made] == [120 * 96 * 3]
    capsys.readouterr()
    assert run([*taught, "--teacher", "lite-photo"]) == 1
    assert "other teachers" in capsys.readouterr().err


def test_what_cannot_begin_does_not_cost_an_earlier_run(
    pictures: Path,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Here a teacher that would have to be downloaded, and images that are not there."""
    anew = command(pictures, tmp_path / "a.pt", "--steps", "2", "-y")
    assert run(anew) == 0
    made = {path: path.read_bytes() for path in tmp_path.glob("a.*")}
    assert len(made) == 4
    monkeypatch.setenv("SRUP_OFFLINE", "1")
    assert run([*anew, "--teacher", "imdn"]) == 3
    assert "SRUP_OFFLINE" in capsys.readouterr().err
    (pictures / "a.png").unlink()
    assert run(anew) == 1
    assert {path: path.read_bytes() for path in tmp_path.glob("a.*")} == made


def test_a_killed_run_resumes_exactly(pictures: Path, tmp_path: Path, cache: Path) -> None:
    steps = ["--steps", "60", "--precision", "fp32"]
    assert run(command(pictures, tmp_path / "undisturbed.pt", *steps)) == 0
    killed = tmp_path / "killed.pt"
    process = subprocess.Popen(
        [sys.executable, "-m", "srup", *command(pictures, killed, *steps)],
        env={**os.environ, "SRUP_CACHE": str(cache)},
    )
    while not (tmp_path / "killed.state.pt").exists():
        assert process.poll() is None
    process.kill()
    process.wait()
    assert run(command(pictures, killed, *steps)) == 0
    undisturbed = torch.load(tmp_path / "undisturbed.pt", weights_only=True)
    for name, tensor in torch.load(killed, weights_only=True).items():
        assert torch.allclose(tensor, undisturbed[name], rtol=0, atol=1e-6), name
    assert not list(tmp_path.glob(".*.part"))
    logged = [record["step"] for record in json_lines((tmp_path / "killed.log.jsonl").read_text())]
    assert logged == sorted(set(logged)) == [60]


def test_a_finished_run_says_so_and_goes_on_with_more_steps(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, validated = tmp_path / "own.pt", ["--validate", str(pictures)]
    assert run(command(pictures, out, "--steps", "4", *validated)) == 0
    end = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(rf"finished: 4 steps in [\d.]+ s, best ([\d.]+) dB, {out}", end)
    written = out.stat().st_mtime_ns
    assert run(command(pictures, out, "--steps", "4", *validated)) == 0
    (line,) = capsys.readouterr().err.splitlines()
    best = re.search(r"best [\d.]+ dB", end)
    assert best and line == (
        f"finished: 4 steps, {best[0]}, {out}; nothing left, more with --steps 8"
    )
    assert out.stat().st_mtime_ns == written
    assert run(command(pictures, out, "--steps", "8", *validated)) == 0
    told = capsys.readouterr().err
    assert "goes on after step 4 of 4, as a run of 8 steps: the rate there was 1.00e-05" in told
    assert "finished: 8 steps, the last 4 in" in told
    logged = [record["step"] for record in json_lines((tmp_path / "own.log.jsonl").read_text())]
    assert logged == [2, 4, 6, 8]


def test_a_run_does_not_go_on_with_other_settings(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(pictures, tmp_path / "own.pt", "--steps", "4")) == 0
    capsys.readouterr()
    for options, says in (
        (["--steps", "8", "--rate", "1e-4"], "is of a run with other rate; give the same to go on"),
        (["--steps", "2"], "is of a run of 4 steps; give --steps no fewer to go on"),
    ):
        assert run(command(pictures, tmp_path / "own.pt", *options)) == 1
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1


def test_begins_with_given_weights(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(pictures, tmp_path / "a.pt", "--steps", "2")) == 0
    assert (
        run(
            command(
                pictures,
                tmp_path / "b.pt",
                "--steps",
                "1",
                "--from",
                str(tmp_path / "a.pt"),
                "--rate",
                "1e-9",
            )
        )
        == 0
    )
    first, second = (torch.load(tmp_path / name, weights_only=True) for name in ("a.pt", "b.pt"))
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)


def test_a_file_of_another_origin_is_kept(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.pt").write_text("mine")
    assert run(command(pictures, tmp_path / "a.pt", "--steps", "1")) == 1
    assert "no state to resume from" in capsys.readouterr().err
    assert run(command(pictures, tmp_path / "a.pt", "--steps", "1", "-y")) == 0
    (tmp_path / "b.png").write_bytes(b"a picture")  # where the plot of b.pt goes
    assert run(command(pictures, tmp_path / "b.pt", "--steps", "1")) == 1
    assert "b.png exists" in capsys.readouterr().err
    assert (tmp_path / "b.png").read_bytes() == b"a picture"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["imdn", "pictures", "-o", "a.pt"], 2, "another network at each scale"),
        (["imdn", "pictures", "-o", "a.pt", "-s", "2", "-s", "3"], 2, "one by one"),
        (["imdn", "pictures", "-o", "a.pt", "-s", "5"], 2, "has no ×5"),
        (["imdn-as", "pictures", "-o", "a.pt"], 2, "any scale"),
        (["imdn-rtc", "pictures", "-o", "a.pt", "--degrade", "fog"], 2, "'fog' is none of photo"),
        (["imdn-rtc", "nowhere", "-o", "a.pt"], 1, "no such file"),
        (["imdn-rtc", "pictures", "-o", "nowhere/a.pt"], 1, "create it first"),
        (["imdn-rtc", "pictures", "-o", "a.pt", "--teacher", "imdn-plus"], 2, "cannot teach ×2"),
        (["lite", "pictures", "-o", "a.pt", "--teacher", "rfdn"], 2, "rfdn cannot teach ×2"),
        (
            ["lite", "pictures", "-o", "a.pt", "--optimiser", "muon", "--wider", "2"],
            *(2, "trains no branches; leave out --wider"),
        ),
        (["imdn-rtc", "pictures", "-o", "a.pt", "--from", "pictures/a.png"], 3, "as a checkpoint"),
        (["imdn-rtc", "pictures", "-o", "a.pt", "--from", "pictures"], 3, "it is a folder"),
        (["imdn-rtc", "pictures", "-o", "a.pt", "--decay", "nan"], 2, "decay is no finite number"),
        (["imdn-rtc", "pictures", "-o", "a.pt", "--rate", "inf"], 2, "rate is no finite number"),
    ],
)
def test_errors_name_the_problem(
    pictures: Path,
    arguments: list[str],
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(pictures.parent)
    assert run(["train", *arguments]) == code
    assert says in capsys.readouterr().err
    assert not Path("a.pt").exists()

"""Checkpoints of one's own on the command line: by file, by name, in a chain, in a batch."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from srup.cli import run
from srup.models import registry
from tests.conftest import json_lines, random_network
from tests.models import onnx_files
from tests.models.checkpoints_of_others import needs_spandrel, saved


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A checkpoint of one of srup's own networks, which enlarges two times."""
    path = tmp_path / "own.pth"
    torch.save(random_network(registry.find("imdn-rtc")[2]).state_dict(), path)
    return path


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_a_file_says_which_network_and_how_large(
    photo: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["upscale", str(photo), "--weights", str(own), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["networks"] == "imdn-rtc ×2"
    assert size_of(photo.with_name("photo_x2.png")) == (160, 120)
    assert run(["upscale", str(photo), "-m", str(own), "-o", str(photo.with_name("b.png"))]) == 0
    same = [photo.with_name(name).read_bytes() for name in ("photo_x2.png", "b.png")]
    assert same[0] == same[1]


def test_nobody_is_advised_against_a_file_of_their_own(
    photo: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = photo.with_name("damaged.jpg")
    Image.open(photo).save(damaged, quality=30)
    assert run(["upscale", str(damaged), "-m", "imdn-rtc", "--weights", str(own), "-s", "2"]) == 0
    assert run(["upscale", str(damaged), "-m", str(own), "--suffix", "_own"]) == 0
    assert "lite-photo scores" not in capsys.readouterr().err


def test_by_name(photo: Path, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "add", str(own), "--name", "mine"]) == 0
    own.unlink()
    assert run(["upscale", str(photo), "-m", "mine", "-s", "2"]) == 0
    capsys.readouterr()
    assert run(["models", "--json"]) == 0
    last = json_lines(capsys.readouterr().out)[-1]
    assert last["state"] == "added"
    assert run(["models", "remove", "mine"]) == 0
    assert run(["upscale", str(photo), "-m", "mine", "-s", "2"]) == 2


@needs_spandrel
def test_a_network_of_others(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path, "compact")
    assert run(["upscale", str(photo), "--weights", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["networks"] == "compact ×4"
    assert size_of(photo.with_name("photo_x4.png")) == (320, 240)
    assert run(["models", "info", str(path)]) == 0
    assert "sees 6 px: windows are exact" in capsys.readouterr().out


@needs_spandrel
def test_one_that_restores_before_one_that_enlarges(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path, "nafnet")
    assert run(["upscale", str(photo), "-m", str(path), "-m", "lite", "-s", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["networks"] == "nafnet ×1, lite ×2"
    assert run(["upscale", str(photo), "-m", str(path)]) == 0
    assert size_of(photo.with_name("photo_x1.png")) == size_of(photo)


def test_an_onnx_file(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Alone, before a network of srup's, and kept under a name."""
    pytest.importorskip("onnx", reason="torch.onnx.export needs onnx")
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("needs openvino; pip install 'srup[openvino]'")
    path = onnx_files.saved(tmp_path / "mine.onnx", onnx_files.Function(scale=1))
    assert run(["upscale", str(photo), "-m", str(path), "-m", "lite", "-s", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["networks"] == "mine ×1, lite ×2"
    assert run(["models", "add", str(path)]) == 0
    assert run(["upscale", str(photo), "-m", "mine", "--dry-run"]) == 0
    assert run(["models", "info", "mine"]) == 0
    assert "sees 2 px: windows are exact" in capsys.readouterr().out
    assert run(["upscale", str(photo), "-m", "mine", "--engine", "pytorch"]) == 2
    assert "--engine openvino runs it" in capsys.readouterr().err


def test_a_batch_knows_a_file_by_its_content(
    photo: Path, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["batch", str(photo), str(tmp_path / "out"), "--weights"]
    assert run([*command, str(own)]) == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = own.rename(elsewhere / own.name)
    assert run([*command, str(moved)]) == 0
    assert "1 were done before" in capsys.readouterr().err


@needs_spandrel
@pytest.mark.parametrize(
    "words",
    [
        ["compare", "{photo}", "-m", "{file}", "-o", "{folder}/page.html"],
        ["evaluate", "{folder}/hr", "-m", "{file}", "--engine", "pytorch"],
        pytest.param(
            ["bench", "-m", "{file}", "--side", "32", "--runs", "1", "--engine", "pytorch"],
            marks=pytest.mark.slow,
        ),
        ["features", "{photo}", "-m", "{file}", "-o", "{folder}/maps.png"],
        ["upscale", "{photo}", "-m", "{file}", "--dry-run"],
    ],
)
def test_every_command_that_runs_networks(words: list[str], photo: Path, tmp_path: Path) -> None:
    (tmp_path / "hr").mkdir()
    (tmp_path / "hr" / "a.png").write_bytes(photo.read_bytes())
    places = {"photo": photo, "file": saved(tmp_path, "compact"), "folder": tmp_path}
    assert run([word.format(**places) for word in words]) == 0


def test_it_is_trained_by_its_networks_name(
    own: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", str(own), str(photo), "-o", str(own.with_name("new.pt"))]) == 2
    assert "begin with --from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--weights", "gone.pth"], 3, "no such file"),
        (["--weights", "{photo}"], 2, "is not called like a checkpoint"),
        (["-m", "lite", "-m", "imdn"], 2, "only networks that restore may run before"),
    ],
)
def test_what_is_wrong_takes_one_line(
    words: list[str], code: int, told: str, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["upscale", str(photo), *(word.format(photo=photo) for word in words)]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line

from __future__ import annotations

import csv
import os
import random
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from srup.batch import streaming
from srup.batch.journal import NAME
from srup.cli import run
from tests.conftest import json_lines
from tests.data.draw import draw
from tests.data.hostile import tiff_without_a_width


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "in"
    (place / "sub").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "sub/c.png"):
        draw(24, 16).save(place / name)
    return place


def start(*arguments: str, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "srup", "batch", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def journal(out: Path) -> list[dict[str, object]]:
    return json_lines((out / NAME).read_text())


def images(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name != NAME
    }


def test_a_folder(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["batch", str(folder), str(tmp_path / "out")]) == 0
    assert sorted(images(tmp_path / "out")) == ["a.png", "b.png"]
    assert "2 done, 0 failed" in capsys.readouterr().err
    assert run(["batch", str(folder), str(tmp_path / "out"), "-r"]) == 0
    assert sorted(images(tmp_path / "out")) == ["a.png", "b.png", "sub/c.png"]
    assert "1 done, 2 were done before, 0 failed" in capsys.readouterr().err


def test_every_size_that_upscale_knows(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(["batch", str(folder), str(tmp_path / "out"), "--size", "40x40", "--fill", "--json"])
        == 0
    )
    assert all(Image.open(tmp_path / "out" / name).size == (40, 40) for name in ("a.png", "b.png"))
    assert all("consistency" not in line for line in json_lines(capsys.readouterr().out)), (
        "what is cropped cannot be compared"
    )


def test_a_list_on_standard_input(folder: Path, tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "srup", "batch", "--from", "-", str(tmp_path / "out")],
        input=f"{folder / 'a.png'}\n",
        text=True,
    )
    assert process.returncode == 0
    assert sorted(images(tmp_path / "out")) == ["a.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["only"], 2, "takes inputs and then the output folder"),
        (["gone", "out"], 1, "no such file"),
        (["in", "out", "--report", "report.pdf"], 2, "names no format of report"),
        (["--from", "in", "out"], 1, "one image a line"),
        (["in", "in"], 2, "is itself an input"),
        (["in", "in/a.png"], 1, "not a folder"),
        (["in", "out", "-m", "imdm"], 2, "did you mean imdn"),
        (["in", "out", "-s", "4", "--width", "9"], 2, "contradict"),
        (["in", "out", "--megapixels", "nan"], 2, "no size"),
        (["in", "out", "--suffix", "/x"], 2, "'/x' is no part of a file name"),
        (["in", "out", "--weights", "none.pth"], 3, "no such file; check the name"),
        (["in", "out", "--weights", "in"], 3, "it is a folder"),
        (["in", "out", "--weights", "/dev/zero"], 3, "it is a pipe, a socket or a device"),
        (
            ["in", "out", "--cluster", "local", "-d", "cpu"],
            2,
            "a cluster takes what its nodes have",
        ),
        (["in", "s3x://bucket/out"], 1, "Protocol not known"),
    ],
)
def test_what_is_refused_before_anything_runs(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(folder.parent)
    assert run(["batch", *arguments]) == code
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not Path("out").exists()


def test_failures_are_results(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "text.png").write_text("no image")
    (folder / "empty.jpg").write_text("")
    (folder / "folder.png").mkdir()
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:400])
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "pages.tif").write_bytes(tiff_without_a_width())
    assert run(["batch", str(folder), str(tmp_path / "out"), "--json"]) == 1
    captured = capsys.readouterr()
    results = {line["name"]: line["status"] for line in json_lines(captured.out)}
    assert sorted(name for name in results if results[name] == "failed") == [  # type: ignore[type-var]
        "cut.png",
        "empty.png",
        "folder.png",
        "gone.png",
        "pages.png",
        "text.png",
    ]
    assert [line.split()[0] for line in captured.err.splitlines()[1:]] == ["error:"] * 6
    assert sorted(images(tmp_path / "out")) == ["a.png", "b.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with FIFOs")
@pytest.mark.parametrize("arguments", [[], ["--rehash"], ["--dry-run"]])
def test_pipes_in_a_folder_are_not_waited_for(
    folder: Path, tmp_path: Path, arguments: list[str]
) -> None:
    """One that is called like an image is a failure; another is none of ours."""
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe")
    process = start(str(folder), str(tmp_path / "out"), *arguments)
    said, errors = process.communicate(timeout=120)
    if "--dry-run" in arguments:
        assert "pipe.png  cannot be read" in said
        return
    assert process.returncode == 1
    failures = [line for line in errors.splitlines() if line.startswith("error:")]
    assert len(failures) == 1
    assert "pipe.png: a pipe, a socket or a device, not a file" in failures[0]
    assert sorted(images(tmp_path / "out")) == ["a.png", "b.png"]


def test_a_report_has_every_image_failures_first(folder: Path, tmp_path: Path) -> None:
    """Also of those that an earlier run made."""
    out = tmp_path / "out"
    run(["batch", str(folder), str(out)])
    (folder / "text.png").write_text("no image")
    assert run(["batch", str(folder), str(out), "--report", str(tmp_path / "report.csv")]) == 1
    header, *rows = list(csv.reader((tmp_path / "report.csv").read_text().splitlines()))
    facts = ["name", "before", "after", "seconds", "consistency", "network", "why", "error"]
    assert header == facts
    assert rows[1][5:7] == ["lite ×4", "it looks clean"]
    assert [row[0] for row in rows] == ["text.png", "a.png", "b.png"]
    assert rows[1][1:3] == ["24×16", "96×64"]
    assert float(rows[1][4]) > 20  # dB
    assert run(["batch", str(folder), str(out), "--report", str(tmp_path / "report.html")]) == 1
    assert "a.png" in (tmp_path / "report.html").read_text()


def test_names_of_all_kinds(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not UTF-8, with control characters, or so long that only the name itself fits."""
    names = (b"\xff.png", b"\x1b[2J\n.png", b"[dim] :cat: \\[x].png", b"x" * 251 + b".png")
    for name in map(os.fsdecode, names):
        draw(24, 16).save(folder / name)
    (folder / os.fsdecode(b"\x1b[3J\xfe.png")).write_text("no image")
    report = tmp_path / "report.html"
    arguments = [str(folder), str(tmp_path / "out"), "--json", "--report", str(report)]
    process = start(*arguments)
    printed, errors = process.communicate()
    assert process.returncode == 1
    done = {line["name"] for line in json_lines(printed) if line["status"] == "done"}
    assert {os.fsdecode(name) for name in names} < done
    assert r"\x1b[3J\udcfe.png: not an image" in errors
    assert "\x1b" not in errors
    process = start(*arguments)
    _, errors = process.communicate()
    assert "0 done, 6 were done before, 1 failed" in errors
    assert r"\x1b[2J\n.png" in report.read_text(encoding="utf-8")


def test_a_list_of_names_of_all_kinds(folder: Path, tmp_path: Path) -> None:
    """One that cannot be looked up is a line, and the rest is made."""
    draw(24, 16).save(folder / os.fsdecode(b"\xff.png"))
    lines = [b"a\0b.png", os.fsencode(folder) + b"/\xff.png", b"", b"nosuch://host/a.png"]
    lines.append(os.fsencode(folder / "a.png") + b"\r")
    (tmp_path / "list.txt").write_bytes(b"\n".join(lines))
    process = start("--from", str(tmp_path / "list.txt"), str(tmp_path / "out"))
    _, errors = process.communicate()
    assert "2 done, 2 failed" in errors
    assert errors.count("error: ") == 2
    assert re.search(r"a\\x00b\.png: .*embedded null", errors)
    with (tmp_path / "list.txt").open("rb") as source:
        again = [sys.executable, "-m", "srup", "batch", "--from", "-", str(tmp_path / "out")]
        done = subprocess.run(again, stdin=source, capture_output=True, text=True)
    assert "0 done, 2 were done before, 2 failed" in done.stderr


def test_what_is_refused_is_not_left_to_do(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_text("precious")
    assert run(["batch", str(folder), str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "1 done, 1 failed: " in said
    assert "to go on" not in said


def test_a_report_that_srup_did_not_write_is_kept(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, arguments = tmp_path / "mine.csv", ["batch", str(folder), str(tmp_path / "out")]
    report.write_text("mine")
    assert run([*arguments, "--report", str(report)]) == 1
    assert "-y replaces it, --report names another" in capsys.readouterr().err
    assert (report.read_text(), images(tmp_path / "out")) == ("mine", {})
    assert run([*arguments, "--report", str(report), "-y"]) == 0
    assert run([*arguments, "--report", str(report)]) == 0


def test_fail_fast(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "0.png").write_text("no image")
    assert run(["batch", str(folder), str(tmp_path / "out"), "--fail-fast", "-j", "1"]) == 1
    assert "to go on: srup" in capsys.readouterr().err


def test_a_dry_run_does_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["batch", str(folder), str(tmp_path / "out"), "--dry-run", "-s", "2"]) == 0
    captured = capsys.readouterr()
    assert "48×32" in captured.out
    assert "2 images, 0.0 megapixels; free in" in captured.err
    assert "GB of disk and" in captured.err
    assert not (tmp_path / "out").exists()


def test_results_of_other_settings_are_replaced_only_on_request(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["batch", str(folder), str(tmp_path / "out")]
    run(command)
    before = images(tmp_path / "out")
    for words, told in (
        (["-s", "2"], "2 results in .*would be replaced.*: scale 4 → 2; -y replaces them"),
        (["-m", "imdn"], "model auto → imdn; -y"),
        (["-x"], "self ensemble off → on"),
    ):
        assert run([*command, *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()[-1:]
        assert re.search(told, line)
        assert "sha256" not in line
    assert images(tmp_path / "out") == before
    assert run([*command, "-s", "2", "-y"]) == 0
    assert "2 results in" in capsys.readouterr().err
    assert images(tmp_path / "out") != before


def test_what_was_agreed_to_once_goes_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped after -y, the command is told without -y: with it all would be made anew."""
    out, command = tmp_path / "out", ["batch", str(folder), str(tmp_path / "out")]
    run(command)
    first = journal(out)
    run([*command, "-s", "2", "-y"])
    # as if it had been stopped after the first result
    lines = (out / NAME).read_text().splitlines(keepends=True)
    (out / NAME).write_text("".join(lines[: len(first) + 4]))
    capsys.readouterr()
    assert run([*command, "-s", "2"]) == 0
    assert "1 done, 1 were done before, 0 failed" in capsys.readouterr().err


def test_to_agree_for_some_is_not_to_agree_for_the_others(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    run(["batch", str(folder), out])
    assert run(["batch", str(folder / "a.png"), out, "-s", "2", "-y"]) == 0
    before = images(tmp_path / "out")
    capsys.readouterr()
    assert run(["batch", str(folder), out, "-s", "2"]) == 2
    assert "1 result in" in capsys.readouterr().err
    assert images(tmp_path / "out") == before


def test_no_images(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (*folder.glob("*.png"), *folder.glob("*.jpg")):
        path.unlink()
    assert run(["batch", str(folder), str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == (
        f"no images found in {folder}; -r looks into the folders below, too\n"
    )
    assert run(["batch", "-r", str(folder), str(tmp_path / "out"), "--dry-run"]) == 0


def picture(path: Path, number: int) -> None:
    draw(24 + number % 7, 16).save(path.with_suffix(".png"))


def frames(path: Path, number: int) -> None:
    first = draw(24 + number % 7, 16)
    others = [first.rotate(angle) for angle in (90, 180)]
    options = {"save_all": True, "append_images": others, "duration": 40}
    first.save(path.with_suffix(".png"), **options)


MINE = (".mine.part", ".000.png.part", ".000.png.0123abcd.part.bak", "notes.txt")


@pytest.mark.parametrize(
    ("make", "format_", "count", "kills"),
    [
        (picture, "png", 10, 2),
        *(
            pytest.param(*each, 200, 20, marks=pytest.mark.slow)
            for each in ((picture, "png"), (picture, "tiff"), (frames, "png"))
        ),
    ],
)
def test_killed_at_any_moment(
    tmp_path: Path, make: Callable[[Path, int], None], format_: str, count: int, kills: int
) -> None:
    """At the end every result is there, the same to the byte, none made twice but those in flight,
    and nothing is left over but what was the user's.
    """
    (tmp_path / "in").mkdir()
    for number in range(count):
        make(tmp_path / "in" / f"{number:03}", number)
    (tmp_path / "out").mkdir()
    for name in MINE:
        (tmp_path / "out" / name).write_text("mine")
    arguments = ["-f", format_, "-s", "2"]
    moments = random.Random(0)
    for _ in range(kills):
        process = start(str(tmp_path / "in"), str(tmp_path / "out"), "--json", *arguments)
        assert process.stdout
        for _ in range(moments.randint(1, max(1, count // kills - 2))):
            process.stdout.readline()
        process.kill()
        process.communicate()
    assert start(str(tmp_path / "in"), str(tmp_path / "out"), *arguments).wait() == 0
    assert run(["batch", str(tmp_path / "in"), str(tmp_path / "undisturbed"), *arguments]) == 0
    found = images(tmp_path / "out")
    assert [found.pop(name) for name in MINE] == [b"mine"] * len(MINE)
    assert found == images(tmp_path / "undisturbed")
    assert len(found) == count
    done = [line["name"] for line in journal(tmp_path / "out") if line.get("status") == "done"]
    assert sorted(done) == sorted(set(done))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_finishes_what_is_being_written(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    (tmp_path / "in").mkdir()
    for index in range(40):
        draw(24, 16).save(tmp_path / "in" / f"{index}.png")
    process = start(str(tmp_path / "in"), str(tmp_path / "out"), "--json")
    assert process.stdout
    process.stdout.readline()
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code
    assert "to go on: srup batch" in errors
    done = {line["name"] for line in journal(tmp_path / "out") if line.get("status") == "done"}
    assert 0 < len(done) < 40
    assert images(tmp_path / "out").keys() == done


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_watching_it_makes_what_arrives(tmp_path: Path, number: signal.Signals, code: int) -> None:
    (tmp_path / "in").mkdir()
    draw(24, 16).save(tmp_path / "in" / "first.png")
    process = start(str(tmp_path / "in"), str(tmp_path / "out"), "--json", "--watch")
    assert process.stdout
    assert '"first.png"' in process.stdout.readline()
    draw(24, 16).save(tmp_path / "in" / "second.png")
    assert '"second.png"' in process.stdout.readline()
    (tmp_path / "in" / "third.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    assert '"third.png"' in process.stdout.readline()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert f"watching {tmp_path / 'in'}; Ctrl-C ends it\n" in said
    assert f"second.png → {tmp_path / 'out' / 'second.png'}" in said
    assert said.index("second.png") < said.index("error: ")  # told when it fails, and at the end
    assert said.count("error: ") == 2
    assert process.returncode == code
    assert sorted(images(tmp_path / "out")) == ["first.png", "second.png"]


def test_over_two_processes(folder: Path, tmp_path: Path) -> None:
    assert start(str(folder), str(tmp_path / "out"), "-r", "-d", "cpu,cpu").wait() == 0
    assert run(["batch", str(folder), str(tmp_path / "alone"), "-r"]) == 0
    assert images(tmp_path / "out") == images(tmp_path / "alone")


def test_of_very_many_images_the_first_is_made_before_all_are_found(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same words and results; of two inputs with one result the first is made."""
    monkeypatch.setattr(streaming, "FEW", 1)
    command = ["batch", "-r", str(folder), str(tmp_path / "out"), "-m", "bicubic"]
    assert run(command) == 0
    assert "3 done, 0 failed" in capsys.readouterr().err
    draw(24, 16).save(folder / "a.webp")
    assert run(command) == 1
    said = capsys.readouterr().err
    assert "0 done, 3 were done before, 1 failed" in said
    assert "would both become a.png; rename one; or tell them apart with --on-collision" in said
    (folder / "a.webp").unlink()
    before = images(tmp_path / "out")
    assert run([*command, "-s", "2"]) == 2
    assert "3 results in" in capsys.readouterr().err
    assert images(tmp_path / "out") == before
    assert run([*command, "-s", "2", "-y", "--report", str(tmp_path / "report.csv")]) == 0
    assert "48×32" in (tmp_path / "report.csv").read_text()


def test_shards_beside_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An image of a shard that fails is told, and makes the command fail."""
    with tarfile.open(folder / "data.tar", "w") as tar:
        tar.add(folder / "a.png", "0.png")
        tar.add(folder / "b.jpg", "1.jpg")
    command = ["batch", str(folder), str(tmp_path / "out"), "-m", "bicubic", "--json"]
    assert run(command) == 0
    captured = capsys.readouterr()
    (line,) = [line for line in json_lines(captured.out) if line["name"] == "data.tar"]
    assert (line["status"], line["images"]) == ("done", 2)
    assert "3 done, 0 failed, 2 images in shards, of which 0 failed" in captured.err
    (folder / "no.png").write_text("no image")
    with tarfile.open(folder / "data.tar", "a") as tar:
        tar.add(folder / "no.png", "2.png")
    (folder / "no.png").unlink()
    assert run([*command, "--report", str(tmp_path / "report.csv")]) == 1
    captured = capsys.readouterr()
    assert "1 done, 2 were done before, 0 failed, 3 images in shards, of which 1" in captured.err
    failure = f"error: {folder / 'data.tar'}: 1 image failed: cannot read"
    assert failure in captured.err
    assert (tmp_path / "report.csv").read_text().splitlines()[1].startswith("data.tar,,,0.")
    for option in ((), ("--rehash",)):
        assert run([*command, *option]) == 1, "nothing is made again, and it has still failed"
        captured = capsys.readouterr()
        assert "0 done, 3 were done before, 0 failed: " in captured.err
        assert failure in captured.err
    assert run([*command, "--dry-run"]) == 0
    assert "data.tar  a shard" in capsys.readouterr().out

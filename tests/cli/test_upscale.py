from __future__ import annotations

import http.server
import importlib.util
import io
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags
from PIL import Image as Pillow

from srup.cli import run
from srup.images import read_image, read_pages
from srup.models import registry
from srup.resize import imresize
from tests.conftest import json_lines, random_network
from tests.data.draw import draw


def size(path: Path) -> tuple[int, int]:
    with Pillow.open(path) as image:
        return image.size


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """Options for the quickest network, with random weights."""
    torch.save(random_network(registry.find("imdn-rtc")[2]).state_dict(), tmp_path / "own.pth")
    return ["-m", "imdn-rtc", "--weights", str(tmp_path / "own.pth")]


def test_beside_the_input_four_times_larger(
    photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["upscale", str(photo)]) == 0
    assert size(photo.with_name("photo_x4.png")) == (320, 240)
    assert "320×240  lite ×4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "name", "expected"),
    [
        (["-s", "2"], "photo_x2.png", (160, 120)),
        (["-s", "1.5"], "photo_x1.5.png", (120, 90)),
        (["--width", "101"], "photo_101x76.png", (101, 76)),
        (["--height", "100"], "photo_133x100.png", (133, 100)),
        (["--size", "150x100"], "photo_133x100.png", (133, 100)),
        (["--size", "150x100", "--fill"], "photo_150x100.png", (150, 100)),
        (["--size", "150x70", "--stretch"], "photo_150x70.png", (150, 70)),
        (["--long-edge", "123"], "photo_123x92.png", (123, 92)),
        (["--megapixels", "0.01"], "photo_116x87.png", (116, 87)),
        (["-s", "2", "-f", "jpeg", "-q", "80"], "photo_x2.jpg", (160, 120)),
        (["-s", "2", "-f", "webp", "--lossless"], "photo_x2.webp", (160, 120)),
        (["-s", "2", "-f", "gif", "--palette"], "photo_x2.gif", (160, 120)),
        (["-s", "2", "--suffix", "-big", "-f", "webp"], "photo-big.webp", (160, 120)),
        (["-s", "2", "-t", "32", "-v", "-d", "cpu"], "photo_x2.png", (160, 120)),
        (["-s", "2", "--tiling", "acs"], "photo_x2.png", (160, 120)),
    ],
)
def test_options(
    photo: Path, own: list[str], options: list[str], name: str, expected: tuple[int, int]
) -> None:
    assert run(["upscale", str(photo), *own, *options]) == 0
    assert size(photo.with_name(name)) == expected


def test_to_a_file_and_to_a_folder(photo: Path, own: list[str], tmp_path: Path) -> None:
    assert run(["upscale", str(photo), *own, "-s", "2", "-o", str(tmp_path / "big.tif")]) == 0
    assert size(tmp_path / "big.tif") == (160, 120)
    (tmp_path / "out").mkdir()
    assert (
        run(
            [
                "upscale",
                str(photo),
                str(tmp_path / "big.tif"),
                *own,
                "-s",
                "2",
                "-o",
                str(tmp_path / "out"),
            ]
        )
        == 0
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "big_x2.png",
        "photo_x2.png",
    ]


def test_what_exists_is_not_replaced_unasked(
    photo: Path, own: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    photo.with_name("photo_x2.png").write_text("mine")
    assert run(["upscale", str(photo), *own, "-s", "2"]) == 1
    assert "-y replaces it" in capsys.readouterr().err
    assert photo.with_name("photo_x2.png").read_text() == "mine"
    assert run(["upscale", str(photo), *own, "-s", "2", "-y"]) == 0
    assert size(photo.with_name("photo_x2.png")) == (160, 120)


def test_dry_run_does_nothing(photo: Path, capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    before = sorted(photo.parent.iterdir())
    assert run(["upscale", str(photo), "-m", "imdn", "-s", "2.5", "--dry-run"]) == 0
    assert "200×150  imdn ×3, resized  would take" in capsys.readouterr().out
    assert sorted(photo.parent.iterdir()) == before


def test_dry_run_forecasts(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without weights at hand, and without fetching them; more for a larger result."""
    forecasts = []
    for scale in ("2", "4"):
        assert run(["upscale", str(photo), "-m", "imdn", "-s", scale, "--dry-run", "--json"]) == 0
        (report,) = json_lines(capsys.readouterr().out)
        forecasts.append(report["forecast"])
        assert "seconds" not in report
    smaller, larger = forecasts
    assert isinstance(smaller, dict) and isinstance(larger, dict)
    assert larger["disk"] > smaller["disk"] > 0
    assert larger["memory"] > 100e6
    assert larger["seconds"] > 0


def piped(arguments: list[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "srup", "upscale", *arguments],
        input=data,
        capture_output=True,
        check=False,
    )


def test_from_standard_input_to_standard_output(photo: Path) -> None:
    """Nothing but the picture is on standard output."""
    done = piped(["-", "-s", "2", "-o", "-", "-f", "tiff"], photo.read_bytes())
    assert done.returncode == 0
    with Pillow.open(io.BytesIO(done.stdout)) as image:
        image.load()
        assert (image.format, image.size) == ("TIFF", (160, 120))
    assert b"lite" in done.stderr


def test_damaged_standard_input(photo: Path) -> None:
    broken = piped(["-", "-s", "2"], photo.read_bytes()[:900])
    assert (broken.returncode, broken.stdout) == (1, b"")
    assert b"cannot read standard input: damaged" in broken.stderr


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tif", "gif", "avif"])
def test_a_result_says_what_made_it_unless_stripped(
    photo: Path, own: list[str], extension: str
) -> None:
    place = photo.with_name(f"larger.{extension}")
    arguments = ["upscale", str(photo), *own, "-s", "2", "--palette", "-o", str(place), "-y"]
    assert run(arguments) == 0
    made, first = read_pages(place).images[0].provenance, place.read_bytes()
    assert made and (made.network, made.source_size) == ("imdn-rtc x2", "80x60")
    assert run(arguments) == 0
    assert place.read_bytes() == first
    assert run([*arguments, "--strip"]) == 0
    assert read_pages(place).images[0].provenance is None
    assert b"srup" not in place.read_bytes()


def test_metadata_density_and_strip(photo: Path, own: list[str]) -> None:
    exif = Pillow.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    draw(80, 60).save(photo.with_name("tagged.jpg"), exif=exif, dpi=(72, 72))
    for options, artist, dpi in (([], "somebody", 72), (["--strip", "--dpi", "300"], None, 300)):
        assert (
            run(["upscale", str(photo.with_name("tagged.jpg")), *own, "-s", "2", "-y", *options])
            == 0
        )
        with Pillow.open(photo.with_name("tagged_x2.png")) as image:
            assert image.info["dpi"] == pytest.approx((dpi, dpi), abs=0.1)
            assert image.getexif().get(ExifTags.Base.Artist) == artist


def test_sixteen_bits_from_end_to_end(photo: Path, own: list[str]) -> None:
    values = np.asarray(draw(40, 30).convert("L")).astype(np.uint16) * 257 + 100
    Pillow.fromarray(values).save(photo.with_name("deep.png"))
    assert run(["upscale", str(photo.with_name("deep.png")), "-s", "2"]) == 0
    with Pillow.open(photo.with_name("deep_x2.png")) as image:
        assert image.mode == "I;16"
        found = np.asarray(image)
    assert len(np.unique(found)) > 1000
    assert abs(found.mean() - values.mean()) < 300


def test_every_frame_and_every_page(photo: Path, own: list[str]) -> None:
    frames = [
        draw(40, 30),
        draw(40, 30).transpose(Pillow.Transpose.FLIP_LEFT_RIGHT),
        draw(40, 30).convert("L").convert("RGB"),
    ]
    frames[0].save(
        photo.with_name("moving.gif"),
        save_all=True,
        append_images=frames[1:],
        duration=[40, 80, 120],
        loop=0,
    )
    frames[0].save(
        photo.with_name("pages.tif"),
        save_all=True,
        append_images=[frames[1], frames[2].resize((20, 16))],
    )
    assert run(["upscale", str(photo.with_name("moving.gif")), *own, "-s", "2"]) == 0
    assert run(["upscale", str(photo.with_name("pages.tif")), *own, "-s", "2"]) == 0
    moving, pages = (
        read_pages(photo.with_name("moving_x2.png")),
        read_pages(photo.with_name("pages_x2.tif")),
    )
    assert (moving.durations, moving.plays) == ((40, 80, 120), 0)
    assert [page.size for page in moving.images] == [(80, 60)] * 3
    assert [page.size for page in pages.images] == [(80, 60), (80, 60), (40, 32)]


def test_pages_of_several_sizes_to_one_width(photo: Path) -> None:
    draw(40, 30).save(photo.with_name("pages.tif"), save_all=True, append_images=[draw(60, 20)])
    assert (
        run(
            [
                "upscale",
                str(photo.with_name("pages.tif")),
                "--width",
                "90",
                "-o",
                str(photo.with_name("out.tif")),
            ]
        )
        == 0
    )
    assert [page.size for page in read_pages(photo.with_name("out.tif")).images] == [
        (90, 68),
        (90, 30),
    ]


def test_json_a_line_each_and_the_rest_done(
    photo: Path, own: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (photo.parent / "broken.png").write_bytes(photo.read_bytes()[:200])
    assert (
        run(["upscale", str(photo.parent / "broken.png"), str(photo), *own, "-s", "2", "--json"])
        == 1
    )
    broken, done = json_lines(capsys.readouterr().out)
    assert "damaged" in str(broken["error"])
    assert done["after"] == [160, 120]
    assert size(Path(str(done["output"]))) == (160, 120)


def test_how_consistent_a_result_is(
    photo: Path, own: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["upscale", str(photo), "-s", "2", "-v", "--json"]) == 0
    captured = capsys.readouterr()
    (done,) = json_lines(captured.out)
    assert float(str(done["consistency"])) > 30
    assert f"the result is {float(str(done['consistency'])):.1f} dB like the input" in captured.err
    assert run(["upscale", str(photo), "-s", "2", "-y", *own]) == 0  # random weights
    assert "look at it before you use it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["photo.png", "-m", "imbn"], 2, "did you mean imdn"),
        (["photo.png", "-s", "0.5"], 2, "srup enlarges 1 to 32 times"),
        (["photo.png", "-s", "2", "--width", "5"], 2, "contradict"),
        (["photo.png", "--width", "5"], 2, "srup enlarges"),
        (["photo.png", "photo.png", "-o", "nowhere"], 2, "need a folder"),
        (["photo.png", "photo.png", "-o", "."], 2, "would become one file"),
        (["photo.png", "-o", "big.jpg", "-f", "png"], 2, "contradict"),
        (["photo.png", "-d", "toaster"], 2, "-d cpu"),
        (["photo.png", "-d", "meta"], 2, "srup computes on cpu, cuda"),
        (["photo.png", "--megapixels", "nan"], 2, "nan megapixels are no size"),
        (["photo.png", "--megapixels", "inf"], 2, "inf megapixels are no size"),
        (["photo.png", "--megapixels", "0"], 2, "0 megapixels are no size"),
        (["photo.png", "-s", "nan"], 2, "'nan' is no scale"),
        (["photo.png", "--dpi", "nan"], 2, "nan pixels per inch is no density"),
        (["photo.png", "--dpi", "0"], 2, "0 pixels per inch is no density"),
        (["photo.png", "--suffix", "/x"], 2, "'/x' is no part of a file name"),
        (["photo.png", "--weights", "none.pth"], 3, "no such file; check the name"),
        (["photo.png", "--weights", "."], 3, "it is a folder"),
        (["photo.png", "--weights", "/dev/zero"], 3, "it is a pipe, a socket or a device"),
        ([f"{'x' * 300}.png"], 1, "File name too long; check the name"),
        (["photo.png", "-o", f"{'x' * 300}.png"], 1, "too long for this file system"),
        (["photo.png", "-o", "nowhere/big.png"], 1, "create it first"),
        (["photo.png", "-o", "big.xyz"], 1, "srup writes png"),
        (["none.png"], 1, "no such file"),
        (["photo.png", "--long-edge", "500", "--megapixels", "3"], 2, "contradict"),
        (["photo.png", "photo.png", "-o", "-"], 2, "standard output takes one image"),
        (["photo.png", "--fill"], 2, "--size 1920x1080"),
        (["photo.png", "--max-pixels", "1000"], 1, "--max-pixels raises"),
        (["photo.png", "-f", "gif"], 1, "accept it with --palette"),
        (["photo.png", "-f", "jpeg", "--lossless"], 1, "jpeg is always lossy"),
        (["alpha.png", "-f", "jpeg"], 1, "use -f png or -f webp"),
        (["moving.gif", "-f", "bmp"], 1, "holds no animation and this has 2 frames"),
        (["pages.tif", "-f", "png"], 1, "use -f tiff"),
        (["wide.png", "-f", "webp"], 1, "at most 16383"),
        (["wide.png", "-s", "16", "-f", "jpeg"], 1, "at most 65535"),
        (["bright.hdr"], 1, "high dynamic range (Radiance)"),
        (["bright.exr"], 1, "high dynamic range (OpenEXR)"),
        (["float.tif"], 1, "high dynamic range (32 bits"),
        (["text.png"], 1, "not an image"),
        (["photo.png", "--weights", "text.png"], 2, "is not called like a checkpoint"),
        (["photo.png", "-m", "lite", "--weights", "text.png"], 3, "as a checkpoint"),
        (["photo.png", "-m", "imdn"], 3, "SRUP_OFFLINE"),
    ],
)
def test_errors_are_one_line_that_helps(
    photo: Path,
    arguments: list[str],
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SRUP_OFFLINE", "1")
    monkeypatch.chdir(photo.parent)
    Path("text.png").write_text("not an image")
    Path("bright.hdr").write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n0000")
    Path("bright.exr").write_bytes(b"\x76\x2f\x31\x01\x02\0\0\0")
    Pillow.fromarray(np.ones((4, 4), np.float32)).save("float.tif")
    draw(20, 20).convert("RGBA").save("alpha.png")
    draw(20, 20).save("moving.gif", save_all=True, append_images=[draw(20, 20).rotate(90)])
    draw(20, 20).save("pages.tif", save_all=True, append_images=[draw(30, 20)])
    Pillow.new("RGB", (4200, 2)).save("wide.png")
    before = sorted(Path().iterdir())
    assert run(["upscale", *arguments]) == code
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert sorted(Path().iterdir()) == before, "something was left behind"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_that_may_not_be_written(
    photo: Path, own: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (photo.parent / "locked").mkdir(mode=0o500)
    assert run(["upscale", str(photo), *own, "-o", str(photo.parent / "locked")]) == 1
    assert "may not be written" in capsys.readouterr().err


def test_interrupted_while_downloading(photo: Path) -> None:
    """A server that never answers holds the download until SIGINT ends it: one line, 130, nothing
    written.
    """
    asked, stop = threading.Event(), threading.Event()

    class Silent(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            stop.wait(60)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        process = subprocess.Popen(
            [sys.executable, "-m", "srup", "upscale", str(photo), "-m", "imdn"],
            env={**os.environ, "SRUP_MIRROR": f"http://127.0.0.1:{server.server_port}"},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert asked.wait(60)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        stop.set()
        server.shutdown()
    assert process.returncode == 130
    assert errors.strip() == "error: interrupted"
    assert not photo.with_name("photo_x4.png").exists()


def test_weights_come_from_the_mirror_and_are_verified(
    photo: Path,
    shared: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "imdn_rtc.pth").symlink_to(shared / "weights" / "imdn_rtc.pth")
    (tmp_path / "mirror" / "imdn_rte.pth").symlink_to(
        shared / "weights" / "imdn_rtc.pth"
    )  # another's bytes
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "mirror"))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("SRUP_MIRROR", f"http://127.0.0.1:{server.server_port}")
        assert run(["upscale", str(photo), "-m", "imdn-rtc", "-s", "2"]) == 0
        assert run(["upscale", str(photo), "-m", "imdn-rte", "-s", "2", "-y"]) == 3
        server.shutdown()
    assert "not what was published" in capsys.readouterr().err


@pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="needs openvino; pip install 'srup[openvino]'",
)
def test_through_openvino_pytorch_is_never_imported(photo: Path, tmp_path: Path) -> None:
    arguments = [
        "upscale",
        str(photo),
        "--engine",
        "openvino",
        "-o",
        str(tmp_path / "large.png"),
        "-y",
    ]
    assert run(arguments) == 0  # exports the network
    folder = ["batch", str(photo.parent), str(tmp_path / "out"), "--engine", "openvino"]
    for words in (arguments, folder):
        code = f"import sys; from srup.cli import run; code = run({words!r})"
        code += "; sys.exit(code or 'torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_decides_the_result_is_said(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "upscale",
        str(photo),
        "-d",
        "cpu",
        "--precision",
        "fp32",
        "-o",
        str(tmp_path / "large.png"),
        "-v",
    ]
    assert run(arguments) == 0
    assert "pytorch, cpu, fp32" in capsys.readouterr().err


def test_what_is_decided_is_told_once(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["upscale", str(photo), "-m", "bicubic", "-x", "-v"]) == 0
    assert capsys.readouterr().err.count("exact tiling") == 1


def test_another_network_on_the_same_photo(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["upscale", str(photo), "-s", "2"]) == 0
    capsys.readouterr()
    assert run(["upscale", str(photo), "-s", "2", "-m", "bicubic"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "-y replaces it, --suffix _bicubic keeps both, srup compare shows" in line
    assert run(["upscale", str(photo), "-s", "2", "-m", "bicubic", "--suffix", "_bicubic"]) == 0


def test_bicubic_is_what_imresize_makes(photo: Path) -> None:
    assert run(["upscale", str(photo), "-s", "2.5", "-m", "bicubic"]) == 0
    exact = imresize(read_image(photo).pixels.astype(np.float64), size=(200, 150))
    made = read_image(photo.with_name("photo_x2.5.png")).pixels
    assert np.abs(made - exact.clip(0, 255)).max() <= 0.5001


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["upscale", "{photo}", "-s", "1", "--quiet"], False),
        (["upscale", "{photo}", "-s", "1", "--quiet", "--json"], True),
        (["score", "{photo}", "{photo}", "--quiet"], True),
    ],
)
def test_quiet(
    words: list[str], said: bool, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Results and errors are shown, and nothing else."""
    assert run([word.format(photo=photo) for word in words]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert bool(told.out) == said


def test_quiet_still_tells_errors(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["upscale", str(photo.with_name("gone.png")), "--quiet"]) == 1
    assert capsys.readouterr().err.startswith("error: ")

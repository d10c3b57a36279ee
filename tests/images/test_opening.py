"""What is opened at all: regular files of the formats that srup reads, whatever their names."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as Pillow

from srup.errors import ReadError
from srup.images import looks_like_image, read_image, sixteen_bit
from tests.data.draw import draw

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


def test_a_postscript_file_starts_no_program(tmp_path: Path) -> None:
    """An EPS file that is called photo.png: with Pillow's own list it would start `gs`."""
    started = tmp_path / "started"
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.parent.mkdir()
    ghostscript.write_text(f"#!/bin/sh\ntouch {started}\n")
    ghostscript.chmod(0o755)
    (tmp_path / "photo.png").write_bytes(EPS)
    script = "import sys; from srup import read_pages; read_pages(sys.argv[1])"
    process = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "photo.png")],
        env={**os.environ, "PATH": f"{ghostscript.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert "not an image in a format srup knows" in process.stderr
    assert not started.exists()


@pytest.mark.parametrize("kind", ["ICO", "TGA", "PCX", "SGI", "DDS", "JPEG2000", "PDF"])
def test_other_formats_under_the_name_of_one(tmp_path: Path, kind: str) -> None:
    data = io.BytesIO()
    draw(16, 16).save(data, kind)
    (tmp_path / "a.png").write_bytes(data.getvalue())
    with pytest.raises(ReadError, match="not an image in a format srup knows"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "PPM", "MPO"]
)
def test_formats_that_are_read_under_any_name(tmp_path: Path, kind: str) -> None:
    data = io.BytesIO()
    draw(16, 16).save(data, kind)
    (tmp_path / "a.png").write_bytes(data.getvalue())
    assert read_image(tmp_path / "a.png").size == (16, 16)


def a_pipe(place: Path) -> None:
    os.mkfifo(place)


def a_socket(place: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    os.chdir(place.parent)  # the path of a socket has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(place.name)
    os.fchdir(here)
    os.close(here)


def a_device(place: Path) -> None:
    place.symlink_to("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with FIFOs")
@pytest.mark.usefixtures("ends")
@pytest.mark.parametrize("make", [a_pipe, a_socket, a_device])
@pytest.mark.parametrize("name", ["a.png", "a.jxl", "a"])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, make: object, name: str) -> None:
    assert callable(make)
    make(tmp_path / name)
    with pytest.raises(ReadError, match="a pipe, a socket or a device, not a file"):
        read_image(tmp_path / name)
    assert looks_like_image(tmp_path / name) == (name != "a")


@pytest.mark.skipif(not sixteen_bit.available(), reason="needs pyvips")
def test_a_page_whose_size_is_stated_twice(tmp_path: Path) -> None:
    """Pillow takes the first of two widths, libtiff may take the last: neither is believed."""
    values = Pillow.new("I;16", (8, 8))
    with pytest.raises(OSError, match="stated twice"):
        values.save(tmp_path / "a.png")
        sixteen_bit.read(tmp_path / "a.png", "PNG", 0, 63, "a.png")

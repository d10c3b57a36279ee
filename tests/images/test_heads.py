"""What lies in front of the pixels is found where it belongs, and nowhere else."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import PngImagePlugin

from srup.errors import ReadError
from srup.images import heads, read_image
from tests.data.draw import draw

PICTURE = draw(24, 16)
COLOURS = np.asarray(PICTURE)
PQ = bytes((9, 16, 0, 1))  # high dynamic range, as a chunk of PNG says it


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, data in chunks:
        info.add(name, data)
    file = io.BytesIO()
    PICTURE.save(file, "PNG", pnginfo=info)
    return file.getvalue()


def test_a_text_that_names_a_chunk_is_a_text() -> None:
    image = read_image(io.BytesIO(png((b"tEXt", b"Title\0cICP" + PQ))))
    assert (image.pixels == COLOURS).all()
    assert image.text == (("Title", "cICP" + PQ.decode("latin-1")),)


def test_a_chunk_counts_if_its_checksum_is_right() -> None:
    whole = png((b"cICP", PQ))
    with pytest.raises(ReadError, match="high dynamic range"):
        read_image(io.BytesIO(whole))
    place = whole.index(b"cICP") + 8
    damaged = whole[:place] + b"\xff" + whole[place + 1 :]
    assert (read_image(io.BytesIO(damaged)).pixels == COLOURS).all()


@pytest.mark.parametrize("length", range(0, 49, 6))
def test_heads_that_break_off(length: int) -> None:
    assert heads.chunk(png((b"cICP", PQ))[:length], b"cICP") == b""
    assert heads.item_property(avif()[:length], b"colr") == b""


def avif(**options: object) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, "AVIF", speed=10, **options)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_properties_are_those_of_the_picture() -> None:
    """EXIF lies behind them, and may hold their names."""
    codes = struct.pack(">HHHB", 9, 16, 9, 128)
    data = avif(exif=b"Exif\0\0II*\0" + bytes(4) + b"colrnclx" + codes)
    assert b"colrnclx" + codes in data
    assert heads.item_property(data, b"colr", b"nclx")[4:8] != codes[:4]
    assert heads.item_property(data, b"av1C")[:1] == b"\x81"
    assert heads.item_property(data, b"none") == b""
    assert read_image(io.BytesIO(data)).size == (24, 16)


def jpeg(*segments: tuple[int, bytes]) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, "JPEG", quality=95)
    made = b"".join(
        struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data for kind, data in segments
    )
    return file.getvalue()[:2] + made + file.getvalue()[2:]


@pytest.mark.parametrize("opened", [False, True], ids=["by name", "open"])
def test_a_photograph_with_damaged_image_resources(
    tmp_path: Path, opened: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Pillow says of it that it is no image."""
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg((0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04"), (0xFE, b"a comment")))
    with pytest.raises(Pillow.UnidentifiedImageError):
        Pillow.open(path)
    sound = read_image(io.BytesIO(jpeg()))
    with path.open("rb") as file:
        image = read_image(file if opened else path)
    assert (image.pixels == sound.pixels).all()
    assert "has damaged metadata (APP13, COM): left out" in caplog.text


def test_what_is_no_photograph_stays_none() -> None:
    for data in (b"\xff\xd8\xff\xe1", jpeg((0xE1, b"Exif"))[:40], jpeg()[:30], b"\xff\xd8" * 500):
        with pytest.raises(ReadError):
            read_image(io.BytesIO(data))

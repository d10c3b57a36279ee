"""Metadata of PNG files that would refuse a good picture is left out."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from srup.errors import ReadError
from srup.images import chunks, read_image, read_pages, sixteen_bit
from tests.data.draw import draw

PICTURE = draw(24, 16)
COLOURS = np.asarray(PICTURE)
TITLE = b"Title\0a title"
BOMB = zlib.compress(bytes(2 << 20))


def chunk(name: bytes, data: bytes, *, right: bool = True) -> bytes:
    checksum = zlib.crc32(name + data) ^ (not right)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def png(picture: Pillow.Image = PICTURE, before: bytes = b"", after: bytes = b"") -> bytes:
    """A PNG file with chunks before and behind the pixels."""
    data = io.BytesIO()
    picture.save(data, "PNG")
    whole = data.getvalue()
    head = len(chunks.SIGNATURE) + len(chunk(b"IHDR", bytes(13)))
    end = len(chunk(b"IEND", b""))
    return whole[:head] + before + whole[head:-end] + after + whole[-end:]


def whole(data: bytes) -> bytes:
    """What is left of a file."""
    return chunks.sound(io.BytesIO(data), "a.png").read()


DAMAGED = {
    "checksum": chunk(b"tEXt", TITLE, right=False),
    "private": chunk(b"vpAg", bytes(9), right=False),
    "method": chunk(b"zTXt", b"Title\0\7" + zlib.compress(b"a title")),
    "bomb": chunk(b"zTXt", b"Title\0\0" + BOMB),
    "international bomb": chunk(b"iTXt", b"Title\0\1\0\0\0" + BOMB),
    "profile bomb": chunk(b"iCCP", b"profile\0\0" + BOMB),
    "no profile": chunk(b"iCCP", b"profile"),
    "short density": chunk(b"pHYs", bytes(4)),
    "short gamma": chunk(b"gAMA", b""),
    "name": chunk(b"t\0Xt", b""),
    "reserved": chunk(b"tEXt", b"transparency\0yes"),
}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("kind", DAMAGED)
def test_a_good_picture_with_damaged_metadata(
    tmp_path: Path, kind: str, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = png(**{place: DAMAGED[kind] + chunk(b"tEXt", b"Author\0somebody")})
    (tmp_path / "a.png").write_bytes(data)
    for _ in range(2):
        image = read_image(tmp_path / "a.png")
        assert (image.pixels == COLOURS).all()
        assert dict(image.text) == {"Author": "somebody"}
    assert (read_image(io.BytesIO(data)).pixels == COLOURS).all()
    about = [each for each in caplog.messages if f"{tmp_path / 'a.png'} has damaged" in each]
    assert len(about) == 1, "a warning a file, however often it is opened"


def test_a_text_that_is_cut_short_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(after=chunk(b"tEXt", TITLE * 100))[:-500])
    assert (read_image(tmp_path / "a.png").pixels == COLOURS).all()


@pytest.mark.skipif(not sixteen_bit.available(), reason="needs pyvips")
@pytest.mark.parametrize("kind", DAMAGED)
def test_sixteen_bits_with_damaged_metadata(tmp_path: Path, kind: str) -> None:
    from srup.images import Image, write_image

    values = (np.arange(24 * 16 * 3).reshape(16, 24, 3) * 50).astype(np.uint16)
    write_image(Image(values), tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[:33] + DAMAGED[kind] + whole[33:])
    assert (read_image(tmp_path / "a.png").pixels == values).all()


def test_what_is_whole_stays_the_file_itself() -> None:
    sound = chunk(b"tEXt", TITLE) + chunk(b"zTXt", b"Title\0\0" + zlib.compress(b"a title"))
    sound += chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0") + chunk(b"vpAg", bytes(9))
    for data in (png(before=sound, after=sound), png(), b"", b"\x89PNG", b"no picture"):
        file = io.BytesIO(data)
        assert chunks.sound(file, "a.png") is file
        assert file.tell() == 0


@pytest.mark.parametrize("name", [b"tRNS", b"acTL"])
def test_chunks_of_the_picture_itself_are_not_left_out(name: bytes) -> None:
    data = png(before=chunk(name, bytes(8), right=False))
    assert whole(data) == data


def test_a_damaged_picture_stays_one(tmp_path: Path) -> None:
    data = bytearray(png())
    data[60] ^= 255
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ReadError, match=r"a\.png"):
        read_image(tmp_path / "a.png")


def test_as_many_texts_as_anybody_writes() -> None:
    most = chunk(b"tEXt", TITLE) * chunks.MAX_TEXTS
    assert whole(png(after=most)) == png(after=most)
    assert whole(png(after=most + chunk(b"tEXt", TITLE))) == png(after=most)


def test_a_budget_for_all_of_them_together() -> None:
    """One megabyte of text each, from a kilobyte."""
    one = chunk(b"zTXt", b"Title\0\0" + zlib.compress(bytes((1 << 20) - 2000)))
    assert whole(png(after=one * 64)) == png(after=one * 64)
    assert whole(png(after=one * 66)) == png(after=one * 64)


@pytest.mark.usefixtures("ends")
def test_a_hundred_thousand_damaged_chunks(tmp_path: Path) -> None:
    damaged = (chunk(b"tEXt", b"", right=False) + chunk(b"vpAg", b"")) * 50_000
    (tmp_path / "a.png").write_bytes(png(after=damaged))
    assert (read_pages(tmp_path / "a.png").images[0].pixels == COLOURS).all()


def test_a_file_without_some_of_its_bytes() -> None:
    """Read in pieces of any size and from any place, it is what is left."""
    damaged = DAMAGED["checksum"]
    parts = [os.urandom(7), os.urandom(1), os.urandom(300)]
    sound = b"".join(chunk(b"prVt", part) for part in parts)
    data = png(before=damaged + sound + damaged * 2, after=damaged)
    expected = png(before=sound)
    file = chunks.sound(io.BytesIO(data), "a.png")
    assert file.read() == expected
    for place in range(len(expected) + 2):
        assert file.seek(place) == place
        assert file.read(11) == expected[place : place + 11]
    assert file.seek(-5, os.SEEK_END) == len(expected) - 5


def test_pillow_alone_refuses_most_of_them() -> None:
    """Why all this: should Pillow take them one day, it can go."""
    refused = set()
    for kind, damaged in DAMAGED.items():
        try:
            Pillow.open(io.BytesIO(png(before=damaged))).convert("RGB")
        except (SyntaxError, ValueError, UnidentifiedImageError):
            refused.add(kind)
    assert len(refused) >= len(DAMAGED) - 2

"""Blocks of EXIF, XMP and IPTC that are made to take long, or that break off."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image as Pillow

from srup.images import Image, Provenance, metadata

SUB, WIDTH, LONG = 0x8769, 0x100, 4
Entry = tuple[int, int, int, int]  # tag, type, count, value


def exif(*directories: Sequence[Entry]) -> bytes:
    """An EXIF block of these directories."""
    block = b"II*\0\x08\0\0\0"
    for entries in directories:
        packed = (struct.pack("<HHLL", *entry) for entry in entries)
        block += struct.pack("<H", len(entries)) + b"".join(packed) + bytes(4)
    return b"Exif\0\0" + block


def place(number: int, entries: int) -> int:
    """Where a directory begins, if each has so many entries."""
    return 8 + number * (2 + 12 * entries + 4)


@pytest.mark.usefixtures("ends")
def test_directories_that_refer_to_one_another() -> None:
    """Forty directories of two pointers each to the next: 2⁴⁰ ways through them."""
    pointers = [[(SUB, LONG, 1, place(n + 1, 2))] * 2 for n in range(40)]
    last = [(WIDTH, LONG, 1, 7), (SUB, LONG, 1, 8)]
    changed = metadata.sized(exif(*pointers, last), (30, 20), None)
    assert changed
    width = len(b"Exif\0\0") + place(40, 2) + 2 + 8
    assert changed[width : width + 4] == struct.pack("<L", 30)


def test_more_tags_than_any_camera_writes(caplog: pytest.LogCaptureFixture) -> None:
    most = [(WIDTH, LONG, 1, 7)] * metadata.MAX_TAGS
    assert metadata.sized(exif(most), (30, 20), None)
    assert metadata.sized(exif([*most, most[0]]), (30, 20), None) is None
    assert "EXIF data is damaged: left out" in caplog.text


def test_tags_of_all_directories_count(caplog: pytest.LogCaptureFixture) -> None:
    """Of five directories, each with a fifth of what is allowed, and the pointers to them."""
    fifth = metadata.MAX_TAGS // 5
    pad = [(WIDTH, LONG, 1, 7)] * (fifth - 1)
    chain = [[*pad, (SUB, LONG, 1, place(n + 1, fifth))] for n in range(4)]
    last = [*pad, (WIDTH, LONG, 1, 7)]
    assert metadata.sized(exif(*chain, last), (30, 20), None)
    one_more = [*pad, (SUB, LONG, 1, place(5, fifth))]
    assert metadata.sized(exif(*chain, one_more, [pad[0]]), (30, 20), None) is None


@pytest.mark.usefixtures("ends")
def test_thumbnails_that_never_close() -> None:
    packet = b"<xmp:Thumbnails>" * 65_536
    assert metadata.xmp_upright(packet) == packet


def test_thumbnails_are_cut() -> None:
    one = b"<xmp:Thumbnails>small</xmp:Thumbnails>"
    packet = b"<a>" + one + b"<tiff:Orientation>6</tiff:Orientation>" + one + b"</a>"
    assert metadata.xmp_upright(packet) == b"<a><tiff:Orientation>1</tiff:Orientation></a>"


def test_image_resources_that_break_off() -> None:
    whole = metadata.resources(b"\x1c\x02\x78\x00\x09a caption")
    assert metadata.iim(whole) == b"\x1c\x02\x78\x00\x09a caption"
    for length in range(len(whole)):
        metadata.iim(whole[:length])


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_program_is_added_behind_all_that_is_there(order: str) -> None:
    """No byte of the block moves, so that maker notes with offsets of their own stay right."""
    entries = [(WIDTH, LONG, 1, 7), (metadata.SOFTWARE, 2, 4, int.from_bytes(b"1.2\0", "big"))]
    packed = b"".join(struct.pack(f"{order}HHLL", *entry) for entry in entries)
    if order == "<":  # the text in place of the number
        packed = packed[:-4] + b"1.2\0"
    mark = b"II" if order == "<" else b"MM"
    start = b"Exif\0\0" + mark + struct.pack(f"{order}HLH", 42, 8, 2)
    block = start + packed + bytes(4) + b"maker notes"
    changed = metadata.with_software(block, "srup 9.9")
    assert changed
    offset = slice(10, 14)
    assert changed[: offset.start] == block[: offset.start]
    assert changed[offset.stop : len(block)] == block[offset.stop :]
    found = Pillow.Exif()
    found.load(changed)
    assert dict(found) == {0x0B: "srup 9.9", WIDTH: 7, metadata.SOFTWARE: "1.2"}
    assert len(changed) - len(block) < 80


def test_a_program_replaces_itself_alone() -> None:
    first = metadata.with_software(None, "srup 9.9")
    assert metadata.exif_without(first) is None
    second = metadata.with_software(first, "srup 10.0")
    found = Pillow.Exif()
    found.load(second or b"")
    assert dict(found) == {metadata.SOFTWARE: "srup 10.0"}
    other = exif([(WIDTH, LONG, 1, 7)])
    assert metadata.exif_without(other) == other
    assert metadata.exif_without(b"damaged") == b"damaged"


@pytest.mark.parametrize("software", [(2, 0xFFFFFFFF, 0xFFFFFFFF), (3, 1, 7), (2, 0, 0)])
def test_a_senseless_software_is_no_obstacle(software: tuple[int, int, int]) -> None:
    changed = metadata.with_software(exif([(metadata.SOFTWARE, *software)]), "srup 9.9")
    assert b"srup 9.9\0" in (changed or b"")


def test_what_does_not_fit_is_not_added() -> None:
    """A JPEG file has room for so much in a block: what came along goes first."""
    pixels = np.zeros((4, 4, 3), np.uint8)
    block = exif([(WIDTH, LONG, 1, 4)])
    image = Image(pixels, exif=block, provenance=Provenance("9.9"))
    assert metadata.stated(image, most=len(block)).exif == block
    assert b"srup 9.9" in (metadata.stated(image).exif or b"")


@pytest.mark.parametrize(
    "part", [b'tiff:Orientation="6', b"<tiff:Orientation>6", b'Orientation = "6"']
)
def test_an_orientation_that_is_still_believed(part: bytes) -> None:
    """Pillow looks for its beginning alone, and would turn the picture a second time."""
    packet = b"<x:xmpmeta tiff:" + part.removeprefix(b"tiff:") if part[:1] == b"O" else part
    assert b"6" not in metadata.xmp_upright(packet)


def test_blocks_of_an_upright_picture_say_so_when_they_are_written() -> None:
    block = exif([(0x112, 3, 1, 6)])
    assert metadata.sized(block, (4, 3), None) == exif([(0x112, 3, 1, 1)])
    assert metadata.xmp_sized(b'tiff:Orientation="8"', (4, 3)) == b'tiff:Orientation="1"'

from __future__ import annotations

import io

import pytest
from PIL import Image as Pillow

from srup.images import jxl
from srup.images.formats import plug_in

pytest.importorskip("pillow_jxl", reason="needs the extra srup[jxl]")


def encoded(size: tuple[int, int], **options: object) -> bytes:
    plug_in("pillow_jxl", "jxl")
    data = io.BytesIO()
    Pillow.new("L", size).save(data, "JXL", effort=1, **options)
    return data.getvalue()


@pytest.mark.parametrize("container", [False, True])
@pytest.mark.parametrize(
    "size",
    [
        *((1, 1), (8, 8), (256, 256), (264, 256), (7, 9), (512, 1), (1, 513), (8193, 3)),
        *((120, 100), (400, 300), (300, 200), (160, 90), (125, 100), (200, 100)),  # ratios
    ],
)
def test_sizes(size: tuple[int, int], container: bool) -> None:
    data = encoded(size, use_container=container)
    assert data.startswith(jxl.CONTAINER if container else jxl.CODESTREAM)
    assert jxl.size(io.BytesIO(data)) == size


def test_a_codestream_in_many_parts() -> None:
    """Of a byte each: whoever reads the first alone does not see the size."""
    data = encoded((400, 7))
    parts = [b"\0\0\0\x0djxlp" + number.to_bytes(4, "big") for number in range(len(data))]
    boxes = b"".join(part + data[n : n + 1] for n, part in enumerate(parts))
    assert jxl.size(io.BytesIO(jxl.CONTAINER + boxes)) == (400, 7)


def test_the_largest_side() -> None:
    """30 bits of ones, twice: neither is less."""
    ones = (1 << 112) - 1
    not_small = ones ^ 1 ^ (0b111 << 33)
    head = jxl.CODESTREAM + not_small.to_bytes(14, "little")
    assert jxl.size(io.BytesIO(head)) == (1 << 30, 1 << 30)


@pytest.mark.usefixtures("ends")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        jxl.CONTAINER,
        jxl.CONTAINER + b"\0\0\0\1jxlc",
        jxl.CONTAINER + b"\0\0\0\0jxlc",
        jxl.CONTAINER + b"\0\0\0\7free" * 100,
        jxl.CONTAINER + b"\0\0\0\1free" + bytes(8) + b"\xff\xff\xff\xfffree",
    ],
)
def test_files_without_a_size(data: bytes) -> None:
    assert jxl.size(io.BytesIO(data)) is None
    assert jxl.xmp(data) is None


def test_a_box_of_more_than_four_gigabytes_has_a_longer_length() -> None:
    long = b"\0\0\0\1free" + (16 + 5).to_bytes(8, "big") + bytes(5)
    assert jxl.xmp(jxl.CONTAINER + long + b"\0\0\0\x0cxml <a/>") == b"<a/>"
    assert jxl.xmp(jxl.CONTAINER + long + b"\0\0\0\0xml <a/>") == b"<a/>"

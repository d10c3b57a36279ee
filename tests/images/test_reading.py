"""The limit of pixels: every page and frame counts by its own size, before it is decoded."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import TiffImagePlugin

from srup.errors import ReadError
from srup.images import jxl, read_image, read_pages, reading
from tests.data.draw import draw


def document(path: Path, *sizes: tuple[int, int], reduced: tuple[int, ...] = ()) -> Path:
    """A TIFF file of pages of these sizes; the numbers in `reduced` are smaller versions."""
    pages = [Pillow.new("L", size, 200) for size in sizes]
    with TiffImagePlugin.AppendingTiffWriter(str(path), True) as writer:
        for number, page in enumerate(pages):
            info = TiffImagePlugin.ImageFileDirectory_v2()
            info[254] = int(number in reduced)
            page.save(writer, "TIFF", compression="tiff_adobe_deflate", tiffinfo=info)
            writer.newFrame()
    return path


def test_pages_larger_than_the_first(tmp_path: Path) -> None:
    """Ten by ten, and then twice as many pixels as are allowed: the first page tells nothing."""
    path = document(tmp_path / "a.tif", (10, 10), (100, 100), (100, 100))
    assert len(read_pages(path, max_pixels=20_100)) == 3
    with pytest.raises(ReadError, match="max_pixels raises this limit"):
        read_pages(path, max_pixels=20_099)


def test_pages_smaller_than_the_first(tmp_path: Path) -> None:
    """A cover and many small pages are not as many covers."""
    path = document(tmp_path / "a.tif", (100, 100), (10, 10), (10, 10))
    assert len(read_pages(path, max_pixels=10_200)) == 3


def test_smaller_versions_are_not_decoded_and_do_not_count(tmp_path: Path) -> None:
    path = document(tmp_path / "a.tif", (100, 100), (50, 50), (25, 25), reduced=(1, 2))
    assert len(read_pages(path, max_pixels=10_000)) == 1


def gif(screen: tuple[int, int], *frames: tuple[int, int]) -> bytes:
    """A GIF file of one colour whose frames are of these sizes."""
    data = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + bytes((9, 99, 199, 0, 0, 0))
    for width, height in frames:
        made = io.BytesIO()
        Pillow.new("P", (width, height)).save(made, "GIF")
        encoded = made.getvalue()
        begin = encoded.index(struct.pack("<BHHHH", 0x2C, 0, 0, width, height)) + 10
        data += struct.pack("<BHHHHB", 0x2C, 0, 0, width, height, 0) + encoded[begin:-1]
    return data + b";"


def test_frames_larger_than_the_first(tmp_path: Path) -> None:
    """Each frame counts as Pillow decodes it; what sticks out of the picture is cut off."""
    path = tmp_path / "a.gif"
    path.write_bytes(gif((10, 10), (10, 10), (100, 100), (5, 5)))
    with Pillow.open(path) as opened:
        opened.seek(1)
        assert opened.size == (100, 100)
    pages = read_pages(path, max_pixels=20_100)
    assert [image.size for image in pages.images] == [(10, 10)] * 3
    with pytest.raises(ReadError, match="max_pixels raises this limit"):
        read_pages(path, max_pixels=20_099)


def test_frames_that_are_claimed_are_believed(tmp_path: Path) -> None:
    """A refusal before anything is decoded."""
    frames = [Pillow.new("L", (50, 50), value) for value in (1, 2, 3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert len(read_pages(tmp_path / "a.png", max_pixels=7_500)) == 3
    with pytest.raises(ReadError, match="megapixels"):
        read_pages(tmp_path / "a.png", max_pixels=7_499)


def test_a_picture_with_others_behind_it_counts_alone(tmp_path: Path) -> None:
    """MPO: of previews and gain maps nothing is decoded."""
    image = Pillow.new("RGB", (60, 40))
    image.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[image, image])
    assert read_image(tmp_path / "a.jpg", max_pixels=2_400).size == (60, 40)


def test_jpeg_xl_is_refused_before_its_plugin_decodes_it(tmp_path: Path) -> None:
    """A file that is cut off behind its size: decoded, it would be damaged."""
    pytest.importorskip("pillow_jxl", reason="needs the extra srup[jxl]")
    Pillow.new("RGB", (300, 200)).save(tmp_path / "a.jxl")
    whole = (tmp_path / "a.jxl").read_bytes()
    (tmp_path / "a.jxl").write_bytes(whole[: whole.index(jxl.CODESTREAM) + 20])
    with pytest.raises(ReadError, match="damaged"):
        read_pages(tmp_path / "a.jxl", max_pixels=60_000)
    for source in (tmp_path / "a.jxl", io.BytesIO((tmp_path / "a.jxl").read_bytes())):
        with pytest.raises(ReadError, match="max_pixels raises this limit"):
            read_pages(source, max_pixels=59_000)


@pytest.mark.usefixtures("ends")
def test_a_chain_of_very_many_pages(tmp_path: Path) -> None:
    """A hundred thousand pages of one pixel in 5 MB: finding them all would take minutes."""
    tags = ((256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (279, 1))
    size = 2 + 12 * len(tags) + 4
    begin, count = 10, reading.MAX_PAGES * 5
    data = [b"II*\0", struct.pack("<L", begin), bytes(2)]
    packed = struct.pack("<H", len(tags))
    packed += b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags)
    for number in range(1, count + 1):
        data.append(packed + struct.pack("<L", begin + number * size if number < count else 0))
    (tmp_path / "a.tif").write_bytes(b"".join(data))
    with pytest.raises(ReadError, match="more than 20000 pages"):
        read_pages(tmp_path / "a.tif")


def test_an_animation_without_the_frames_that_it_states(tmp_path: Path) -> None:
    """What is left is the picture for programs that show no animations."""
    first, second = draw(24, 16), draw(24, 16).transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
    data = io.BytesIO()
    options = {"save_all": True, "default_image": True, "append_images": [second, first]}
    first.save(data, "PNG", **options)
    whole = data.getvalue()
    # the head of the first frame, and nothing of it
    cut = whole.index(b"fdAT") - 4
    (tmp_path / "a.png").write_bytes(whole[:cut] + whole[whole.index(b"IEND") - 4 :])
    pages = read_pages(tmp_path / "a.png")
    assert not pages.animated
    assert [image.pixels.tolist() for image in pages.images] == [np.asarray(first).tolist()]

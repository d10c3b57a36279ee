from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import TiffTags

from srup.errors import WriteError
from srup.images import Encoding, Format, Image, Pages, read_image, tiff, write_pages
from srup.images.readback import check
from tests.data.draw import draw
from tests.data.hostile import exif_of_tags

COLOURS = np.asarray(draw(67, 43))
PAGES = Pages((Image(COLOURS),))


@pytest.fixture
def written(row: Format, tmp_path: Path) -> Path:
    path = tmp_path / f"written{row.extensions[0]}"
    write_pages(PAGES, path, encoding=Encoding(palette=True))
    return path


@pytest.mark.parametrize("kept", [0, 0.05, 0.1])
def test_a_file_that_ends_early_is_found(row: Format, written: Path, kept: float) -> None:
    check(written, PAGES, "a", row.name)
    data = written.read_bytes()
    written.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(WriteError, match=r"cannot write a: what was written cannot be read again"):
        check(written, PAGES, "a", row.name)


def test_a_file_of_another_size_is_found(row: Format, written: Path) -> None:
    other = Pages((Image(np.vstack([COLOURS, COLOURS])),))
    with pytest.raises(WriteError, match="other sizes"):
        check(written, other, "a", row.name)


@pytest.mark.parametrize("height", [1, 2, 7, 9])
def test_pictures_of_few_rows(row: Format, height: int, tmp_path: Path) -> None:
    for width in (1, 3000):
        pixels = np.asarray(draw(64, 16).resize((width, height)))
        path = tmp_path / f"small{row.extensions[0]}"
        write_pages(Pages((Image(pixels),)), path, encoding=Encoding(palette=True))


def test_every_page_is_looked_at(tmp_path: Path) -> None:
    path, pages = tmp_path / "a.tif", Pages((Image(COLOURS), Image(COLOURS[:20])))
    write_pages(pages, path)
    for wrong in (Pages(pages.images[:1]), Pages((*pages.images, Image(COLOURS)))):
        with pytest.raises(WriteError, match="other sizes"):
            check(path, wrong, "a", "tiff")


def test_what_cannot_be_read_for_its_tags_is_written_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As if the tags of a file's structure were carried from one file to another."""
    monkeypatch.setattr(tiff, "CARRIED", frozenset(TiffTags.TAGS_V2))
    for tag in (266, 322, 339):  # the order of bits, tiles, the format of samples
        image = Image(COLOURS, exif=exif_of_tags(tag, 322, 323))
        path = tmp_path / f"{tag}.tif"
        write_pages(Pages((image,)), path)
        assert (read_image(path).pixels == COLOURS).all()
        assert f"{path}: damaged metadata that tiff cannot store: left out" in caplog.text

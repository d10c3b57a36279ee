from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import JpegImagePlugin, PngImagePlugin

from srup.errors import ImageError, InternalError, OutOfMemory, ReadError, WriteError
from srup.images import Image, metadata, read_image, write_image
from srup.images.codec_errors import codec_errors
from tests.data.draw import draw
from tests.data.hostile import tiff_without_a_width

COLOURS = np.asarray(draw(24, 16))


class Panic(BaseException):
    """What libraries in Rust raise: no Exception."""


FOREIGN = (
    RuntimeError,
    TypeError,
    NotImplementedError,
    KeyError,
    AttributeError,
    AssertionError,
    SystemError,
    Panic,
)


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_a_decoder_raises_is_an_error_of_the_file(
    kind: type[BaseException], photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: object) -> None:
        raise kind("the tables are\nnot there")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    with pytest.raises(ReadError) as caught:
        read_image(photo)
    about = f"cannot read {photo}: damaged or cut short ({kind.__name__}: "
    assert str(caught.value).startswith(about)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_an_encoder_raises_is_an_error_of_the_result(
    kind: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(*_: object) -> None:
        raise kind("no such table")

    monkeypatch.setattr(JpegImagePlugin, "_save", encode)
    monkeypatch.setitem(JpegImagePlugin.Image.SAVE, "JPEG", encode)
    with pytest.raises(WriteError, match=r"a\.jpg: the encoder failed .* use format=png"):
        write_image(Image(COLOURS), tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_called_so(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    with pytest.raises(OutOfMemory, match=r"photo\.png.*more memory than there is"):
        read_image(photo)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_is_no_error(kind: type[BaseException]) -> None:
    with pytest.raises(kind), codec_errors(ReadError, "cannot read a.png"):
        raise kind


def test_a_mistake_of_our_own_is_called_so(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, "srup"),
        pytest.raises(InternalError, match=r"unexpected error in srup \(AttributeError"),
        codec_errors(ReadError, "cannot read a.png"),
    ):
        metadata.iim(None)  # type: ignore[arg-type]
    (record,) = caplog.records
    assert record.exc_info and isinstance(record.exc_info[1], AttributeError)


def test_files_at_which_decoders_raise_something_else() -> None:
    with pytest.raises(ReadError, match="TypeError"):
        read_image(io.BytesIO(tiff_without_a_width()))
    pytest.importorskip("pillow_jxl", reason="needs the extra srup[jxl]")
    file = io.BytesIO()
    draw(24, 16).save(file, "JXL")
    with pytest.raises(ReadError, match="RuntimeError"):
        read_image(io.BytesIO(file.getvalue()[:100]))


@pytest.mark.parametrize("name", ["bad.jxl", "bad.tif"])
def test_files_that_were_found_by_attack(name: str, shared: Path) -> None:
    if not (shared / "hostile").is_dir():
        pytest.skip(f"needs {shared / 'hostile'}")
    with pytest.raises(ImageError, match=r"damaged or cut short|needs an extra"):
        read_image(shared / "hostile" / name)

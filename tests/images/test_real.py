"""Files of other programs, enlarged by `srup upscale` and examined with other programs.

`pytest -m slow -k real -s` prints what these report.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from srup.cli import run
from srup.images import sixteen_bit
from tests.data.real import make, missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"needs {', '.join(missing())}"),
    pytest.mark.skipif(not sixteen_bit.available(), reason="needs pyvips"),
]
PHONE = {
    "IFD0:Orientation": "Horizontal (normal)",
    "XMP-tiff:Orientation": "Horizontal (normal)",
    "IFD0:Artist": "Ána",
    "IFD0:XResolution": "300",
    "ExifIFD:DateTimeOriginal": "2024:05:06 07:08:09",
    "GPS:GPSLatitude": "48 deg 12' 0.00\"",
    "XMP-dc:Title": "A title",
    "IPTC:Caption-Abstract": "A caption",
    "ICC_Profile:ProfileDescription": "sP3C",  # Display P3
    "IFD1:ThumbnailOffset": "-",
}


@dataclass(frozen=True)
class Expected:
    """What `identify` and ExifTool report of the result."""

    format: str = "PNG"
    depth: int = 8
    space: str = "sRGB"
    size: str = "192x144"
    pages: int = 1
    alike: float = 20.5  # dB of PSNR to ImageMagick's enlargement, at least; 0: not compared
    tags: Mapping[str, str] = field(default_factory=dict)


PNG_DPI = {"PNG-pHYs:PixelsPerUnitX": "11811"}
EXPECTED = {
    **{
        f"phone{turn}.jpg": Expected(size="192x144" if turn < 5 else "144x192", tags=PHONE)
        for turn in range(1, 9)
    },
    "grey.jpg": Expected(space="Gray"),
    "progressive.jpg": Expected(),
    "subsampled.jpg": Expected(tags={"PNG-pHYs:PixelsPerUnitX": "2835"}),
    "cmyk.jpg": Expected(alike=18, tags={"ICC-header:ColorSpaceData": "RGB"}),
    "cmyk-plain.jpg": Expected(alike=18),
    "cmyk.tif": Expected("TIFF", alike=18, tags={"ICC-header:ColorSpaceData": "RGB"}),
    "rgb16.png": Expected(depth=16),
    "rgba16.png": Expected(depth=16, tags={"PNG:ColorType": "RGB with Alpha"}),
    "grey16.png": Expected(depth=16, space="Gray"),
    "greya16.png": Expected(depth=16, space="Gray", tags={"PNG:ColorType": "Grayscale with Alpha"}),
    "rgb16.tif": Expected(
        "TIFF", 16, tags={"IFD0:XResolution": "600", "IFD0:BitsPerSample": "16 16 16"}
    ),
    "rgba16.tif": Expected("TIFF", 16, tags={"IFD0:BitsPerSample": "16 16 16 16"}),
    "grey16.tif": Expected("TIFF", 16, "Gray"),
    "indexed.png": Expected(tags={"PNG:ColorType": "RGB with Alpha"}),
    "greya.png": Expected(space="Gray", tags={"PNG:ColorType": "Grayscale with Alpha"}),
    "bit.png": Expected(space="Gray", alike=16),
    "interlaced.png": Expected(),
    "fax.tif": Expected(
        "TIFF", space="Gray", alike=16, tags={"IFD0:XResolution": "204", "IFD0:YResolution": "196"}
    ),
    "pages.tif": Expected("TIFF", pages=3),
    "pages16.tif": Expected("TIFF", 16, pages=2),
    "tagged.tif": Expected(
        "TIFF",
        size="144x192",
        tags={
            **{tag: value for tag, value in PHONE.items() if "Orientation" not in tag},
            "ExifIFD:ComponentsConfiguration": "Y, Cb, Cr, -",
            "ExifIFD:ExifImageWidth": "144",
        },
    ),
    "frames.gif": Expected(tags={"PNG:AnimationFrames": "3", "PNG:AnimationPlays": "3"}),
    "cutout.gif": Expected(tags={"PNG:AnimationFrames": "3", "PNG:AnimationPlays": "inf"}),
    "frames.webp": Expected(tags={"PNG:AnimationFrames": "3", "PNG:AnimationPlays": "2"}),
    "frames.png": Expected(tags={"PNG:AnimationFrames": "3", "PNG:AnimationPlays": "2"}),
    "still.gif": Expected(),
    "old.bmp": Expected(tags=PNG_DPI),
    "lossless.webp": Expected(tags={"PNG:ColorType": "RGB with Alpha"}),
    "lossy.webp": Expected(),
    "photo.avif": Expected(),
    "photo.heic": Expected(),
    "photo.jxl": Expected(alike=0),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real") / "files"
    made = {path.name for path in make(folder)}
    assert made == {*EXPECTED, "truncated.jpg"}
    return folder


def printed(*words: str) -> str:
    """The output of a program, whatever its exit code."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


@pytest.mark.parametrize("name", EXPECTED)
def test_real_files(name: str, folder: Path, tmp_path: Path) -> None:
    expected = EXPECTED[name]
    out = tmp_path / f"out{'.tif' if expected.format == 'TIFF' else '.png'}"
    assert run(["upscale", str(folder / name), "-s", "2", "-o", str(out)]) == 0
    lines = printed("identify", "-format", "%m %wx%h %z-bit %[colorspace]\n", str(out)).splitlines()
    found = lines[0].split()
    print(f"\n{name}: identify: {lines[0]}{f' ({len(lines)} pages)' if len(lines) > 1 else ''}")
    assert len(lines) == expected.pages
    assert found[:3] == [expected.format, expected.size, f"{expected.depth}-bit"]
    assert found[3] == expected.space
    asked = [f"-{tag}" for tag in expected.tags]
    exiftool = printed("exiftool", "-f", "-S", *asked, str(out)).splitlines() if asked else []
    print("    exiftool:", "; ".join(exiftool))
    for (tag, value), line in zip(expected.tags.items(), exiftool, strict=True):
        assert line.split(": ", 1)[1] == value, tag
    assert "rror" not in printed("exiftool", "-Warning", "-Error", str(out))
    if expected.alike:
        own = str(tmp_path / "own.png")
        enlarge = ["-auto-orient", "-resize", "200%", "-colorspace", "sRGB"]
        printed("convert", f"{folder / name}[0]", *enlarge, own)
        alike = printed("compare", "-metric", "PSNR", f"{out}[0]", own, "null:")
        print(f"    compare with ImageMagick's enlargement: {alike} dB")
        assert float(alike.split()[0]) > expected.alike


def test_a_truncated_real_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out.png")
    assert run(["upscale", str(folder / "truncated.jpg"), "-s", "2", "-o", out]) == 1
    assert "damaged or cut short" in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()

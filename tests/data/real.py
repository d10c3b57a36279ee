"""Makes files as cameras, scanners and other programs write them, with ImageMagick, ExifTool,
libheif and libjxl.

`python -m tests.data.real FOLDER`; on Debian: apt-get install imagemagick libimage-exiftool-perl
libheif-examples libjxl-tools webp
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data.draw import draw

PROGRAMS = ("convert", "identify", "compare", "exiftool", "heif-enc", "cjxl", "img2webp")
TAGS = (
    "-Make=Maker",
    "-Model=Phone",
    "-Artist=Ána",
    "-DateTimeOriginal=2024:05:06 07:08:09",
    "-GPSLatitude=48.2",
    "-GPSLatitudeRef=N",
)
SIZES = (
    "-ExifImageWidth=96",
    "-ExifImageHeight=72",
    "-IFD0:XResolution=300",
    "-IFD0:YResolution=300",
    "-IFD0:ResolutionUnit=2",
)
XMP, IPTC = (
    ("-XMP-dc:Title=A title", "-XMP-tiff:ImageWidth=96"),
    ("-IPTC:Caption-Abstract=A caption", "-IPTC:Keywords=srup"),
)

# fmt: off
MADE = {  # name → how ImageMagick makes it of base.png, or of frames
    "grey.jpg": "base.png -colorspace gray -quality 92 {}",
    "progressive.jpg": "base.png -interlace JPEG -quality 92 {}",
    "subsampled.jpg": "base.png -sampling-factor 2x2 -quality 85 -density 72 -units PixelsPerInch {}",
    "cmyk.jpg": "base.png -profile srgb.icc -profile cmyk.icc -quality 92 {}",
    "cmyk-plain.jpg": "base.png -colorspace CMYK -quality 92 {}",
    "cmyk.tif": "base.png -profile srgb.icc -profile cmyk.icc -compress lzw {}",
    "rgb16.png": "base.png -depth 16 -evaluate add 0.3% -define png:color-type=2 -define png:bit-depth=16 {}",
    "rgba16.png": "alpha.png -depth 16 -evaluate add 0.3% -define png:color-type=6 -define png:bit-depth=16 {}",
    "grey16.png": "base.png -colorspace gray -depth 16 -evaluate add 0.3% -define png:color-type=0 -define png:bit-depth=16 {}",
    "greya16.png": "alpha.png -colorspace gray -depth 16 -evaluate add 0.3% -define png:color-type=4 -define png:bit-depth=16 {}",
    "rgb16.tif": "base.png -depth 16 -evaluate add 0.3% -compress lzw -density 600 -units PixelsPerInch {}",
    "rgba16.tif": "alpha.png -depth 16 -evaluate add 0.3% -compress zip {}",
    "grey16.tif": "base.png -colorspace gray -depth 16 -evaluate add 0.3% -compress none -endian MSB {}",
    "indexed.png": "alpha.png -channel A -threshold 50% +channel -colors 40 png8:{}",
    "greya.png": "alpha.png -colorspace gray -define png:color-type=4 {}",
    "bit.png": "base.png -colorspace gray -threshold 50% -define png:bit-depth=1 {}",
    "interlaced.png": "base.png -interlace PNG {}",
    "fax.tif": "base.png -colorspace gray -threshold 50% -compress group4 -density 204x196 -units PixelsPerInch {}",
    "pages.tif": "frame1.png frame2.png ( frame3.png -resize 50% ) -compress lzw {}",
    "pages16.tif": "( base.png ( base.png -flip ) -depth 16 -evaluate add 0.3% ) -compress zip {}",
    "frames.gif": "-delay 7 -loop 3 frame1.png frame2.png frame3.png -layers OptimizePlus {}",
    "cutout.gif": "-dispose background -delay 12 -loop 0 cut1.png cut2.png cut3.png {}",
    "still.gif": "base.png {}",
    "old.bmp": "base.png -density 300 -units PixelsPerInch BMP3:{}",
    "lossless.webp": "alpha.png -define webp:lossless=true {}",
    "lossy.webp": "base.png -quality 80 {}",
}
# fmt: on


def make(folder: Path) -> list[Path]:
    """The files, in `folder`; what they are made of lies beside them in `folder`/of."""
    parts = folder / "of"
    parts.mkdir(parents=True)
    _parts(parts)
    for name, words in MADE.items():
        _run(parts, "convert", *(word.replace("{}", str(folder / name)) for word in words.split()))
    _cameras(parts, folder)
    _run(parts, "heif-enc", "-q", "90", "base.png", "-o", str(folder / "photo.heic"))
    _run(parts, "heif-enc", "-A", "-q", "90", "base.png", "-o", str(folder / "photo.avif"))
    _run(parts, "cjxl", "base.png", str(folder / "photo.jxl"), "-d", "0.5")
    _run(
        parts,
        "img2webp",
        "-loop",
        "2",
        "-d",
        "80",
        "frame1.png",
        "-d",
        "120",
        "frame2.png",
        "frame3.png",
        "-o",
        str(folder / "frames.webp"),
    )
    whole = (folder / "progressive.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    return sorted(path for path in folder.iterdir() if path.is_file())


def _parts(parts: Path) -> None:
    import pyvips

    picture = draw(96, 72)
    picture.save(parts / "base.png")
    y, x = np.mgrid[:72, :96]
    alpha = np.clip(40 - np.hypot(x - 48, y - 36), 0, 1)
    Image.fromarray(np.dstack([np.asarray(picture), (alpha * 255).astype(np.uint8)])).save(
        parts / "alpha.png"
    )
    for number in (1, 2, 3):
        frame = np.asarray(picture).copy()
        frame[20:40, 20 * number : 20 * number + 15] = (220, 30, 30)
        Image.fromarray(frame).save(parts / f"frame{number}.png")
        cut = np.dstack([frame, np.where(np.hypot(x - 25 * number, y - 36) < 20, 255, 0)]).astype(
            np.uint8
        )
        Image.fromarray(cut).save(parts / f"cut{number}.png")
    for name in ("srgb", "p3", "cmyk"):
        (parts / f"{name}.icc").write_bytes(pyvips.Image.profile_load(name))


def _cameras(parts: Path, folder: Path) -> None:
    """A phone's JPEG in Display P3 held in each of eight ways, with a thumbnail; and one with all
    metadata; APNG.
    """
    _run(parts, "convert", "base.png", "-resize", "32x24", "thumb.jpg")
    for orientation in range(1, 9):
        path = folder / f"phone{orientation}.jpg"
        _run(
            parts,
            "convert",
            "base.png",
            "-strip",
            "-quality",
            "92",
            "-set",
            "profile:icc",
            "p3.icc",
            "-profile",
            "p3.icc",
            str(path),
        )
        tags = (
            *TAGS,
            *SIZES,
            *XMP,
            *IPTC,
            "-n",
            f"-Orientation={orientation}",
            f"-XMP-tiff:Orientation={orientation}",
        )
        _run(
            parts,
            "exiftool",
            "-q",
            "-overwrite_original",
            *tags,
            "-ThumbnailImage<=thumb.jpg",
            str(path),
        )
    tagged = folder / "tagged.tif"
    _run(parts, "convert", "base.png", "-compress", "lzw", "-profile", "p3.icc", str(tagged))
    _run(
        parts,
        "exiftool",
        "-q",
        "-overwrite_original",
        *TAGS,
        *SIZES,
        *XMP,
        *IPTC,
        "-n",
        "-Orientation=6",
        str(tagged),
    )
    frames = [Image.open(parts / f"frame{number}.png") for number in (1, 2, 3)]
    frames[0].save(
        folder / "frames.png",
        save_all=True,
        append_images=frames[1:],
        duration=[40, 80, 120],
        loop=2,
    )


def _run(folder: Path, *words: str) -> None:
    subprocess.run(words, cwd=folder, check=True, capture_output=True)


def missing() -> list[str]:
    return [program for program in PROGRAMS if not shutil.which(program)]


if __name__ == "__main__":
    for made in make(Path(sys.argv[1]).resolve()):
        print(made)

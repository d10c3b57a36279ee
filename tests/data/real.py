"""Makes image files like those of cameras and scanners, with other programs.

`python -m tests.data.real FOLDER` makes them. On Debian the programs come from the packages
imagemagick, libimage-exiftool-perl, libheif-examples, libjxl-tools and webp.
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
XMP = ("-XMP-dc:Title=A title", "-XMP-tiff:ImageWidth=96")
IPTC = ("-IPTC:Caption-Abstract=A caption", "-IPTC:Keywords=srup")

SIXTEEN_BIT = "-depth 16 -evaluate add 0.3%"  # values that 8 bits cannot hold
PNG16 = "-define png:bit-depth=16 -define png:color-type="
DPI = "-units PixelsPerInch -density"
# fmt: off
MADE = {  # name → arguments for ImageMagick, from base.png or frames; {} is the path of the result
    "grey.jpg": "base.png -colorspace gray -quality 92 {}",
    "progressive.jpg": "base.png -interlace JPEG -quality 92 {}",
    "subsampled.jpg": f"base.png -sampling-factor 2x2 -quality 85 {DPI} 72 {{}}",
    "cmyk.jpg": "base.png -profile srgb.icc -profile cmyk.icc -quality 92 {}",
    "cmyk-plain.jpg": "base.png -colorspace CMYK -quality 92 {}",
    "cmyk.tif": "base.png -profile srgb.icc -profile cmyk.icc -compress lzw {}",
    "rgb16.png": f"base.png {SIXTEEN_BIT} {PNG16}2 {{}}",
    "rgba16.png": f"alpha.png {SIXTEEN_BIT} {PNG16}6 {{}}",
    "grey16.png": f"base.png -colorspace gray {SIXTEEN_BIT} {PNG16}0 {{}}",
    "greya16.png": f"alpha.png -colorspace gray {SIXTEEN_BIT} {PNG16}4 {{}}",
    "rgb16.tif": f"base.png {SIXTEEN_BIT} -compress lzw {DPI} 600 {{}}",
    "rgba16.tif": f"alpha.png {SIXTEEN_BIT} -compress zip {{}}",
    "grey16.tif": f"base.png -colorspace gray {SIXTEEN_BIT} -compress none -endian MSB {{}}",
    "indexed.png": "alpha.png -channel A -threshold 50% +channel -colors 40 png8:{}",
    "greya.png": "alpha.png -colorspace gray -define png:color-type=4 {}",
    "bit.png": "base.png -colorspace gray -threshold 50% -define png:bit-depth=1 {}",
    "interlaced.png": "base.png -interlace PNG {}",
    "fax.tif": f"base.png -colorspace gray -threshold 50% -compress group4 {DPI} 204x196 {{}}",
    "pages.tif": "frame1.png frame2.png ( frame3.png -resize 50% ) -compress lzw {}",
    "pages16.tif": f"( base.png ( base.png -flip ) {SIXTEEN_BIT} ) -compress zip {{}}",
    "frames.gif": "-delay 7 -loop 3 frame1.png frame2.png frame3.png -layers OptimizePlus {}",
    "cutout.gif": "-dispose background -delay 12 -loop 0 cut1.png cut2.png cut3.png {}",
    "still.gif": "base.png {}",
    "old.bmp": f"base.png {DPI} 300 BMP3:{{}}",
    "lossless.webp": "alpha.png -define webp:lossless=true {}",
    "lossy.webp": "base.png -quality 80 {}",
}
# fmt: on


def make(folder: Path) -> list[Path]:
    """Makes the files in `folder` and returns their paths; their sources lie in its folder "of"."""
    parts = folder / "of"
    parts.mkdir(parents=True)
    _parts(parts)
    for name, words in MADE.items():
        _run(parts, "convert", *(word.replace("{}", str(folder / name)) for word in words.split()))
    _cameras(parts, folder)
    _run(parts, "heif-enc", "-q", "90", "base.png", "-o", str(folder / "photo.heic"))
    _run(parts, "heif-enc", "-A", "-q", "90", "base.png", "-o", str(folder / "photo.avif"))
    _run(parts, "cjxl", "base.png", str(folder / "photo.jxl"), "-d", "0.5")
    webp = ["-loop", "2", "-d", "80", "frame1.png", "-d", "120", "frame2.png", "frame3.png", "-o"]
    _run(parts, "img2webp", *webp, str(folder / "frames.webp"))
    whole = (folder / "progressive.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    return sorted(path for path in folder.iterdir() if path.is_file())


def _parts(parts: Path) -> None:
    """The pictures and profiles that all files are made of."""
    import pyvips

    picture = draw(96, 72)
    picture.save(parts / "base.png")
    y, x = np.mgrid[:72, :96]
    alpha = np.clip(40 - np.hypot(x - 48, y - 36), 0, 1)
    cutout = np.dstack([np.asarray(picture), (alpha * 255).astype(np.uint8)])
    Image.fromarray(cutout).save(parts / "alpha.png")
    for number in (1, 2, 3):
        frame = np.asarray(picture).copy()
        frame[20:40, 20 * number : 20 * number + 15] = (220, 30, 30)
        Image.fromarray(frame).save(parts / f"frame{number}.png")
        disc = np.where(np.hypot(x - 25 * number, y - 36) < 20, 255, 0)
        cut = np.dstack([frame, disc]).astype(np.uint8)
        Image.fromarray(cut).save(parts / f"cut{number}.png")
    for name in ("srgb", "p3", "cmyk"):
        (parts / f"{name}.icc").write_bytes(pyvips.Image.profile_load(name))


def _cameras(parts: Path, folder: Path) -> None:
    """JPEG files of a phone in all eight orientations, a TIFF with all metadata, and an APNG.

    The JPEG files are in Display P3 and have a thumbnail.
    """
    _run(parts, "convert", "base.png", "-resize", "32x24", "thumb.jpg")
    tag = ("exiftool", "-q", "-overwrite_original", *TAGS, *SIZES, *XMP, *IPTC, "-n")
    phone = ["-strip", "-quality", "92", "-set", "profile:icc", "p3.icc", "-profile", "p3.icc"]
    for orientation in range(1, 9):
        path = str(folder / f"phone{orientation}.jpg")
        _run(parts, "convert", "base.png", *phone, path)
        turns = (f"-Orientation={orientation}", f"-XMP-tiff:Orientation={orientation}")
        _run(parts, *tag, *turns, "-ThumbnailImage<=thumb.jpg", path)
    tagged = str(folder / "tagged.tif")
    _run(parts, "convert", "base.png", "-compress", "lzw", "-profile", "p3.icc", tagged)
    _run(parts, *tag, "-Orientation=6", tagged)
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
    """The programs of PROGRAMS that are not installed."""
    return [program for program in PROGRAMS if not shutil.which(program)]


if __name__ == "__main__":
    for made in make(Path(sys.argv[1]).resolve()):
        print(made)

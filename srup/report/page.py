"""A report as an HTML page: its table, and its pictures to compare.

`page.css`, `viewer.js` and `page.js` are copied into the page, which loads nothing from a network.
"""

from __future__ import annotations

import base64
import io
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from html import escape
from importlib import resources
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from PIL import ExifTags, ImageOps
from PIL import Image as Pillow

from srup.errors import AlreadyExists, InternalError, OutOfMemory, ReadError
from srup.files import placing, writing
from srup.images import open_image, read_image, to_pillow
from srup.images.codec_errors import codec_errors
from srup.printable import printable
from srup.report.rows import Picture, Report, Row, Value, shown

MEDIA_TYPES = {  # of images that browsers show: extension → media type
    "jpg": "jpeg",
    "jpeg": "jpeg",
    "png": "png",
    "webp": "webp",
    "avif": "avif",
    "gif": "gif",
}
# Modes that Pillow itself turns into colours; others, such as 16 bits, go through srup's reader.
EIGHT_BITS = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
THUMBNAIL = 320  # pixels a side at most
ELSEWHERE = ("{output} names another page", "{report_file} names another page")

T = TypeVar("T")

Put = Callable[[bytes, str], str]  # (bytes of an image, extension) → a URL
Link = Callable[[Path], str]  # an image file that browsers show → a URL

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="{policy}">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{css}</style>
</head>
<body>
<header><h1>{title}</h1></header>
<main>
{main}
</main>
<script type="application/json" id="rows">{data}</script>
<script>
{js}</script>
</body>
</html>
"""
POLICY = (
    "default-src 'none'; img-src data: file: 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


def embedded(report: Report) -> str:
    """The page as one file, its pictures in it as data URLs."""

    def link(path: Path) -> str:
        return _data_url(path.read_bytes(), path.suffix[1:].lower())

    return _page(report, _data_url, link)


@contextmanager
def pictures(folder: Path, *, overwrite: bool) -> Iterator[Put]:
    """Makes the folder for the pictures of a page, and yields what puts them there.

    If the block raises, what was new is removed again. Raises WriteError, and AlreadyExists if
    there is such a folder and it may not be used.
    """
    exists = folder.exists()
    if exists and not overwrite:
        about = f"{folder} exists, where the pictures of the page would go"
        raise AlreadyExists(about, "{overwrite} replaces it", *ELSEWHERE)
    with writing(folder):
        folder.mkdir(exist_ok=exists)
    made: list[Path] = []

    def put(data: bytes, extension: str) -> str:
        path = folder / f"{len(made) + 1:05}.{extension}"
        with placing(path, overwrite=overwrite) as temporary:
            temporary.write_bytes(data)
        made.append(path)
        return quote(os.fsencode(f"{folder.name}/{path.name}"))

    try:
        yield put
    except BaseException:
        if not exists:
            _remove_pictures(folder, made)
        raise


def _remove_pictures(folder: Path, made: Sequence[Path]) -> None:
    with suppress(OSError):  # others may have put files there too
        for path in made:
            path.unlink(missing_ok=True)
        folder.rmdir()


def beside(report: Report, folder: Path, put: Put) -> str:
    """The page with links to the pictures where they are.

    Thumbnails, and copies of pictures that browsers do not show, are `put` into `folder`.
    """

    def link(path: Path) -> str:
        try:
            relative = Path(os.path.relpath(path, folder.parent)).as_posix()
            return quote(os.fsencode(relative))  # bytes, for names that are not UTF-8
        except ValueError:  # on another drive of Windows
            return path.resolve().as_uri()

    return _page(report, put, link)


def weight(report: Report) -> int:
    """Bytes of all pictures of a report; one that no longer exists counts as 0."""
    paths = (picture.path for row in report.rows for picture in row.pictures)
    return sum(path.stat().st_size for path in paths if path.exists())


def _data_url(data: bytes, extension: str) -> str:
    return f"data:image/{MEDIA_TYPES[extension]};base64,{base64.b64encode(data).decode()}"


@contextmanager
def _large_allowed() -> Iterator[None]:
    """Silences Pillow's warnings at large images.

    It must be around everything, since the filters of warnings are shared by all threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
        yield


@_large_allowed()
def _page(report: Report, put: Put, link: Link) -> str:
    failed = [row for row in report.rows if row.error]
    compared = _compared(report, put, link)
    sections = [_summary(report), _failures(failed)]
    if len(compared) > 1:
        sections.append(_thumbnails(report, compared, put))
    if compared:
        sections.append(_viewer(single=len(compared) == 1))
    sections += [f'<figure class="plot">{figure}</figure>' for figure in report.figures]
    if report.columns:
        sections.append(_table(report))
    sections.append("".join(f'<p class="note">{_shown(note)}</p>' for note in report.notes))
    data = json.dumps([each.data for each in compared])
    return PAGE.format(
        policy=POLICY,
        title=_shown(report.title),
        css=asset("page.css"),
        js=asset("viewer.js") + asset("page.js"),
        main="\n".join(section for section in sections if section),
        data=data.replace("<", "\\u003c"),  # so that no name can end the script element
    )


@dataclass(frozen=True)
class _Compared:
    """A row with pictures: its thumbnail as WebP, and what `viewer.js` shows of it."""

    row: Row
    thumbnail: bytes
    data: dict[str, object]


def _compared(report: Report, put: Put, link: Link) -> list[_Compared]:
    """The rows with pictures, all of which can still be read."""

    def thumbnail(row: Row) -> bytes | None:
        return _if_readable(lambda: _thumbnail(_smallest_sufficient(row.pictures)))

    rows = [row for row in report.rows if _comparable(row)]
    with ThreadPoolExecutor() as pool:
        thumbnails = list(pool.map(thumbnail, rows))
    found = []
    for row, small in zip(rows, thumbnails, strict=True):
        data = _if_readable(partial(_row_data, report, row, put, link))
        if small is not None and data is not None:
            found.append(_Compared(row, small, data))
    return found


def _comparable(row: Row) -> bool:
    """Whether a row has pictures, and the files of all of them still begin as such."""
    return bool(row.pictures) and all(_size(picture.path) for picture in row.pictures)


def _if_readable(make: Callable[[], T]) -> T | None:
    """What is made of a picture; None if that cannot be read any more, whatever decoders raise."""
    try:
        with codec_errors(ReadError, "cannot read a picture"):
            return make()
    except (ReadError, InternalError, OutOfMemory, OSError):
        return None


def _shown(text: str) -> str:
    return escape(printable(text))


@cache
def asset(name: str) -> str:
    """A file that is copied into pages: "viewer.js", "page.css"."""
    return resources.files("srup.report").joinpath(name).read_text(encoding="utf-8")


def _summary(report: Report) -> str:
    pairs = [f"<div><dt>{_shown(name)}<dd>{_shown(text)}</div>" for name, text in report.summed_up]
    return f'<dl class="summary">{"".join(pairs)}</dl>' if pairs else ""


def _failures(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    items = "".join(f"<li><b>{_shown(row.name)}</b> {_shown(row.error or '')}</li>" for row in rows)
    return f'<section class="failures"><h2>{len(rows)} failed</h2><ul>{items}</ul></section>'


def _thumbnails(report: Report, compared: Sequence[_Compared], put: Put) -> str:
    """A button for each row, with its smallest sufficient picture."""
    items = []
    for number, each in enumerate(compared):
        row, url = each.row, put(each.thumbnail, "webp")
        caption = f"<b>{_shown(row.name)}</b> <span>{_shown(_line(report, row.values))}</span>"
        picture = f'<img loading="lazy" decoding="async" alt="" src="{url}">'
        attributes = f'type="button" class="thumbnail" data-row="{number}"'
        items.append(f"<button {attributes}>{picture}{caption}</button>")
    return f'<section class="thumbnails" aria-label="Images">{"".join(items)}</section>'


def _smallest_sufficient(pictures: Sequence[Picture]) -> Path:
    """The smallest picture that is no smaller than a thumbnail: the quickest to read."""

    def longer_side(picture: Picture) -> int:
        return max(_size(picture.path) or (0, 0))

    by_size = sorted(pictures, key=longer_side)
    for picture in by_size:
        if longer_side(picture) >= THUMBNAIL:
            return picture.path
    return by_size[-1].path


def _thumbnail(path: Path) -> bytes:
    """A small version of a picture as WebP, upright."""
    with open_image(path) as opened:
        opened.draft("RGB", (THUMBNAIL, THUMBNAIL))  # lets JPEG be decoded at a fraction
        if opened.mode in EIGHT_BITS:
            upright = ImageOps.exif_transpose(opened)
        else:
            upright = to_pillow(read_image(path).eight())
        upright.thumbnail((THUMBNAIL, THUMBNAIL))
        mode = "RGBA" if upright.has_transparency_data else "RGB"
        profile = opened.info.get("icc_profile")
        data = io.BytesIO()
        upright.convert(mode).save(data, "WEBP", quality=82, method=2, icc_profile=profile)
    return data.getvalue()


def _size(path: Path) -> tuple[int, int] | None:
    """(width, height) upright, from the file's header; None if it cannot be read any more."""
    return _if_readable(partial(_size_in_header, path))


def _size_in_header(path: Path) -> tuple[int, int]:
    with open_image(path) as opened:
        # Asked for the Exif data of a PNG that has none, Pillow would decode all of it.
        known = opened.format != "PNG" or "exif" in opened.info
        turned = known and opened.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        return (opened.height, opened.width) if turned else opened.size


def _row_data(report: Report, row: Row, put: Put, link: Link) -> dict[str, object]:
    """What `page.js` shows of a row."""
    pictures = [_picture_data(report, picture, put, link) for picture in row.pictures]
    return {"name": printable(row.name), "pictures": pictures}


def _picture_data(report: Report, picture: Picture, put: Put, link: Link) -> dict[str, object]:
    width, height = _size(picture.path) or (1, 1)
    if picture.path.suffix[1:].lower() in MEDIA_TYPES:
        url = link(picture.path)
    else:
        url = put(png_of(picture.path), "png")
    return {
        "name": printable(picture.name),
        "line": _line(report, picture.values),
        "width": width,
        "height": height,
        "src": url,
    }


def png_of(path: Path) -> bytes:
    """A picture that browsers do not show, as PNG of 8 bits."""
    data = io.BytesIO()
    to_pillow(read_image(path).eight()).save(data, "PNG", compress_level=4)
    return data.getvalue()


def _line(report: Report, values: Mapping[str, Value]) -> str:
    """Values in one line, as in "PSNR 28.61 · SSIM 0.7813 · seconds 0.8"."""
    parts = []
    for column, value in values.items():
        if value is not None:
            text = shown(value, report.formats.get(column, ""))
            parts.append(text if isinstance(value, str) else f"{column} {text}")
    return " · ".join(parts)


def _viewer(*, single: bool) -> str:
    """Where `viewer.js` compares pictures: in the page, or in a dialog opened from a thumbnail."""
    inside = '<div class="viewer" id="viewer"></div>'
    if single:
        return f'<section class="single">{inside}</section>'
    return f'<dialog class="large">{inside}</dialog>'


def _table(report: Report) -> str:
    """The table without the column "error", since `_failures` shows errors above."""
    columns = [column for column in report.columns if column != "error"]
    kinds = ["", *(" class=number" if report.numeric(column) else "" for column in columns)]
    heads = _cells("th", kinds, [report.heading, *columns])
    lines = []
    for row in report.lines:
        failed = " class=failed" if row.error else ""
        lines.append(f"<tr{failed}>{_cells('td', kinds, report.cells(row))}")
    table = f"<table><thead><tr>{heads}<tbody>{''.join(lines)}</table>"
    return f'<div class="scroll" tabindex="0">{table}</div>'


def _cells(tag: str, kinds: Sequence[str], texts: Sequence[str]) -> str:
    """Cells of a row; texts without a kind, which is the error, are left out."""
    pairs = zip(kinds, texts, strict=False)
    return "".join(f"<{tag}{kind}>{_shown(text)}" for kind, text in pairs)

"""Results as a file for others: rows → CSV, JSON, Markdown, or a page of HTML with pictures to compare.

write(Report("My images", [Row("a.png", {"seconds": 1.2}, pictures=(Picture("before", a), Picture("after", b)))]), Path("my.html"))
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from srup.errors import UsageError
from srup.files import check_folder, replacing
from srup.report import page
from srup.report.rows import (
    Picture,
    Report,
    Row,
    Value,
    as_csv,
    as_json,
    as_markdown,
    facts,
    plain,
    shown,
)

__all__ = [
    "REPORT_FORMATS",
    "Picture",
    "Report",
    "Row",
    "Value",
    "check",
    "facts",
    "plain",
    "shown",
    "text",
    "write",
]

REPORT_FORMATS: dict[str, Callable[[Report], str]] = {  # name, which is the extension too
    "html": page.embedded,
    "csv": as_csv,
    "json": as_json,
    "md": as_markdown,
}
EMBEDDED = 48 << 20  # bytes of pictures that a page holds; beyond, they are files beside it


def check(path: Path) -> str:
    """The format that a file name asks for. Raises UsageError if there is none of that name, WriteError if it cannot be written.

    Better known before the work than after it.
    """
    name = _format(path)
    check_folder(path)
    return name


def _format(path: Path) -> str:
    extension = path.suffix[1:].lower()
    name = {"htm": "html", "markdown": "md"}.get(extension, extension)
    if name not in REPORT_FORMATS:
        raise UsageError(
            f"{path} names no format of report; end it in {', '.join(f'.{name}' for name in REPORT_FORMATS)}"
        )
    return name


def text(report: Report, name: str) -> str:
    """The report in a format of the table, as one text."""
    return REPORT_FORMATS[name](report)


def write(report: Report, path: Path, *, limit: int = EMBEDDED) -> None:
    """Writes the report in the format its extension names; the file appears whole or not at all.

    A page holds its pictures where they come to no more than `limit` bytes. Beyond that it shows thumbnails from a folder
    NAME_files beside it, and pictures from where they lie. Raises UsageError, WriteError.
    """
    name = _format(path)
    with replacing(path) as temporary:
        if name == "html" and page.weight(report) > limit:
            written = page.beside(report, path.with_name(f"{path.stem}_files"))
        else:
            written = text(report, name)
        temporary.write_text(written, encoding="utf-8")

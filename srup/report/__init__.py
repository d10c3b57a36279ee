"""Reports: results as rows, written as CSV, JSON, Markdown, or an HTML page that compares pictures.

pictures = (Picture("before", before), Picture("after", after))
report = Report("My images", [Row("a.png", {"seconds": 1.2}, pictures=pictures)])
write(report, Path("my.html"))
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from srup.errors import UsageError
from srup.files import check_folder, placing
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
    "places",
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
OTHER_EXTENSIONS = {"htm": "html", "markdown": "md"}
EMBEDDED = 48 << 20  # bytes of pictures that a page holds; beyond, they are files beside it


def check(path: Path) -> str:
    """Checks before any work that a report can be written to `path`; the format it asks for.

    Raises UsageError if the extension is that of no report, WriteError if no file can be created.
    """
    name = _format(path)
    check_folder(path)
    return name


def _format(path: Path) -> str:
    extension = path.suffix[1:].lower()
    name = OTHER_EXTENSIONS.get(extension, extension)
    if name not in REPORT_FORMATS:
        known = ", ".join(f".{name}" for name in REPORT_FORMATS)
        raise UsageError(f"{path} names no format of report; end it in {known}")
    return name


def text(report: Report, name: str) -> str:
    """The report as text in one of `REPORT_FORMATS`."""
    return REPORT_FORMATS[name](report)


def places(path: Path) -> tuple[Path, ...]:
    """What a report may consist of: its file, and for a page the folder NAME_files beside it.

    Raises UsageError if the extension is that of no report.
    """
    return (path, _files_folder(path)) if _format(path) == "html" else (path,)


def _files_folder(path: Path) -> Path:
    return path.with_name(f"{path.stem}_files")


def write(
    report: Report, path: Path, *, limit: int = EMBEDDED, overwrite: bool = True
) -> tuple[Path, ...]:
    """Writes the report in the format that its extension names; the file appears whole or not.

    A page holds its pictures if they come to no more than `limit` bytes. Beyond that it shows
    thumbnails from a folder NAME_files beside it, and links to the pictures where they are.
    Returns what was written: the file, and that folder. Raises UsageError, WriteError, and
    AlreadyExists if one of them is there and may not be replaced.
    """
    name, folder = _format(path), _files_folder(path)
    if name == "html" and page.weight(report) > limit:
        with page.pictures(folder, overwrite=overwrite) as put:
            _write_text(page.beside(report, folder, put), path, overwrite=overwrite)
        return path, folder
    _write_text(text(report, name), path, overwrite=overwrite)
    return (path,)


def _write_text(written: str, path: Path, *, overwrite: bool) -> None:
    with placing(path, overwrite=overwrite) as temporary:
        # a name that is not UTF-8 holds surrogates, which UTF-8 has no bytes for
        temporary.write_text(written, encoding="utf-8", errors="backslashreplace")

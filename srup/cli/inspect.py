"""srup inspect: what kind of picture is this?"""

from __future__ import annotations

from collections.abc import Sequence

import click

from srup.batch.planning import find
from srup.cli import completion, console, options
from srup.cli.commands import Command
from srup.cli.failures import OF_ONE_IMAGE, failures_as_rows
from srup.images import Compression, Image, Pages, provenance, read_pages
from srup.images.colours import name_of
from srup.models.inspect import Inspection, inspection_of
from srup.pipeline import STANDARD, fetched
from srup.printable import printable
from srup.report import Report, Row, Value
from srup.storage import Entry

NAMES = {"webp": "WebP", "jxl": "JPEG XL"}  # of formats that are not written in capitals
COLUMN_FORMATS = {"blockiness": ".2f", "noise": ".1f"}
NOTES = (
    "Quality is what the file says; traces is the quality of the coarsest JPEG compression that "
    "the pixels show; noise is σ in units of 255; exif, xmp and iptc are bytes.",
)
AGAIN = 3  # a difference of qualities that tells of an earlier compression


@click.command("inspect", cls=Command)
@click.argument(
    "inputs", nargs=-1, required=True, metavar="INPUT...", shell_complete=completion.files
)
@click.option("-r", "--recursive", is_flag=True, help="Take all below the folders.")
@options.max_pixels
@options.report_output
def command(
    inputs: tuple[str, ...],
    recursive: bool,
    max_pixels: int,
    report_output: console.ReportOutput,
) -> int:
    """Say what kind of pictures these are: how compressed, how noisy, enlarged before.

    Further lines say what came with a picture, such as EXIF or a colour profile, and of results of
    srup what made them. INPUT are files, folders, globs, or - for standard input. Of several pages
    or frames the first is inspected.

    \b
    srup inspect photo.jpg
    srup inspect -r photos/ --json
    """
    console.start_logging(False)
    rows: list[Row] = []
    sources = _found(inputs, recursive, rows)
    with console.progress("inspecting") as progress:
        for done, source in enumerate(sources, 1):
            with failures_as_rows(rows, source.path, caught=OF_ONE_IMAGE):
                pages = _read(source, max_pixels)
                found = inspection_of(pages)
                rows.append(Row(source.path, {**_values(found), **_carried(pages)}))
                if not report_output.printed:
                    click.echo("\n  ".join(_lines(source.path, found, pages)))
            progress(done, len(sources))
    _report(rows, report_output)
    return 1 if any(row.error for row in rows) else 0


def _report(rows: Sequence[Row], report_output: console.ReportOutput) -> None:
    """Prints or writes what was found, as was asked, and tells what failed."""
    report = Report("Pictures inspected", rows, NOTES, COLUMN_FORMATS, heading="image")
    if report_output.printed:
        report_output.show(report)
        return
    report_output.write(report)
    for row in rows:
        if row.error:
            console.error(row.error)


def _found(inputs: Sequence[str], recursive: bool, rows: list[Row]) -> list[Entry]:
    """The images among the inputs; what does not exist becomes a row."""
    found: dict[str, Entry] = {}  # by path, so that what is given twice is inspected once
    for place in inputs:
        if place == STANDARD:
            found[place] = Entry(place, place)
            continue
        with failures_as_rows(rows, place, caught=OF_ONE_IMAGE):
            found |= {each.path: each for each in find([place], recursive=recursive)}
    return list(found.values())


def _read(source: Entry, max_pixels: int) -> Pages:
    with fetched(source) as file:
        return read_pages(file, max_pixels=max_pixels)


def _values(found: Inspection) -> dict[str, Value]:
    """What was found, by column; None for what could not be told."""
    compression = found.compression or Compression("unknown")
    width, height = found.size
    return {
        "kind": found.kind,
        "width": width,
        "height": height,
        "format": compression.format,
        "lossy": compression.lossy,
        "quality": compression.quality,
        "chroma": compression.chroma,
        "traces": found.traces,
        "blockiness": found.blockiness,
        "noise": found.noise,
        "enlarged": found.enlarged,
    }


def _carried(pages: Pages) -> dict[str, Value]:
    """What came with the first picture, by column; None for what did not."""
    image = pages.images[0]
    columns: dict[str, Value] = {
        "pages": len(pages),
        "animated": pages.animated,
        "bits": image.depth,
        "transparency": image.alpha is not None,
        "profile": name_of(image.icc) if image.icc else None,
        "exif": len(image.exif or b""),
        "xmp": len(image.xmp or b""),
        "iptc": len(image.iptc or b""),
        "texts": len(image.text),
        "dpi": _density(image),
    }
    made = image.provenance.facts if image.provenance else {}
    for name in provenance.NAMES:
        columns[_column(name)] = made.get(name)
    return columns


def _column(name: str) -> str:
    """Where what made a picture is shown: "srup" is the version."""
    return "srup" if name == "Version" else provenance.NAMES[name].replace("_", " ")


def _density(image: Image) -> str | None:
    """300, or 300×200 where it differs across and down."""
    if image.dpi is None:
        return None
    across, down = (f"{value:.5g}" for value in image.dpi)
    return across if across == down else f"{across}×{down}"


def _lines(name: str, found: Inspection, pages: Pages) -> list[str]:
    """What is to be said of a picture: a line, and one each for what came with it and what made it,
    if there is anything.
    """
    lines = [f"{name}: {', '.join(_words(found, pages))}"]
    image = pages.images[0]
    if carried := _carried_words(image):
        lines.append(f"with {', '.join(carried)}")
    if image.provenance:
        facts = image.provenance.facts.items()
        lines.append(f"made by {', '.join(f'{_column(name)} {value}' for name, value in facts)}")
    return list(map(printable, lines))


def _carried_words(image: Image) -> list[str]:
    """16 bits per channel, transparency, the profile Display P3, EXIF, XMP, 2 texts, 300 dpi"""
    words = [f"{image.depth} bits per channel"] if image.depth > 8 else []
    words += ["transparency"] if image.alpha is not None else []
    words += [f"the profile {name_of(image.icc)}"] if image.icc else []
    blocks = {"EXIF": image.exif, "XMP": image.xmp, "IPTC": image.iptc}
    words += [name for name, block in blocks.items() if block]
    if image.text:
        words.append(f"{len(image.text)} text{'s' if len(image.text) > 1 else ''}")
    return [*words, f"{_density(image)} dpi"] if image.dpi else words


def _words(found: Inspection, pages: Pages) -> list[str]:
    """photograph, 4000×3000, JPEG of quality about 60 (4:2:0), noise σ 3.1, not enlarged before"""
    words: list[str] = [found.kind] if found.kind else []
    words.append("{}×{}".format(*found.size))
    if len(pages) > 1:
        words.append(f"the first of {len(pages)} {'frames' if pages.animated else 'pages'}")
    if found.compression:
        words.append(_file(found.compression))
    words += _history(found)
    words.append("noise cannot be told" if found.noise is None else f"noise σ {found.noise:.1f}")
    if found.enlarged is not None:
        words.append("enlarged before or blurred" if found.enlarged else "not enlarged before")
    return words


def _file(compression: Compression) -> str:
    """JPEG of quality about 60 (4:2:0)"""
    text = NAMES.get(compression.format, compression.format.upper())
    if compression.quality is not None:
        text += f" of quality about {compression.quality}"
    elif compression.lossy is not None:
        text = f"{'lossy' if compression.lossy else 'lossless'} {text}"
    return f"{text} ({compression.chroma})" if compression.chroma else text


def _history(found: Inspection) -> list[str]:
    """What the pixels tell of an earlier compression that the file does not say."""
    said = found.compression.quality if found.compression else None
    if found.traces is not None and (said is None or found.traces < said - AGAIN):
        return [f"JPEG of quality about {found.traces} before"]
    # A lossy file may have blocks of its own.
    lossy = found.compression and found.compression.lossy
    return ["blocks of an earlier compression"] if found.blocky and not lossy else []

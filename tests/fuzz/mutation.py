"""Changes files as somebody would who knows how they are built, or not at all.

A file is taken apart into named blocks where its format is known: their lengths and checksums stay
right while what is in them changes, so that damage gets past the first look of a decoder. Numbers
that state sizes, offsets and counts are found too, and made wrong.
"""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from random import Random
from typing import Any

MOST = 1 << 20  # bytes of a case
MOST_SPANS = 3000
REPEATS = (1, 1, 1, 2, 5, 40)
CHANGES = (1, 1, 1, 2, 3, 8)
EDGES = (0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 127, 128, 254, 255, 256)
LONGER = (32_767, 32_768, 65_535, 65_536, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
TOKENS = (
    *(b"\0", b"\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xd9", b"\xff\xda", b"II*\0"),
    *(b"MM\0*", b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0\1\1", b"acsp"),
    *(b"8BIM\x04\x04\0\0", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT", b"tRNS", b"PLTE", b"iCCP"),
    *(b"zTXt", b"iTXt", b"tEXt", b"eXIf", b"cICP", b"ANMF", b"VP8 ", b"VP8L", b"VP8X", b"ALPH"),
    *(b"meta", b"iloc", b"ipma", b"ispe", b"irot", b"imir", b"colrnclx", b"mdat", b"jxlc", b"jxlp"),
    *(b"xml ", b"brob", b"<xmp:Thumbnails>", b"tiff:Orientation='9'", b"NETSCAPE2.0", b"P6\n9 9 "),
)


@dataclass(frozen=True)
class Span:
    """Bytes of a file from `start` to `end`. A number has an order of bytes, as `struct` writes it;
    what has none is a block.
    """

    start: int
    end: int
    order: str = ""


@dataclass(frozen=True)
class Block:
    """A named part of a file, without its length and checksum."""

    name: bytes
    data: bytes


Spans = Callable[[bytes], Iterator[Span]]
Split = Callable[[bytes], tuple[bytes, list[Block], bytes]]  # head, blocks, and what is behind
Join = Callable[[bytes, Sequence[Block], bytes], bytes]


def mutated(data: bytes, chance: Random, others: Sequence[bytes] = ()) -> bytes:
    """The bytes with one or several changes; `others` are files that parts may be taken from."""
    for _ in range(chance.choice(CHANGES)):
        change = chance.choices((_rebuilt, _restated, _disturbed), (5, 3, 2))[0]
        data = change(data, chance, others)[:MOST]
    return data


def _rebuilt(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """The file with blocks that were changed, moved, repeated, or that come from another file."""
    container = _container(data)
    if container is None:
        return _disturbed(data, chance, others)
    split, join = container
    head, blocks, rest = split(data)
    if not blocks:
        return _disturbed(data, chance, others)
    place = chance.randrange(len(blocks))
    block = blocks[place]
    kind = chance.randrange(10)
    if kind < 6:
        blocks[place] = replace(block, data=_changed_within(block, chance, others))
    elif kind == 6:
        del blocks[place]
    elif kind == 7:
        blocks[place:place] = [block] * chance.choice(REPEATS)
    elif kind == 8:
        blocks.insert(chance.randrange(len(blocks)), blocks.pop(place))
    else:
        blocks.insert(place, _foreign(blocks, chance, others))
    return join(head, blocks, rest)


def _changed_within(block: Block, chance: Random, others: Sequence[bytes]) -> bytes:
    """The data of a block, changed; what is compressed is changed inside, too."""
    if chance.random() < 0.5:
        for before in range(min(len(block.data), 24)):
            if block.data[before] == 0x78:  # begins a zlib stream
                with suppress(zlib.error):
                    inside = zlib.decompressobj().decompress(block.data[before:], MOST)
                    return block.data[:before] + zlib.compress(_altered(inside, chance), 1)
    if _container(block.data):
        return _rebuilt(block.data, chance, others)
    return _altered(block.data, chance)


def _altered(data: bytes, chance: Random) -> bytes:
    change = chance.choice((_restated, _disturbed))
    return change(data, chance, ())


def _foreign(blocks: Sequence[Block], chance: Random, others: Sequence[bytes]) -> Block:
    """A block of another file of the same kind, or one under another name."""
    if others:
        other = chance.choice(others)
        container = _container(other)
        if container:
            found = container[0](other)[1]
            if found:
                return chance.choice(found)
    return Block(chance.choice(blocks).name, chance.choice(blocks).data)


def _restated(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """The file with a number in it that is another."""
    numbers = [span for span in islice(_spans(data), MOST_SPANS) if span.order]
    if not numbers:
        return _disturbed(data, chance, others)
    span = chance.choice(numbers)
    bits = 8 * (span.end - span.start)
    order = "little" if span.order == "<" else "big"
    before = int.from_bytes(data[span.start : span.end], order)
    value = chance.choice(
        (
            *EDGES,
            *LONGER,
            before + 1,
            before - 1,
            before * 2,
            len(data),
            (1 << bits) - 1,
            1 << (bits - 1),
            chance.randrange(1 << bits),
            chance.randrange(len(data) + 1),
        )
    )
    return _put(data, span.start, (value % (1 << bits)).to_bytes(bits // 8, order))


def _disturbed(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """The file with bytes that were overwritten, cut, repeated or inserted, wherever that is."""
    spans = list(islice(_spans(data), MOST_SPANS))
    edges = [0, len(data), *(span.start for span in spans), *(span.end for span in spans)]
    place = chance.choice(edges) if chance.random() < 0.4 else chance.randrange(len(data) + 1)
    length = chance.choice((1, 1, 2, 4, 8, 64, max(len(data) // 4, 1)))
    kind = chance.randrange(8)
    if kind < 3:
        for _ in range(chance.choice(CHANGES)):
            at = min(place + chance.randrange(length), max(len(data) - 1, 0))
            data = _put(data, at, bytes((chance.randrange(256),)))
        return data
    if kind == 3:
        return data[:place]
    if kind == 4:
        return data[:place] + data[place + length :]
    if kind == 5:
        return data[:place] + data[place : place + length] * chance.choice(REPEATS) + data[place:]
    token = chance.choice(TOKENS) if not others or chance.random() < 0.7 else _slice(chance, others)
    return _put(data, place, token) if kind == 6 else data[:place] + token + data[place:]


def _slice(chance: Random, others: Sequence[bytes]) -> bytes:
    other = chance.choice(others)
    start = chance.randrange(len(other) + 1)
    return other[start : start + chance.choice((4, 16, 64, 1000))]


def _put(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


# Files that are taken apart


def _split_png(data: bytes) -> tuple[bytes, list[Block], bytes]:
    blocks, place = [], 8
    while place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        blocks.append(Block(name, data[place + 8 : place + 8 + length]))
        place += 12 + length
    return data[:8], blocks, data[place:]


def _join_png(head: bytes, blocks: Sequence[Block], rest: bytes) -> bytes:
    made = head
    for block in blocks:
        name = block.name[:4].ljust(4, b"x")
        checksum = struct.pack(">I", zlib.crc32(name + block.data))
        made += struct.pack(">I", len(block.data)) + name + block.data + checksum
    return made + rest


def _split_jpeg(data: bytes) -> tuple[bytes, list[Block], bytes]:
    blocks, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        name, length = data[place : place + 2], struct.unpack_from(">H", data, place + 2)[0]
        blocks.append(Block(name, data[place + 4 : place + 2 + length]))
        place += 2 + max(length, 2)
        if name == b"\xff\xda":
            break
    return data[:2], blocks, data[place:]


def _join_jpeg(head: bytes, blocks: Sequence[Block], rest: bytes) -> bytes:
    segments = []
    for block in blocks:
        length = struct.pack(">H", min(len(block.data) + 2, 0xFFFF))
        segments.append(block.name[:2].ljust(2, b"\xfe") + length + block.data[:0xFFFD])
    return head + b"".join(segments) + rest


def _split_riff(data: bytes) -> tuple[bytes, list[Block], bytes]:
    blocks, place = [], 12
    while place + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, place)
        blocks.append(Block(name, data[place + 8 : place + 8 + length]))
        place += 8 + length + length % 2
    return data[:12], blocks, data[place:]


def _join_riff(head: bytes, blocks: Sequence[Block], rest: bytes) -> bytes:
    made = head[8:]
    for block in blocks:
        name, padding = block.name[:4].ljust(4), bytes(len(block.data) % 2)
        made += name + struct.pack("<I", len(block.data)) + block.data + padding
    made += rest
    return head[:4] + struct.pack("<I", len(made)) + made


BOXES = (b"meta", b"iprp", b"ipco", b"moov", b"trak", b"mdia", b"minf", b"stbl", b"iref", b"dinf")


def _split_boxes(data: bytes) -> tuple[bytes, list[Block], bytes]:
    """Boxes of ISO/IEC 14496-12, as AVIF, HEIC and JPEG XL have them."""
    blocks, place = [], 0
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        if length < 8:
            break
        blocks.append(Block(name, data[place + 8 : place + length]))
        place += length
    return b"", blocks, data[place:]


def _join_boxes(head: bytes, blocks: Sequence[Block], rest: bytes) -> bytes:
    made = head
    for block in blocks:
        name = block.name[:4].ljust(4)
        made += struct.pack(">I", len(block.data) + 8) + name + block.data
    return made + rest


def _split_full_boxes(data: bytes) -> tuple[bytes, list[Block], bytes]:
    """The same behind four bytes of version and flags."""
    _, blocks, rest = _split_boxes(data[4:])
    return data[:4], blocks, rest


def _split_zip(data: bytes) -> tuple[bytes, list[Block], bytes]:
    """The entries of an archive, as torch.save makes it."""
    with suppress(Exception), zipfile.ZipFile(io.BytesIO(data)) as archive:  # damaged before
        names = archive.namelist()
        return b"", [Block(name.encode(), archive.read(name)) for name in names], b""
    return data, [], b""


def _join_zip(head: bytes, blocks: Sequence[Block], rest: bytes) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for block in blocks:
            archive.writestr(block.name.decode("latin-1")[:1000] or "x", block.data)
    return file.getvalue()


def _split_lines(data: bytes) -> tuple[bytes, list[Block], bytes]:
    return b"", [Block(b"", line) for line in data.splitlines()], b""


def _join_lines(head: bytes, blocks: Sequence[Block], rest: bytes) -> bytes:
    return b"".join(block.data + b"\n" for block in blocks)


def _split_safetensors(data: bytes) -> tuple[bytes, list[Block], bytes]:
    length = int.from_bytes(data[:8], "little")
    return b"", [Block(b"", data[8 : 8 + length])], data[8 + length :]


def _join_safetensors(head: bytes, blocks: Sequence[Block], rest: bytes) -> bytes:
    header = b"".join(block.data for block in blocks)
    return struct.pack("<Q", len(header)) + header + rest


def _container(data: bytes) -> tuple[Split, Join] | None:
    """How a file is taken apart and put together again; None if nobody knows."""
    if data.startswith(b"\x89PNG"):
        return _split_png, _join_png
    if data.startswith(b"\xff\xd8"):
        return _split_jpeg, _join_jpeg
    if data.startswith(b"RIFF"):
        return _split_riff, _join_riff
    if data[4:8] in (b"ftyp", b"JXL ", *BOXES) or data[4:8] in (b"hdlr", b"ispe", b"tkhd", b"infe"):
        return _split_boxes, _join_boxes
    if data[8:12] in (b"hdlr", b"pitm", *BOXES):
        return _split_full_boxes, _join_boxes
    if data.startswith(b"PK\x03\x04"):
        return _split_zip, _join_zip
    if data.startswith((b'{"', b"HTTP/")):
        return _split_lines, _join_lines
    if data[8:10] == b'{"':
        return _split_safetensors, _join_safetensors
    return None


# Numbers that state something


def _spans(data: bytes) -> Iterator[Span]:
    """The numbers and blocks that are known of a file, and of what is embedded in it."""
    for magic, spans in SPANS.items():
        if data.startswith(magic):
            yield from spans(data)
    if data[4:8] == b"ftyp":
        yield from _spans_of_boxes(data)
    for found in re.finditer(rb"II\*\0|MM\0\*|II\+\0", data):
        yield from _spans_of_tiff(data, found.start())
    profile = data.find(b"acsp") - 36
    if profile >= 0:
        yield from _spans_of_profile(data, profile)


def _spans_of_png(data: bytes) -> Iterator[Span]:
    place = 8
    while place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        yield Span(place, place + 4, ">")
        yield Span(place + 8, min(place + 8 + length, len(data)))
        if name in (b"IHDR", b"acTL", b"fcTL", b"pHYs", b"gAMA", b"cHRM"):
            for number in range(place + 8, min(place + 8 + length, len(data) - 4), 4):
                yield Span(number, number + 4, ">")
        place += 12 + length


def _spans_of_jpeg(data: bytes) -> Iterator[Span]:
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        (length,) = struct.unpack_from(">H", data, place + 2)
        yield Span(place + 2, place + 4, ">")
        yield Span(place + 4, min(place + 2 + length, len(data)))
        if data[place + 1] in (0xC0, 0xC1, 0xC2, 0xDA, 0xDB, 0xC4, 0xDD):
            for number in range(place + 4, min(place + 14, len(data))):
                yield Span(number, number + 1, ">")
            if place + 9 <= len(data):
                yield Span(place + 5, place + 7, ">")
                yield Span(place + 7, place + 9, ">")
        place += 2 + max(length, 2)


def _spans_of_riff(data: bytes) -> Iterator[Span]:
    place = 12
    while place + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, place)
        yield Span(place + 4, place + 8, "<")
        yield Span(place + 8, min(place + 8 + length, len(data)))
        if name in (b"VP8X", b"ANMF", b"VP8 ", b"VP8L", b"ANIM"):
            for number in range(place + 8, min(place + 24, len(data) - 3), 3):
                yield Span(number, number + 3, "<")
        place += 24 if name == b"ANMF" else 8 + length + length % 2


def _spans_of_boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Span]:
    place, end = start, len(data) if end is None else end
    while place + 8 <= end:
        length, name = struct.unpack_from(">I4s", data, place)
        yield Span(place, place + 4, ">")
        begin, last = place + 8, min(place + max(length, 8), end)
        yield Span(begin, last)
        if name in BOXES:
            yield from _spans_of_boxes(data, begin + 4 * (name in (b"meta", b"iref")), last)
        elif name in (b"ispe", b"iloc", b"stsz", b"stco", b"stts", b"tkhd", b"iinf", b"ipma"):
            for number in range(begin, min(last, begin + 64) - 1, 2):
                yield Span(number, number + 2, ">")
        place += max(length, 8)


def _spans_of_gif(data: bytes) -> Iterator[Span]:
    for number in (6, 8):
        yield Span(number, number + 2, "<")
    yield Span(10, 11, "<")
    for found in re.finditer(rb"[,!]", data):  # begins an image or an extension, or is a pixel
        yield from (Span(place, place + 2, "<") for place in range(found.end(), found.end() + 8, 2))


def _spans_of_bmp(data: bytes) -> Iterator[Span]:
    for number in range(2, min(54, len(data) - 3), 4):
        yield Span(number, number + 4, "<")
    for number in (26, 28):
        yield Span(number, number + 2, "<")


def _spans_of_tiff(data: bytes, at: int = 0) -> Iterator[Span]:
    """The entries of the directories of a TIFF structure that begins at a place."""
    order = "<" if data[at : at + 1] == b"I" else ">"
    with suppress(struct.error):
        (directory,) = struct.unpack_from(f"{order}L", data, at + 4)
        waiting, seen = [directory], set[int]()
        yield Span(at + 4, at + 8, order)
        while waiting and len(seen) < 20:
            directory = waiting.pop()
            if not directory or directory in seen:
                continue
            seen.add(directory)
            begin = at + directory
            (count,) = struct.unpack_from(f"{order}H", data, begin)
            yield Span(begin, begin + 2, order)
            for place in range(begin + 2, begin + 2 + 12 * min(count, 60), 12):
                tag, _, _, value = struct.unpack_from(f"{order}HHLL", data, place)
                for first, last in ((0, 2), (2, 4), (4, 8), (8, 10), (8, 12)):
                    yield Span(place + first, place + last, order)
                if tag in (0x8769, 0x8825, 0x014A):
                    waiting.append(value)
            following = begin + 2 + 12 * count
            yield Span(following, following + 4, order)
            waiting.append(*struct.unpack_from(f"{order}L", data, following))


def _spans_of_profile(data: bytes, at: int) -> Iterator[Span]:
    """The size of a colour profile, and its table of tags."""
    yield Span(at, at + 4, ">")
    with suppress(struct.error):
        (count,) = struct.unpack_from(">L", data, at + 128)
        for place in range(at + 128, min(at + 132 + 12 * min(count, 40), len(data) - 3), 4):
            yield Span(place, place + 4, ">")


def _spans_of_numbers(data: bytes) -> Iterator[Span]:
    """Numbers in digits, which are changed like any other bytes."""
    for found in re.finditer(rb"\d+", data[:200]):
        yield Span(found.start(), found.end())


def _spans_of_zip(data: bytes) -> Iterator[Span]:
    for found in re.finditer(rb"PK[\1\3\5\7][\2\4\6\x08]", data):
        for number in range(found.end(), min(found.end() + 42, len(data) - 1), 2):
            yield Span(number, number + 2, "<")
        for number in range(found.end() + 2, min(found.end() + 42, len(data) - 3), 4):
            yield Span(number, number + 4, "<")


SPANS: dict[bytes, Spans] = {
    b"\x89PNG": _spans_of_png,
    b"\xff\xd8": _spans_of_jpeg,
    b"RIFF": _spans_of_riff,
    b"GIF8": _spans_of_gif,
    b"BM": _spans_of_bmp,
    b"P": _spans_of_numbers,
    b"PK": _spans_of_zip,
}


# Values and texts


def in_json(value: Any, chance: Random) -> Any:
    """A value of JSON with something in it that is another."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        kind = chance.randrange(8)
        changed = dict(value)
        if kind == 0:
            del changed[key]
        elif kind == 1:
            changed[chance.choice(STRINGS)] = changed.pop(key)
        else:
            changed[key] = in_json(value[key], chance)
        return changed
    if isinstance(value, list) and value and chance.random() < 0.6:
        place = chance.randrange(len(value))
        return [*value[:place], in_json(value[place], chance), *value[place + 1 :]]
    return chance.choice((*VALUES, *STRINGS, [value], {"name": value}, [[value]], value))


def json_line(line: bytes, chance: Random) -> bytes:
    """A line of JSON with another value in it; bytes are disturbed where it is no JSON."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return _disturbed(line, chance, ())
    return json.dumps(in_json(value, chance)).encode()


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 255, 65_536, 1 << 31, -(1 << 63), 1 << 64, 10**400),
    *(0.5, -0.0, 1e308, 1e-308, float("nan"), float("inf"), -float("inf"), [], {}, [[]], [[], {}]),
)
STRINGS: tuple[str, ...] = (
    *("", " ", ".", "..", "/", "a/b", "../../etc/passwd", "~", "-", "--help", "\0", "a\0b", "\n"),
    *("a\nb", "\r\n", "\t=1+1", "=cmd|' /C calc'!A0", "+1", "@x", "'", '"', "`", "$(id)", "%s%n"),
    *("{0}", "{tile=128}", "{", "}", "[bold red]", "[/]", "[/nothing]", ":cat:", "|", "\\|", "<"),
    *("<script>alert(1)</script>", "</script>", "<!--", "]]>", "&amp;", "&", "\x1b[2J", "\x7f"),
    *("\x9b31m", "\u202e\u2066", "\ud800", "\udcff", "ä", "\u0308", "\U0001f600", "日本", "\ufeff"),
    *("x" * 300, "x" * 5000, "a" * 255, "%", "%2e%2e", "http://[::1", "file:///etc/passwd", "NUL"),
    *("nan", "inf", "-inf", "1e999", "name", "status", "done", "data:text/html,x", "javascript:x"),
)

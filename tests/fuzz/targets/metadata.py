"""Sound pictures with metadata that was mutated: the picture is read and written, whatever it says.

A case is JSON: the metadata as Latin-1, the kind of the file that holds it, a number that decides
how, and the extension of the result. To refuse it is wrong, too.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import numpy as np
from PIL import PngImagePlugin

from srup.errors import SrupError
from srup.images import metadata, read_pages
from tests.fuzz import seeds
from tests.fuzz.mutation import STRINGS, mutated
from tests.fuzz.seeds import EXIF, HEIGHT, LONG, SHORT, UNDEFINED, WIDTH
from tests.fuzz.targets import read, write

Blocks = Mapping[str, bytes]  # name of a kind of metadata → its bytes

LOSSLESS = (b"\x89PNG", b"II*\0")
HOSTILE = 40  # in how many cases one is a block that is made to take long
KEYWORDS = ("Title", "Comment", "XML:com.adobe.xmp", "exif", "dpi", "transparency", "icc_profile")


def make(chance: Random) -> bytes:
    blocks = {name: block() for name, block in seeds.BLOCKS.items()}
    for name in chance.sample(list(blocks), chance.randint(1, 2)):
        blocks[name] = mutated(blocks[name], chance)
    if not chance.randrange(HOSTILE):
        name, hostile = chance.choice(((("exif"), _circles), ("xmp", _unclosed)))
        blocks[name] = hostile(chance)
    for name in chance.sample(list(blocks), chance.randint(0, 2)):
        del blocks[name]
    told = {
        "blocks": {name: block.decode("latin-1") for name, block in blocks.items()},
        "container": chance.choice(list(CONTAINERS)),
        "number": chance.randrange(1 << 30),
        "extension": chance.choice(seeds.writable()),
    }
    return json.dumps(told).encode()


def run(case: bytes, folder: Path) -> None:
    told = json.loads(case)
    blocks = {name: block.encode("latin-1") for name, block in told["blocks"].items()}
    data = CONTAINERS[told["container"]](blocks, Random(told["number"]))
    source = folder / "case"
    source.write_bytes(data)
    try:
        pages = read_pages(source, max_pixels=read.MAX_PIXELS)
        source.unlink()
        read.check(pages)
        write.check_written(pages, folder / f"made{told['extension']}")
    except SrupError as error:
        raise AssertionError(f"a sound picture is refused: {error}") from error
    assert pages.images[0].size in ((WIDTH, HEIGHT), (HEIGHT, WIDTH)), pages.images[0].size
    if data.startswith(LOSSLESS):
        found, drawn = np.sort(pages.images[0].pixels, None), np.sort(seeds.picture(), None)
        assert np.array_equal(found, drawn), "other pixels than those of the picture"


def _circles(chance: Random) -> bytes:
    """EXIF whose directories refer to one another."""
    count = chance.choice((2, 5, 25, 60))
    size = 2 + 12 * count + 4
    block = b"II*\0" + struct.pack("<L", 8)
    for _ in range(count):
        places = [8 + size * chance.randrange(count) for _ in range(count)]
        rows = [struct.pack("<HHLL", EXIF, LONG, 1, place) for place in places]
        block += struct.pack("<H", count) + b"".join(rows) + struct.pack("<L", places[0])
    return b"Exif\0\0" + block


def _unclosed(chance: Random) -> bytes:
    """XMP of many elements that nothing closes, or of many numbers."""
    part = chance.choice((b"<xmp:Thumbnails>", b'tiff:ImageWidth = "9', b"<tiff:ImageWidth> 1 "))
    return part * chance.choice((10, 1000, 3000))


def _png(blocks: Blocks, chance: Random) -> bytes:
    info = PngImagePlugin.PngInfo()
    for _ in range(chance.randint(0, 3)):
        key = chance.choice((*KEYWORDS, *STRINGS)).encode("latin-1", "replace")[:79] or b"x"
        value = mutated(b"some text", chance)
        name = chance.choice((b"tEXt", b"zTXt", b"iTXt"))
        info.add(name, key + b"\0" * chance.choice((1, 1, 2, 5)) + value)
    if "xmp" in blocks:
        info.add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + blocks["xmp"])
    if "iptc" in blocks:
        text = blocks["iptc"].hex() if chance.random() < 0.7 else blocks["iptc"].decode("latin-1")
        info.add_text("Raw profile type iptc", f"\niptc\n {len(text)}\n{text}\n")
    if "exif" in blocks:
        info.add(b"eXIf", blocks["exif"].removeprefix(b"Exif\0\0"))
    density = struct.pack(">IIB", *chance.choices((0, 1, 11811, (1 << 32) - 1), k=2), 1)
    info.add(b"pHYs", density)
    return seeds.saved(seeds.picture(), "PNG", pnginfo=info, icc_profile=blocks.get("icc"))


def _jpeg(blocks: Blocks, chance: Random) -> bytes:
    segments = []
    if "exif" in blocks:
        segments.append((0xE1, blocks["exif"]))
    if "xmp" in blocks:
        segments.append((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + blocks["xmp"]))
    if "iptc" in blocks:
        name = b"Photoshop 3.0\0"
        segments.append((0xED, name + mutated(metadata.resources(blocks["iptc"]), chance)))
    if "icc" in blocks:
        segments.append((0xE2, b"ICC_PROFILE\0" + bytes((1, 1)) + blocks["icc"]))
    chance.shuffle(segments)
    made = b""
    for marker, data in segments:
        made += struct.pack(">BBH", 0xFF, marker, len(data[:65_533]) + 2) + data[:65_533]
    whole = seeds.saved(seeds.picture(), "JPEG")
    return whole[:2] + made + whole[2:]


def _webp(blocks: Blocks, chance: Random) -> bytes:
    return _with_pillow("WEBP", blocks)


def _avif(blocks: Blocks, chance: Random) -> bytes:
    try:
        return _with_pillow("AVIF", blocks, speed=10, quality=60)
    except Exception:  # Pillow looks into EXIF to turn the picture
        return _with_pillow("AVIF", {**blocks, "exif": b""}, speed=10, quality=60)


def _with_pillow(kind: str, blocks: Blocks, **options: int) -> bytes:
    names = {"exif": "exif", "xmp": "xmp", "icc_profile": "icc"}
    tagged = {name: blocks[own] for name, own in names.items() if blocks.get(own)}
    return seeds.saved(seeds.picture(), kind, **tagged, **options)


def _tiff(blocks: Blocks, chance: Random) -> bytes:
    """An uncompressed TIFF file, whose metadata lies behind its pixels."""
    pixels = np.asarray(seeds.picture()).tobytes()
    entries = {
        **{tag: _short(value) for tag, value in ((256, WIDTH), (257, HEIGHT), (259, 1), (262, 2))},
        258: (SHORT, 3, struct.pack("<3H", 8, 8, 8)),
        **{tag: _short(value) for tag, value in ((277, 3), (278, HEIGHT), (284, 1))},
        273: (LONG, 1, struct.pack("<L", 8)),
        279: (LONG, 1, struct.pack("<L", len(pixels))),
    }
    for tag, name in ((700, "xmp"), (33723, "iptc"), (34675, "icc")):
        if name in blocks:
            kind = chance.choice((UNDEFINED, UNDEFINED, 1, 2, 6))
            entries[tag] = (kind, len(blocks[name]), blocks[name])
    exif = blocks.get("exif", b"").removeprefix(b"Exif\0\0")
    place = 8 + len(pixels) + len(pixels) % 2
    # offsets count from the block's beginning, and so lead astray unless they are moved
    if exif:
        sub = int.from_bytes(exif[4:8], "little") if chance.random() < 0.5 else 8
        entries[chance.choice((EXIF, 0x8825, 0x014A))] = (LONG, 1, struct.pack("<L", place + sub))
    begin = place + len(exif) + len(exif) % 2
    head = b"II*\0" + struct.pack("<L", begin)
    body = (pixels.ljust(place - 8, b"\0") + exif).ljust(begin - 8, b"\0")
    return head + body + seeds.directory(entries, begin)


def _short(value: int) -> tuple[int, int, bytes]:
    return SHORT, 1, struct.pack("<H", value)


def _mpo(blocks: Blocks, chance: Random) -> bytes:
    """A photograph of a phone: a JPEG file with a second picture behind it."""
    others = [seeds.picture().resize((8, 8))]
    whole = seeds.saved(seeds.picture(), "MPO", save_all=True, append_images=others)
    exif = blocks.get("exif", b"")[:65_533]
    return whole[:2] + struct.pack(">BBH", 0xFF, 0xE1, len(exif) + 2) + exif + whole[2:]


CONTAINERS: dict[str, Callable[[Blocks, Random], bytes]] = {
    "png": _png,
    "jpeg": _jpeg,
    "webp": _webp,
    "avif": _avif,
    "tiff": _tiff,
    "mpo": _mpo,
}

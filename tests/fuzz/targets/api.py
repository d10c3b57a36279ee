"""Arguments of `srup.load`, of an Upscaler and of what reads and writes images.

A case is a call as JSON: the name of what is called, and its arguments; arrays are described.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image as Pillow

import srup
import srup.inference.engines.pytorch  # which takes longer than a case may
from srup.inference.target import target
from tests.fuzz import seeds
from tests.fuzz.mutation import STRINGS

NUMBERS = (1, 1.5, 2, 2.0, 2.1, 3, 3.999, 4, 7, 8, 31, 32)
ODD = (0, -1, 0.5, -0.0, 1e-9, 32.001, 33, 1e9, 1 << 63, 10**30, math.nan, math.inf, -math.inf)
SIDES = (1, 2, 3, 5, 8, 13, 24)
PLAIN_DTYPES = ("uint8", "uint8", "uint16")
DTYPES = (">u2", "bool", "int8", "int64", "float16", "float64", "object", "complex64", "S3")
DTYPES = (*DTYPES, "datetime64[s]", "u1,u1")
LAYOUTS = ("plain", "fortran", "reversed", "stepped", "broadcast", "read-only", "subclass")
SIZES = (1, 2, 9, 24, 40)
ODD_SIZES = (0, -1, 10**9, 10**18, 1.5, math.nan)
MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB")
MODES = (*MODES, "HSV", "I", "F", "I;16", "I;16B")
RARELY = 0.1

Call = dict[str, Any]


def make(chance: Random) -> bytes:
    name = chance.choice(list(CALLS))
    return json.dumps({"call": name, **ARGUMENTS[name](chance)}).encode()


def _one(chance: Random, usual: Sequence[Any], odd: Sequence[Any]) -> Any:
    """One of the usual values, or rarely one that is odd."""
    return chance.choice(odd if chance.random() < RARELY else usual)


def _load(chance: Random) -> Call:
    usual = {
        "name": ("lite", "lite-photo"),
        "scale": NUMBERS,
        "device": ("auto", "cpu"),
        "engine": ("auto", "pytorch"),
        "precision": ("auto", "fp32", "bf16"),
        "tile": ("auto", "none", 16, 64, 1000),
        "tiling": ("exact", "acs"),
        "self_ensemble": (True, False),
        "strength": (0, 0.5, 1),
    }
    odd = {
        "name": ("auto", "bicubic", "imdn", "rdn"),
        "weights": ("missing.pth", "/", "/dev/zero", "case"),
        "device": ("cuda", "cuda:99", "meta", "mps"),
        "precision": ("fp16",),
        "tile": (0, -1, 10**30, True),
        "self_ensemble": (True,),
    }
    arguments = {"name": "lite"}
    for name in chance.sample(list(usual), chance.choice((1, 2, 3, 5))):
        arguments[name] = chance.choice(usual[name])
    if chance.random() < 0.4:
        name = chance.choice([*usual, "weights"])
        numbers = ODD if name in ("scale", "strength") else STRINGS
        arguments[name] = chance.choice((*odd.get(name, ()), *numbers))
    return {"arguments": arguments}


def _array(chance: Random) -> Call:
    dimensions = _one(chance, (2, 3), (0, 1, 4))
    shape = [_one(chance, SIDES, (0,)) for _ in range(dimensions)]
    if dimensions == 3:
        shape[2] = _one(chance, (1, 3, 4), (0, 2, 5))
    dtype = _one(chance, PLAIN_DTYPES, DTYPES)
    return {"shape": shape, "dtype": dtype, "layout": chance.choice(LAYOUTS)}


def _size(chance: Random) -> list[float] | None:
    if chance.random() < 0.5:
        return None
    return [_one(chance, SIZES, ODD_SIZES), _one(chance, SIZES, ODD_SIZES)]


def _enlarge(chance: Random) -> Call:
    scale = chance.choice((1, 1.5, 2, 4, 8))
    return {"array": _array(chance), "size": _size(chance), "scale": scale}


def _image(chance: Random) -> Call:
    """A Pillow image of any mode."""
    sides = [_one(chance, SIDES, (0,)), _one(chance, SIDES, (0,))]
    return {"mode": chance.choice(MODES), "sides": sides, "size": _size(chance)}


def _target(chance: Random) -> Call:
    pool = {
        "scale": (NUMBERS, ODD),
        "size": (("9x9", "9×9", "12x7"), ("0x0", "x", "1e3x2", "٣x٣", "9" * 5000 + "x1", *STRINGS)),
        "width": (SIZES, ODD_SIZES),
        "height": (SIZES, ODD_SIZES),
        "long_edge": (SIZES, ODD_SIZES),
        "megapixels": (NUMBERS, ODD),
        "fill": ((True,), (False,)),
        "stretch": ((True,), (False,)),
    }
    few = chance.sample(list(pool), chance.choice((1, 1, 2, 3)))
    arguments = {name: _one(chance, *pool[name]) for name in few}
    before = [chance.choice(SIDES), chance.choice((1, 7, 9999))]
    return {"arguments": arguments, "before": before}


def _write(chance: Random) -> Call:
    """An image with metadata of one's own, to a name of one's own."""
    names = [f"a{each}" for each in seeds.writable()]
    block = chance.choice((b"", b"II*\0", b"Exif\0\0", seeds.exif(), seeds.XMP, bytes(200)))
    few = chance.sample(("icc", "exif", "xmp", "iptc"), chance.randrange(3))
    odd = ([0, 0], [-1, 5], [1e300, 1e-300], [math.nan, math.inf])
    return {
        "path": _one(chance, names, ("a", "a.xyz", *STRINGS)),
        "quality": _one(chance, (None, 1, 80, 100), (0, -1, 101, 10**9)),
        "blocks": {name: block.decode("latin-1") for name in few},
        "dpi": _one(chance, (None, [300, 300]), odd),
        "depth": chance.choice((8, 16)),
    }


def made_array(told: Call) -> np.ndarray:
    """The array that a description tells of."""
    shape, dtype = tuple(told["shape"]), np.dtype(told["dtype"])
    values = np.zeros(shape, dtype)
    if dtype.kind in "ui":
        values = np.random.default_rng(0).integers(0, 120, shape).astype(dtype)
    layout = told["layout"]
    if layout == "fortran":
        return np.asfortranarray(values)
    if layout == "reversed" and values.ndim:
        return values[::-1]
    if layout == "stepped" and values.ndim > 1:
        return np.repeat(values, 2, 1)[:, ::2]
    if layout == "broadcast" and values.ndim and values.shape[0]:
        return np.broadcast_to(values[:1], shape)
    if layout == "read-only":
        values.flags.writeable = False
    if layout == "subclass" and values.ndim:
        return np.ma.masked_array(values, mask=False)
    return values


@functools.cache
def upscaler(scale: float) -> srup.Upscaler:
    return srup.load("lite", scale=scale)


def _call_load(told: Call, folder: Path) -> None:
    (folder / "case").write_bytes(b"no checkpoint")
    arguments = dict(told["arguments"])
    name = arguments.pop("name", "lite")
    enlarge = srup.load(name, **arguments)
    if enlarge.native and 0 < enlarge.scale <= 32:
        made = enlarge(np.full((5, 4, 3), 120, np.uint8))
        assert made.dtype == np.uint8 and made.ndim == 3


def _call_enlarge(told: Call, folder: Path) -> None:
    array = made_array(told["array"])
    size = None if told["size"] is None else tuple(told["size"])
    made = upscaler(told["scale"])(array, size=size)
    expected = size or tuple(math.floor(side * told["scale"] + 0.5) for side in array.shape[1::-1])
    assert made.shape[1::-1] == expected, f"{made.shape} of {array.shape}"
    assert made.dtype == array.dtype and made.shape[2:] == array.shape[2:]


def _call_image(told: Call, folder: Path) -> None:
    image = Pillow.new(told["mode"], tuple(told["sides"]))
    size = None if told["size"] is None else tuple(told["size"])
    made = upscaler(2)(image, size=size)
    assert made.size == (size or (image.width * 2, image.height * 2))


def _call_target(told: Call, folder: Path) -> None:
    before = tuple(told["before"])
    made = target(**told["arguments"])
    assert all(side >= 1 for side in made.size(before)), made.size(before)


def _call_write(told: Call, folder: Path) -> None:
    pixels = np.full((16, 24, 3), 120, np.uint8 if told["depth"] == 8 else np.uint16)
    blocks = {name: text.encode("latin-1") for name, text in told["blocks"].items()}
    dpi = tuple(told["dpi"]) if told["dpi"] else None
    image = srup.Image(pixels, dpi=dpi, **blocks)
    path = folder / told["path"].replace("/", "_")
    srup.write_image(image, path, quality=told["quality"])
    assert srup.read_image(path).size == (24, 16)


CALLS: dict[str, Callable[[Call, Path], None]] = {
    "load": _call_load,
    "enlarge": _call_enlarge,
    "image": _call_image,
    "target": _call_target,
    "write": _call_write,
}
ARGUMENTS: dict[str, Callable[[Random], Call]] = {
    "load": _load,
    "enlarge": _enlarge,
    "image": _image,
    "target": _target,
    "write": _write,
}


def run(case: bytes, folder: Path) -> None:
    told = json.loads(case)
    CALLS[told["call"]](told, folder)

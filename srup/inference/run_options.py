"""How networks are run: the options that every command which runs one shares with `srup.load`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Precision = Literal["auto", "fp32", "bf16", "fp16"]
EngineName = Literal["auto", "pytorch", "openvino"]
Tiling = Literal["exact", "acs"]
Tile = int | Literal["auto", "none"]  # a window's side in pixels, or how it is chosen

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
TILINGS: tuple[Tiling, ...] = get_args(Tiling)


@dataclass(frozen=True)
class RunOptions:
    """The keyword arguments of `srup.load` of the same names: how to compute, not what."""

    tile: Tile = "auto"
    tiling: Tiling = "exact"
    self_ensemble: bool = False
    device: str = "auto"
    engine: EngineName = "auto"
    precision: Precision = "auto"

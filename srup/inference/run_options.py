"""How networks are run: what every command that runs one takes, and hands down as it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunOptions:
    """The keyword arguments of `srup.load` of the same names."""

    tile: int | str = "auto"
    tiling: str = "exact"
    self_ensemble: bool = False
    device: str = "auto"
    engine: str = "auto"
    precision: str = "auto"

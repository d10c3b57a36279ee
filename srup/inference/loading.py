"""`load` makes an `Upscaler`: its route, verified weights, and an engine to run them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from srup.errors import UsageError
from srup.files import hashed
from srup.inference import engines
from srup.inference.arguments import check_kinds
from srup.inference.engines import Program
from srup.inference.run_options import (
    TILINGS,
    EngineName,
    Precision,
    RunOptions,
    Tile,
    Tiling,
)
from srup.inference.upscaler import Upscaler
from srup.models import registry, routing, weights
from srup.models.registry import Model
from srup.models.weights import verified
from srup.progress import Progress

DIGITS = 16  # of the digest by which a result names a checkpoint of the user's own


def load(
    name: str = registry.DEFAULT,
    *,
    scale: float | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    engine: EngineName = "auto",
    precision: Precision = "auto",
    tile: Tile = "auto",
    tiling: Tiling = "exact",
    self_ensemble: bool = False,
    strength: float = 1.0,
    progress: Progress | None = None,
) -> Upscaler:
    """An Upscaler for `scale`, its weights downloaded and verified if need be.

    `name` is that of a network, or the path of a checkpoint whose network is known. `scale` is 4
    where it is left out, or what the checkpoint can.
    A fixed-scale network asked for another scale runs the least chain of its own scales that
    suffices, and the result is resized down. `weights` is a checkpoint of one's own, for a network
    that needs no chain. `tile` is "auto", "none" or a window's side in pixels. `precision` is
    "fp32", "bf16", "fp16", or "auto": the fastest that costs no more than 0.01 dB on Set14, and
    float32 for images of 16 bits. `self_ensemble` takes the mean over eight orientations: eight
    times the work, about 0.1 dB. `strength`, 0 to 1, is how much of compression and noise
    "lite-photo" takes away. Raises UsageError for arguments of another type or out of range
    (UnknownModel, ScaleError, EngineUnavailable among them), and WeightsError.
    """
    check_kinds(name=name, weights=weights, device=device, engine=engine)
    check_kinds(precision=precision, tiling=tiling, self_ensemble=self_ensemble, strength=strength)
    if scale is None:
        scale = registry.natural_scale(name)
    check_kinds(scale=scale)
    route = routing.route(name, scale, own_weights=weights is not None, strength=strength)
    run_options = RunOptions(tile, tiling, self_ensemble, device, engine, precision)
    return _loaded(route, scale, weights, run_options, progress=progress)


def _loaded(
    route: Sequence[Model],
    scale: float,
    weights: str | Path | None,
    run_options: RunOptions,
    *,
    pixels: float = math.inf,
    progress: Progress | None = None,
) -> Upscaler:
    """An Upscaler of the networks of a route; `pixels` as in `engines.program`."""
    tile, tiling = run_options.tile, run_options.tiling
    if tiling not in TILINGS:
        raise UsageError(f"tiling {tiling!r} is neither of {' and '.join(TILINGS)}")
    if not (tile in ("auto", "none") or (isinstance(tile, int) and tile >= 1)):
        raise UsageError(f"tile {tile!r} is neither auto, none nor a number of pixels")
    if weights is not None and len(route) > 1:
        name = route[0].name
        raise UsageError(
            f"a file of weights holds one network, and ×{scale:g} takes {len(route)} with {name}",
            "ask for a smaller {scale}",
        )
    programs = []
    for model in route:
        made = engines.program(
            model,
            Path(weights) if weights else verified(model, progress=progress),
            engine=run_options.engine,
            device=run_options.device,
            precision=run_options.precision,
            pixels=pixels,
        )
        programs.append(made)
    own = hashed(Path(weights))[:DIGITS] if weights else ""
    return replace(_upscaler(route, programs, scale, run_options), weights=own)


def _upscaler(
    route: Sequence[Model], programs: Sequence[Program], scale: float, run_options: RunOptions
) -> Upscaler:
    return Upscaler(
        tuple(route),
        tuple(programs),
        scale,
        run_options.tile,
        run_options.tiling,
        run_options.precision,
        run_options.self_ensemble,
    )


class UpscalerCache:
    """Upscalers, each loaded once.

    Images of different sizes may need different scales of a network, and different kinds of images
    different networks.
    """

    def __init__(
        self, weights: str | Path | None = None, run_options: RunOptions | None = None
    ) -> None:
        self.weights, self.run_options = weights, run_options or RunOptions()
        self.ready: dict[tuple[tuple[str, int, float], ...], Upscaler] = {}

    def at_hand(self, route: Sequence[Model]) -> bool:
        """Whether nothing needs to be downloaded."""
        return self.weights is not None or all(map(weights.at_hand, route))

    def __call__(
        self,
        route: Sequence[Model],
        scale: float,
        *,
        pixels: float = math.inf,
        progress: Progress | None = None,
    ) -> Upscaler:
        """The upscaler of a route, loaded at its first use. Raises what `load` raises."""
        # many scales share a route: 2.5 and 3 are the same network
        key = tuple((row.name, row.scale, row.strength) for row in route)
        if key not in self.ready:
            self.ready[key] = _loaded(
                route, scale, self.weights, self.run_options, pixels=pixels, progress=progress
            )
        return replace(self.ready[key], scale=scale)

    def programs(self) -> list[Program]:
        """The programs of all upscalers that were loaded so far."""
        return [program for upscaler in self.ready.values() for program in upscaler.programs]

    def untrained(self, route: Sequence[Model], scale: float) -> Upscaler:
        """An upscaler without weights, for forecasts: it takes what a loaded one takes."""
        from srup.inference.engines.pytorch import program_of

        own, programs = self.run_options, []
        for row in route:
            network = registry.build(row)
            made = program_of(
                network, device=own.device, precision=own.precision, largest=row.largest
            )
            programs.append(made)
        return _upscaler(route, programs, scale, own)

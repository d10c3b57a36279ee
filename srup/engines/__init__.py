"""What computes the stages. An engine is a function from stages to stages, and a row here."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from srup.errors import EngineUnavailable
from srup.networks.stages import Stage

Engine = Callable[..., list[Stage]]

ENGINES = {"pytorch": "srup.engines.pytorch:stages_on"}  # name → module:function


def find(name: str) -> Engine:
    """The function of an engine. Raises EngineUnavailable."""
    if name not in ENGINES:
        raise EngineUnavailable(f"no engine is called {name!r}: there is {', '.join(ENGINES)}")
    module, _, function = ENGINES[name].partition(":")
    engine: Engine = getattr(importlib.import_module(module), function)
    return engine

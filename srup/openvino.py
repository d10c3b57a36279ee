"""Imports OpenVINO, or says how to install it."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from srup.errors import EngineUnavailable

# Without this package OpenVINO cannot report every import and conversion to its makers, and is
# imported in two thirds of the time.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
try:
    import openvino as ov
    from openvino import opset13 as ops
except ImportError as error:
    about = f"OpenVINO is not installed ({error}); pip install 'srup[openvino]'"
    raise EngineUnavailable(about) from error

__all__ = ["HINTS", "core", "has_bfloat16", "ops", "ov"]

HINTS = {"fp32": "f32", "bf16": "bf16"}  # precision → OpenVINO's name for it


@cache
def core() -> Any:
    """What reads and compiles models."""
    return ov.Core()


def has_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this processor."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from srup.training.training_plot import SIZE, draw

VALIDATED = {"psnr": {"2": 30.0, "4": 28.0}}
DEGRADED = {**VALIDATED, "degraded": {"jpeg:75": {"2": 29.0, "4": 27.0}}}


def log(kinds: str, validated: dict[str, Any]) -> list[dict[str, Any]]:
    """Records of a run whose steps have these kinds of loss, "-" for none."""
    losses = [{"step": step, "loss": 1 / step} for step in range(1, len(kinds) + 1)]
    records = [
        {**loss, **({} if kind == "-" else {"kind": f"l{kind}"})}
        for loss, kind in zip(losses, kinds, strict=True)
    ]
    return [*records[:-2], *({**record, **validated} for record in records[-2:])]


@pytest.mark.parametrize(
    ("kinds", "validated", "panels"),
    [
        ("1111", {}, 1),
        ("----", VALIDATED, 2),  # as earlier versions wrote it
        ("1122", VALIDATED, 3),
        ("1112", DEGRADED, 4),
        ("-112", DEGRADED, 5),
    ],
)
def test_a_panel_for_each_loss_and_each_way_to_degrade(
    tmp_path: Path, kinds: str, validated: dict[str, Any], panels: int
) -> None:
    draw(log(kinds, validated), tmp_path / "plot.png")
    pixels = np.asarray(Pillow.open(tmp_path / "plot.png"))
    assert pixels.shape == (panels * SIZE[1], SIZE[0], 3)
    coloured = np.ptp(pixels, axis=2) > 50  # lines are, unlike all the rest
    assert coloured.reshape(panels, -1).any(1).all(), "nothing is drawn in one of them"

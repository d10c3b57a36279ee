from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from srup.inference.engines import libraries
from srup.inference.engines.choice import choose
from srup.models import registry

RTC = registry.find("imdn-rtc")[2]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(registry.build(RTC).state_dict(), tmp_path / "rtc.pth")
    return tmp_path / "rtc.pth"


def test_engines_are_measured_once(weights: Path, cache: Path) -> None:
    cache.mkdir()
    (cache / "engines.json").write_text('{"half": ')  # a damaged file is replaced
    chosen = choose(RTC, weights, "cpu", "fp32")
    ((key, seconds),) = json.loads((cache / "engines.json").read_text()).items()
    assert key.startswith("imdn-rtc ×2, cpu, fp32, ")
    assert seconds.keys() == libraries().keys()
    assert seconds[chosen] == min(seconds.values()) > 0

    slower = max(seconds, key=lambda name: seconds[name])
    swapped = {chosen: 2.0, slower: 1.0}
    (cache / "engines.json").write_text(json.dumps({key: swapped}))
    assert choose(RTC, weights, "cpu", "fp32") == slower, "measured again"


def test_pytorch_is_chosen_if_no_engine_can_run_the_network(tmp_path: Path) -> None:
    """It then reports what is wrong."""
    assert choose(RTC, tmp_path / "nothing.pth", "cpu", "fp32") == "pytorch"

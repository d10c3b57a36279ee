from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from srup import bench, registry
from srup.apart import apart
from srup.bench import Plan
from srup.how import How

HOW = How(device="cpu", engine="pytorch", precision="fp32")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """The quickest network, prepared."""
    made = Plan(registry.find("imdn-rtc")[2], 2, HOW, tmp_path, side=96, runs=1)
    list(apart("rtc", bench.prepare, made))
    return made


def test_speed_has_all_its_figures(plan: Plan, cache: Path) -> None:
    (found,) = apart("rtc", bench.speed, plan)
    assert found.how == "pytorch, cpu, fp32"
    assert found.rate == pytest.approx(96 * 96 / 1e6 / found.seconds)
    assert found.share and 0 < found.share < 2
    assert found.peak > 100 << 20  # Python and torch alone are more
    assert not cache.exists(), "the user's cache was written to"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can confine a process to its memory")
def test_under_pressure_images_grow_until_the_memory_is_full(plan: Plan) -> None:
    one_window = replace(plan, side=128, how=replace(HOW, tile="none"))
    found = list(apart("rtc", bench.pressure, one_window, 600 << 20))
    sizes = [each.pixels for each in found]
    assert len(sizes) > 2
    assert all(1.9 < later / earlier < 2.1 for earlier, later in itertools.pairwise(sizes))
    assert found[-1].peak < 2 << 30

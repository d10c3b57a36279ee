from __future__ import annotations

import itertools
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from srup.errors import OutOfMemory
from srup.evaluation import speed
from srup.evaluation.speed import Speed, SpeedTest
from srup.inference.run_options import RunOptions
from srup.isolate import run_isolated
from srup.models import registry

RUN_OPTIONS = RunOptions(device="cpu", engine="pytorch", precision="fp32")


@pytest.fixture
def test(tmp_path: Path) -> SpeedTest:
    """A speed test of the fastest network, its weights prepared."""
    made = SpeedTest(registry.find("imdn-rtc")[2], 2, RUN_OPTIONS, tmp_path, side=96, runs=1)
    list(run_isolated("rtc", speed.prepare, made))
    return made


def test_speed_is_measured_completely(test: SpeedTest, cache: Path) -> None:
    (found,) = run_isolated("rtc", speed.measure, test)
    assert found.computed_by == "pytorch, cpu, fp32"
    assert found.rate == pytest.approx(96 * 96 / 1e6 / found.seconds)
    assert found.share and 0 < found.share < 2
    assert found.peak > 100 << 20  # Python and torch alone take more
    assert not cache.exists(), "the user's cache was written to"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can limit the memory of a process")
def test_pressure_doubles_images_until_memory_is_full(test: SpeedTest) -> None:
    one_window = replace(test, side=128, run_options=replace(RUN_OPTIONS, tile="none"))
    found: list[Speed] = []
    with suppress(OutOfMemory):  # some versions of PyTorch end the process where others raise
        found.extend(run_isolated("rtc", speed.pressure, one_window, 600 << 20))
    sizes = [each.pixels for each in found]
    assert len(sizes) > 2
    assert all(1.9 < later / earlier < 2.1 for earlier, later in itertools.pairwise(sizes))
    assert found[-1].peak < 2 << 30

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srup import registry
from srup.engines import Program, libraries
from srup.engines.choice import best, choose
from srup.engines.pytorch import program_of

RTC = registry.find("imdn-rtc")[2]


def made(name: str) -> Program:
    return program_of(registry.build(RTC), device="cpu", precision="fp32")


def never(name: str) -> Program:
    raise AssertionError("measured twice")


def test_what_was_measured_once_is_known(cache: Path) -> None:
    chosen = choose(RTC, "fp32", made)
    ((key, seconds),) = json.loads((cache / "engines.json").read_text()).items()
    assert key.startswith("imdn-rtc ×2, fp32, ")
    assert chosen in seconds.keys() == libraries().keys()
    assert choose(RTC, "fp32", never) == chosen
    with pytest.raises(AssertionError):
        choose(RTC, "bf16", never)


def test_a_damaged_note_is_written_anew(cache: Path) -> None:
    cache.mkdir()
    (cache / "engines.json").write_text('{"half": ')
    choose(RTC, "fp32", made)
    assert len(json.loads((cache / "engines.json").read_text())) == 1


def test_pytorch_must_be_faster_by_more_than_its_late_start() -> None:
    assert best({"pytorch": 1.0, "openvino": 1.05}) == "openvino"
    assert best({"pytorch": 1.0, "openvino": 1.2}) == "pytorch"
    assert best({"pytorch": 1.0}) == "pytorch"

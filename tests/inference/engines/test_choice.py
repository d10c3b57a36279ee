from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from srup.inference.engines import choice, libraries, program
from srup.models import registry
from srup.models.registry import Model

RTC = registry.find("imdn-rtc")[2]
EDSR = registry.find("edsr-baseline")[2]
needs_both = pytest.mark.skipif(len(libraries()) < 2, reason="needs OpenVINO too")


@pytest.fixture
def weights(tmp_path: Path) -> Callable[[Model], Path]:
    def written(model: Model) -> Path:
        torch.save(registry.build(model).state_dict(), tmp_path / f"{model.name}.pth")
        return tmp_path / f"{model.name}.pth"

    return written


@needs_both
def test_light_networks_go_to_the_engine_that_starts_fast() -> None:
    assert choice.choose(RTC, "auto") == "openvino"
    assert choice.choose(EDSR, "auto") == "pytorch"


@needs_both
def test_what_was_measured_comes_before_the_rule(cache: Path) -> None:
    cache.mkdir()
    (cache / "engines.json").write_text('{"half": ')  # a damaged file is replaced
    choice.save(RTC, "auto", {"pytorch": 1.0, "openvino": 2.0})
    choice.save(EDSR, "auto", {"pytorch": 2.0, "openvino": 1.0})
    assert choice.choose(RTC, "auto") == "pytorch"
    assert choice.choose(EDSR, "auto") == "openvino"
    assert choice.choose(RTC, "fp32") == "openvino", "that was not measured"
    assert len(json.loads((cache / "engines.json").read_text())) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with FIFOs")
@pytest.mark.usefixtures("ends")
def test_a_pipe_in_the_cache_is_not_waited_for(cache: Path) -> None:
    cache.mkdir()
    os.mkfifo(cache / "engines.json")
    assert choice.choose(EDSR, "auto") == "pytorch"


@pytest.mark.parametrize(
    "damage",
    [
        '{"a": 5}',
        "[[1]]",
        '{"a": {"pytorch": "fast"}}',
        '{"a": {"pytorch": {"b": 1}}}',
        '{"a": [[[[]]]]}',
        "[" * 100_000,
        "\udcff",
    ],
    ids=lambda damage: repr(damage[:30]),
)
def test_a_damaged_file_is_told_and_not_used(
    damage: str, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.mkdir()
    (cache / "engines.json").write_text(damage, errors="surrogateescape")
    expected = "openvino" if "openvino" in libraries() else "pytorch"
    assert choice.choose(RTC, "auto") == expected
    assert "engines.json is damaged" in caplog.text


@needs_both
def test_nobody_waits_for_an_engine_to_be_prepared(
    weights: Callable[[Model], Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SRUP_ENGINE", raising=False)
    path = weights(RTC)
    first = program(RTC, path, device="cpu")
    assert first.engine == "pytorch" and first.afterwards
    assert not list(cache.rglob("manifest.json")), "exported before anything was computed"
    first.afterwards()
    second = program(RTC, path, device="cpu")
    assert second.engine == "openvino" and second.afterwards is None
    other = program(EDSR, weights(EDSR), device="cpu")
    assert other.engine == "pytorch" and other.afterwards is None


@needs_both
def test_a_cache_that_cannot_be_written_to_is_no_reason_to_fail(
    weights: Callable[[Model], Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SRUP_ENGINE", raising=False)
    cache.write_text("a file where the folder should be")
    made = program(RTC, weights(RTC), device="cpu")
    assert made.engine == "pytorch" and made.afterwards
    made.afterwards()

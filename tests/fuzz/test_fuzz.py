"""A few thousand attacks, the same each time; `python -m tests.fuzz` makes any number of others."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

from srup.images.formats import FORMATS
from srup.images.opening import DECODERS
from tests.fuzz import seeds
from tests.fuzz.campaign import campaign, reproductions
from tests.fuzz.judging import Judge
from tests.fuzz.mutation import mutated
from tests.fuzz.shrinking import shrunk
from tests.fuzz.targets import TARGETS, planted

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="memory is measured as Linux does"
)

CASES = {
    "read": 700,
    "write": 350,
    "metadata": 350,
    "journal": 500,
    "shards": 100,
    "weights": 150,
    "onnx": 100,
    "http": 60,
    "request": 300,
    "page": 100,
    "api": 250,
}
SEED = 0


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_falls(name: str) -> None:
    """A case is read or made, or refused with a SrupError, in time and within memory."""
    if name == "onnx":
        pytest.importorskip("onnx", reason="torch.onnx.export needs onnx")
    summary = campaign(name, CASES[name], SEED)
    assert not summary.findings, summary.told()
    assert summary.verdicts["ok"] > CASES[name] // 20, "what is refused at once attacks nothing"


def test_every_format_has_seeds() -> None:
    assert seeds.MADE.keys() == set(DECODERS)
    assert len(seeds.MADE) == len(FORMATS) + 1, "PPM is read and not written"


def test_cases_are_the_same_each_time() -> None:
    (data,) = [made["full"] for name, made in seeds.files().items() if name == "PNG"]
    made = [mutated(data, Random(f"{number}"), [data]) for number in range(50)]
    assert made == [mutated(data, Random(f"{number}"), [data]) for number in range(50)]
    assert len(set(made)) > 45


@pytest.mark.parametrize(
    ("word", "verdict"),
    [
        (b"fine", "ok"),
        (b"refused", "refused"),
        (b"foreign", "foreign"),
        (b"internal", "foreign"),
        (b"hang", "hang"),
        (b"death", "death"),
        (b"memory", "memory"),
    ],
)
def test_verdicts(word: bytes, verdict: str) -> None:
    """And a case after one that ended the process is judged as well."""
    with Judge("planted", limit=2 if verdict == "hang" else 60) as judge:
        assert judge.outcome(word).verdict == verdict
        assert judge.outcome(b"fine").verdict == "ok"


@pytest.mark.slow
def test_findings_are_written_and_small(tmp_path: Path) -> None:
    summary = campaign("planted", 20, limit=3)
    kinds = [word.decode() for word in planted.WORDS]
    assert sum(summary.verdicts.values()) == 20
    assert {"foreign", "hang", "death"} <= summary.verdicts.keys()
    found = {path.read_bytes() for path in reproductions(summary, tmp_path, limit=3)}
    assert found <= {word.encode() for word in kinds}


def test_shrinking_keeps_what_matters() -> None:
    assert shrunk(b"abcXdefYghi", lambda case: b"X" in case and b"Y" in case) == b"XY"
    text = b'{"a": [1, {"b": "xyz"}], "c": {"d": "abcdefgh"}}'
    assert shrunk(text, lambda case: b"f" in case) == b'{"c": {"d": "f"}}'

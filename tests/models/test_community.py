"""Checkpoints that people have: recognised, described once, kept under a name, or refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from srup.errors import EngineUnavailable, UsageError, WeightsMismatch
from srup.models import community, registry, routing, weights
from srup.models.registry import MODELS
from tests.conftest import model_id, random_network
from tests.models.checkpoints_of_others import ARCHITECTURES, needs_spandrel, saved

LIGHT = [row for row in MODELS if 0 < row.parameters < 2e6]


@needs_spandrel
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_architectures_are_recognised(architecture: str, tmp_path: Path) -> None:
    path = saved(tmp_path, architecture)
    name, scale, _ = ARCHITECTURES[architecture]
    found = community.described(path)
    assert (found.architecture, found.scale, found.own) == (name, scale, None)
    assert found.parameters > 0
    assert found.multi_adds > 0
    assert found.largest >= 3


@pytest.mark.parametrize("model", LIGHT, ids=model_id)
def test_networks_of_its_own_are_recognised_first(
    model: registry.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without spandrel, by names and shapes: by the first row that has them."""
    monkeypatch.setitem(sys.modules, "spandrel", None)
    path = tmp_path / "x.pth"
    torch.save(random_network(model).state_dict(), path)
    rows = registry.find(str(path))
    assert model.scale in rows
    own, file = registry.build(model).state_dict(), registry.build(rows[model.scale]).state_dict()
    assert {name: each.shape for name, each in own.items()} == {
        name: each.shape for name, each in file.items()
    }
    assert weights.verified(rows[model.scale]) == path


def test_published_files_are_recognised(shared: Path) -> None:
    for row in MODELS:
        path = shared / "weights" / row.file
        if path.exists():
            found = registry.find(str(path))
            assert found[row.scale].name == row.name
            assert registry.natural_scale(str(path)) == (4 if 0 in found else max(found))


@needs_spandrel
def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, "compact")
    (row,) = registry.find(str(path)).values()
    assert (row.name, row.scale, row.is_file) == ("compact", 4, True)
    community._rows.cache_clear()  # as in the next process
    monkeypatch.setitem(sys.modules, "spandrel", None)  # it would have to be asked
    assert registry.find(str(path)) == {4: row}


@needs_spandrel
@pytest.mark.parametrize("text", ["", "[", "5", "{}", '{"own": 3}', '{"own": null, "colour": 1}'])
def test_a_damaged_description_is_made_anew(text: str, tmp_path: Path) -> None:
    path = saved(tmp_path, "compact")
    (row,) = registry.find(str(path)).values()
    community.facts_path(row.digest, "description").write_text(text)
    community._rows.cache_clear()
    assert registry.find(str(path)) == {4: row}


@needs_spandrel
def test_what_nobody_knows(tmp_path: Path) -> None:
    path = tmp_path / "strange.pth"
    torch.save({"strange.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsMismatch, match=r"begin with strange\.weight.*known are ATD"):
        registry.find(str(path))


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    path = tmp_path / "strange.pth"
    torch.save({"strange.weight": torch.zeros(3)}, path)
    with pytest.raises(EngineUnavailable, match=r"srup\[community\]"):
        registry.find(str(path))


@pytest.mark.parametrize(
    ("name", "told"), [("gone.pth", "no such file"), ("folder.pth", "it is a folder")]
)
def test_what_is_no_file(name: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(WeightsMismatch, match=told):
        registry.find(str(tmp_path / name))


def test_kept_under_a_name(tmp_path: Path, cache: Path) -> None:
    row = registry.find("imdn-rtc")[2]
    path = tmp_path / "My Own (2).pth"
    torch.save(random_network(row).state_dict(), path)
    assert community.add(str(path), None) == "my-own-2"
    assert community.add(str(path), "mine") == "mine"
    path.unlink()
    assert community.added() == ["mine", "my-own-2"]
    (found,) = registry.find("Mine").values()
    assert (found.scale, found.network) == (2, row.network)
    assert Path(found.file).parent == cache / "community"
    assert community.remove("mine")
    assert community.added() == ["my-own-2"]
    assert community.remove("mine") is None


@pytest.mark.parametrize("name", ["lite", "a/b", "..", "", "ä", "x.pth"])
def test_names_that_cannot_be(name: str, tmp_path: Path) -> None:
    path = tmp_path / "lite.pth"
    torch.save(random_network(registry.find("imdn-rtc")[2]).state_dict(), path)
    with pytest.raises(UsageError, match="cannot be a network's name"):
        community.add(str(path), name or "--")
    assert community.added() == []


@needs_spandrel
def test_networks_that_restore_run_before_another(tmp_path: Path) -> None:
    restoring, enlarging = str(saved(tmp_path, "nafnet")), str(saved(tmp_path, "compact"))
    chain = routing.route(f"{restoring} + lite", 3)
    assert [(row.name, row.scale) for row in chain] == [("nafnet", 1), ("lite", 3)]
    with pytest.raises(UsageError, match="only networks that restore"):
        routing.route(f"{enlarging} + lite", 4)
    with pytest.raises(UsageError, match="restores pictures and enlarges none"):
        routing.route(restoring, 2)
    assert [row.scale for row in routing.route(restoring, 1)] == [1]

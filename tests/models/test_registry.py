from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import torch

from srup.errors import ScaleError, UnknownModel, WeightsError, WeightsMismatch
from srup.models import checkpoints, costs, registry, routing, weights
from srup.models.registry import MODELS, Model
from tests.conftest import model_id, random_network


@pytest.mark.parametrize("model", MODELS, ids=model_id)
def test_rows_say_what_the_network_costs(model: Model) -> None:
    with torch.device("meta"):
        network = registry.build(model)
    parameters, multi_adds = costs.cost(network)
    assert model.parameters == parameters
    assert model.multi_adds == round(multi_adds, 1)
    assert model.largest == costs.largest_map(network)


def again(_: str, *channels: int, times: int, scale: int = 4) -> float:
    """Multiply-adds, in 1e9, of 3×3 convolutions of these channels that srup makes more than once instead of parking their maps."""
    per_pixel = sum(9 * before * after for before, after in itertools.pairwise(channels))
    return times * per_pixel * 1280 * 720 / scale**2 / 1e9


@pytest.mark.parametrize(
    ("name", "scale", "published", "extra"),
    [
        ("imdn", 2, 158.8, again("fea_conv", 3, 64, times=2, scale=2)),
        ("imdn", 3, 71.5, again("fea_conv", 3, 64, times=2, scale=3)),
        ("imdn", 4, 40.9, again("fea_conv", 3, 64, times=2)),
        ("rdn", 4, 1309, again("sfe1", 3, 64, times=1)),
        ("rdcab", 4, 750, again("sfe1, sfe2", 3, 64, 64, times=8)),
        ("rdcab-split", 4, 567, again("sfe1, sfe2", 3, 64, 64, times=1)),
    ],
)
def test_multi_adds_are_those_of_the_papers(
    name: str, scale: int, published: float, extra: float
) -> None:
    """To 0.5 %, once what srup makes anew from the image, because that is cheaper than to park it, is taken off."""
    assert registry.find(name)[scale].multi_adds - extra == pytest.approx(published, rel=0.005)


def test_fdirb_costs_three_times_what_is_published() -> None:
    """The published 293 G are three applications of the block; the checkpoint fuses nine."""
    block = 9 * 64 * 64 * sum(range(1, 8)) + 9 * 512 * 32 + 7 * 64 * 32 + 256 * 64
    six = 6 * block * 320 * 180 / 1e9
    assert registry.find("rdcab-fdirb")[4].multi_adds - six - again(
        "sfe1, sfe2", 3, 64, 64, times=1
    ) == pytest.approx(293, rel=0.01)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("edsr", 43e6),
        ("mdsr-baseline", 3.2e6),
        ("rdn", 22e6),
        ("rdcab", 2.1e6),
        ("rdcab-split", 1.2e6),
        ("rdcab-fdirb", 1.63e6),
    ],
)
def test_parameters_are_those_of_the_papers(name: str, published: float) -> None:
    assert registry.find(name)[4].parameters == pytest.approx(published, rel=0.02)


def test_the_largest_map() -> None:
    """IMDN's are 64 channels; LESRCNN refines 64 channels at full size."""
    assert costs.largest_map(registry.build(registry.find("imdn")[4])) == 64
    assert costs.largest_map(registry.build(registry.find("lesrcnn")[4])) == 64 * 16


def test_names_and_scales_are_unique() -> None:
    assert len({(model.name, model.scale) for model in MODELS}) == len(MODELS)


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("imnd", "imdn"), ("IMDN_AS", "imdn-as"), ("Lite", "lite"), ("zzz", "there are")],
)
def test_an_unknown_name_gets_a_suggestion(asked: str, hint: str) -> None:
    with pytest.raises(UnknownModel, match=hint):
        registry.find(asked)


@pytest.mark.parametrize(
    ("name", "scale", "steps"),
    [
        ("imdn", 1, [2]),
        ("imdn", 2, [2]),
        ("imdn", 2.5, [3]),
        ("imdn", 4, [4]),
        ("imdn", 4.1, [2, 3]),
        ("imdn", 6, [2, 3]),
        ("imdn", 8, [2, 4]),
        ("imdn", 9, [3, 3]),
        ("imdn", 16, [4, 4]),
        ("imdn", 32, [2, 4, 4]),
        ("imdn-rtc", 3, [2, 2]),
        ("imdn-plus", 2, [4]),
        ("imdn-as", 7.7, [0]),
    ],
)
def test_the_least_chain_that_suffices(name: str, scale: float, steps: list[int]) -> None:
    assert [model.scale for model in routing.route(name, scale)] == steps


@pytest.mark.parametrize("scale", [0, 0.5, -2, 33, float("nan"), float("inf")])
def test_scales_out_of_range(scale: float) -> None:
    with pytest.raises(ScaleError):
        routing.route("imdn", scale)


def network(name: str = "imdn-rtc", scale: int = 2) -> registry.Network:  # type: ignore[name-defined]
    return random_network(registry.find(name)[scale])


def test_a_checkpoint_of_ones_own(tmp_path: Path) -> None:
    made = network()
    wrapped = {f"module.{name}": tensor for name, tensor in made.state_dict().items()}
    torch.save(wrapped, tmp_path / "own.pth")
    loaded = checkpoints.load_weights(
        registry.build(registry.find("imdn-rtc")[2]), tmp_path / "own.pth"
    )
    assert all(
        torch.equal(tensor, made.state_dict()[name]) for name, tensor in loaded.state_dict().items()
    )


@pytest.mark.parametrize("wrapper", ["params", "params_ema", "state_dict"])
def test_a_checkpoint_in_a_wrapper(tmp_path: Path, wrapper: str) -> None:
    made = network()
    torch.save({wrapper: made.state_dict(), "epoch": 7}, tmp_path / "own.pth")
    loaded = checkpoints.load_weights(
        registry.build(registry.find("imdn-rtc")[2]), tmp_path / "own.pth"
    )
    assert all(
        torch.equal(tensor, made.state_dict()[name]) for name, tensor in loaded.state_dict().items()
    )


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_rdn_in_the_layout_of_edsr_pytorch(tmp_path: Path, scale: int) -> None:
    """Colours are 0–255 there: the same kernels, with the first and last scaled, must come back as ours."""
    made = network("rdn", scale).state_dict()
    last = 4 if scale == 4 else 2
    theirs = {}
    for name, tensor in made.items():
        name = re.sub(r"^sfe(\d)", r"SFENet\1", name)
        name = re.sub(r"^rdbs\.(\d+)\.layers\.(\d)\.conv", r"RDBs.\1.convs.\2.conv.0", name)
        name = re.sub(r"^rdbs\.(\d+)\.lff", r"RDBs.\1.LFF", name)
        name = (
            name.replace("gff.", "GFF.")
            .replace("upscale.", "UPNet.")
            .replace("output.", f"UPNet.{last}.")
        )
        factor = (
            1 / 255 if name == "SFENet1.weight" else 255 if name.startswith(f"UPNet.{last}.") else 1
        )
        theirs[name] = tensor * factor
    torch.save(theirs, tmp_path / "own.pt")
    loaded = checkpoints.load_weights(
        registry.build(registry.find("rdn")[scale]), tmp_path / "own.pt"
    ).state_dict()
    assert all(
        torch.allclose(loaded[name], tensor, rtol=1e-6, atol=0) for name, tensor in made.items()
    )


def test_imdn_in_the_layout_of_kair(tmp_path: Path) -> None:
    """Its names, and what they compute, written out here once more."""
    made = network("imdn-kair", 4)
    theirs = {}
    for name, tensor in made.state_dict().items():
        name = re.sub(r"\.c([123])\.", r".conv\1.0.", name)
        theirs[name.replace(".c4.", ".conv4.").replace(".c5.", ".conv1x1.")] = tensor
    torch.save(theirs, tmp_path / "own.pth")
    loaded = checkpoints.load_weights(
        registry.build(registry.find("imdn-kair")[4]), tmp_path / "own.pth"
    )

    def conv(x: torch.Tensor, name: str) -> torch.Tensor:
        kernel = theirs[f"{name}.weight"]
        return torch.conv2d(x, kernel, theirs[f"{name}.bias"], padding=kernel.shape[-1] // 2)

    x = torch.rand(1, 3, 9, 11)
    body = first = conv(x, "model.0")
    for block in (f"model.1.sub.{number}" for number in range(8)):
        kept, rest = [], body
        for step in (1, 2, 3):
            activated = torch.nn.functional.leaky_relu(conv(rest, f"{block}.conv{step}.0"), 0.05)
            kept, rest = [*kept, activated[:, :16]], activated[:, 16:]
        body = body + conv(torch.cat([*kept, conv(rest, f"{block}.conv4")], 1), f"{block}.conv1x1")
    expected = torch.pixel_shuffle(conv(first + conv(body, "model.1.sub.8"), "model.2"), 4)
    with torch.no_grad():
        assert torch.allclose(loaded(x), expected, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_in_safetensors(tmp_path: Path) -> None:
    safetensors = pytest.importorskip(
        "safetensors.torch", reason="needs the extra srup[safetensors]"
    )
    made = network()
    safetensors.save_file(made.state_dict(), tmp_path / "own.safetensors")
    loaded = checkpoints.load_weights(
        registry.build(registry.find("imdn-rtc")[2]), tmp_path / "own.safetensors"
    )
    assert all(
        torch.equal(tensor, made.state_dict()[name]) for name, tensor in loaded.state_dict().items()
    )


def test_a_checkpoint_of_another_network(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "own.pth")
    with pytest.raises(WeightsMismatch, match=r"missing fea_conv.*unexpected model\.0\.weight"):
        checkpoints.load_weights(network("imdn", 4), tmp_path / "own.pth")


def test_a_checkpoint_of_another_scale(tmp_path: Path) -> None:
    torch.save(network("imdn", 2).state_dict(), tmp_path / "own.pth")
    with pytest.raises(
        WeightsMismatch, match=r"upsampler\.0\.weight is \(12, 64, 3, 3\), not \(48, 64, 3, 3\)"
    ):
        checkpoints.load_weights(network("imdn", 4), tmp_path / "own.pth")


def test_what_fits_is_loaded(tmp_path: Path) -> None:
    made = network("imdn", 2)
    torch.save(made.state_dict(), tmp_path / "own.pth")
    started = registry.build(registry.find("imdn")[4])
    assert checkpoints.load_what_fits(started, tmp_path / "own.pth") == [
        "upsampler.0.weight",
        "upsampler.0.bias",
    ]
    assert torch.equal(started.state_dict()["LR_conv.weight"], made.state_dict()["LR_conv.weight"])


def test_what_was_never_released_asks_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="--weights FILE"):
        weights.verified(registry.find("lesrcnn-m")[2])
    assert [model.scale for model in routing.route("rfdn", 2)] == [4]
    assert [model.scale for model in routing.route("rfdn", 2, own_weights=True)] == [2]
    assert [model.scale for model in routing.route("rdcab", 2)] == [4]


class Rogue:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize("content", ["missing", "garbage", "rogue", "list"])
def test_what_is_no_checkpoint(tmp_path: Path, content: str) -> None:
    path = tmp_path / "own.pth"
    if content == "garbage":
        path.write_bytes(b"garbage")
    elif content != "missing":
        torch.save({"rogue": Rogue(), "list": [1, 2]}[content], path)
    with pytest.raises(WeightsMismatch, match=r"own\.pth"):
        checkpoints.load_weights(network(), path)


def test_what_travels_in_the_package_is_small_and_right() -> None:
    for model in registry.find("lite").values():
        path = weights.verified(model)
        assert weights.matches(path, model.digest)
        assert path.stat().st_size < 2_000_000

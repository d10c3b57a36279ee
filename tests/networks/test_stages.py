"""What must hold for every network of the registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from srup.images import read_image
from srup.inference.engines.pytorch import stages_on, tensor_of
from srup.inference.tiling import tiled
from srup.models import weights
from srup.models.checkpoints import load_weights
from srup.models.registry import MODELS, Model, build
from srup.networks.base import Network
from srup.networks.stages import Stage, pad_to_multiple
from tests.conftest import in_windows, model_id, models, random_network, to_bytes

Noise = Callable[[int, int], Tensor]

every_published = pytest.mark.parametrize(
    "model", [model for model in MODELS if model.urls], ids=model_id
)
every_network = pytest.mark.parametrize("model", models(lambda model: model.parameters > 5e6))


@every_network
@pytest.mark.parametrize(("size", "memory"), [(48, 1 << 40), (64, 0)], ids=["48", "64-on-disk"])
def test_tiled_equals_whole(model: Model, size: int, memory: int, noise: Noise) -> None:
    network = random_network(model)
    image = noise(81, 70)
    with torch.no_grad():
        expected = network(image)
    result = pad_to_multiple(
        network, image, lambda padded: in_windows(network.stages(), padded, size, memory=memory)
    )
    assert torch.linalg.norm(result - expected) / torch.linalg.norm(expected) < 3e-6


@every_network
def test_any_size_from_one_pixel_up(model: Model, noise: Noise) -> None:
    network = random_network(model)
    for height, width in ((1, 1), (1, 7), (5, 2), (13, 18)):
        with torch.no_grad():
            result = network(noise(height, width))
        assert result.shape == (1, 3, height * network.scale, width * network.scale)
        assert result.isfinite().all()


@every_network
def test_margins_are_the_measured_reach(model: Model, noise: Noise) -> None:
    """A changed pixel changes the result up to the margin, and no further."""
    network = random_network(model).double()
    stages = network.stages()
    side = max(stage.stride for stage in stages) * (2 * max(stage.margin for stage in stages) + 4)
    side = max(side, 2 * network.smallest)
    state, context = [noise(side, side).double()], None
    for number, stage in enumerate(stages):
        with torch.no_grad():
            following = stage.run(state, context)
            measured = reach(stage, state, context, following)
            context = stage.summary([following[-1]]) if stage.summary else None
        assert measured == stage.margin, f"stage {number} of {model_id(model)}"
        state = following


def reach(
    stage: Stage[Tensor], state: list[Tensor], context: Tensor | None, before: list[Tensor]
) -> int:
    """How far from a changed pixel, in pixels of the stage's input, the result changes."""
    furthest = 0
    middle = state[0].shape[-1] // 2 // stage.stride * stage.stride
    for position in range(middle, middle + stage.stride):
        changed_state = [tensor.clone() for tensor in state]
        for tensor in changed_state:
            tensor[..., position, position] += 1
        for old, new in zip(before, stage.run(changed_state, context), strict=True):
            ratio = new.shape[-1] / state[0].shape[-1]
            changed = (old != new).any(1)[0].nonzero()[:, 1] / ratio  # left edges, in input pixels
            right_edges = changed.floor() + max(1, 1 / ratio) - 1
            distances = torch.maximum(changed.floor() - position, position - right_edges)
            furthest = max(furthest, int(distances.max()))
    return furthest


@every_network
def test_a_batch_gives_the_results_of_its_images(model: Model, noise: Noise) -> None:
    """Shortcuts for a single image, such as factors inside a kernel, change nothing."""
    network = random_network(model)
    images = torch.cat([noise(20, 24), noise(20, 24).flip(3)])
    with torch.no_grad():
        together, alone = network(images), torch.cat([network(image[None]) for image in images])
    assert torch.linalg.norm(together - alone) / torch.linalg.norm(alone) < 3e-6


@every_network
def test_results_under_bfloat16_are_float32(model: Model, noise: Noise) -> None:
    """Neither results nor pooled statistics are rounded to the 8 bits of bfloat16."""
    state, context = [noise(32, 32)], None
    for stage in random_network(model).stages():
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            state = stage.run(state, context)
        with torch.no_grad():
            context = stage.summary([state[-1]]) if stage.summary else None
        assert context is None or context.dtype == torch.float32
    assert state[-1].dtype == torch.float32
    assert (state[-1] != state[-1].bfloat16()).any()


REFERENCES = {
    "imdn_x2": ("imdn", 2),
    "imdn_x3": ("imdn", 3),
    "imdn_x4": ("imdn", 4),
    "imdn_as": ("imdn-as", 0),
    "imdn_rtc_x2": ("imdn-rtc", 2),
    "imdn_rte_x2": ("imdn-rte", 2),
    "imdn_plus_x4": ("imdn-plus", 4),
    "lesrcnn_x2": ("lesrcnn", 2),
    "lesrcnn_x3": ("lesrcnn", 3),
    "lesrcnn_x4": ("lesrcnn", 4),
    "lesrcnn_m": ("lesrcnn-m", 2),
    "edsr_baseline_x2": ("edsr-baseline", 2),
    "edsr_baseline_x3": ("edsr-baseline", 3),
    "edsr_baseline_x4": ("edsr-baseline", 4),
    "edsr_x2": ("edsr", 2),
    "edsr_x3": ("edsr", 3),
    "edsr_x4": ("edsr", 4),
    "mdsr_baseline": ("mdsr-baseline", 2),
    "mdsr": ("mdsr", 2),
    "rdn_x2": ("rdn", 2),
    "rdn_x3": ("rdn", 3),
    "rdn_x4": ("rdn", 4),
    "rfdn_x4": ("rfdn", 4),
    "rdcab_x4": ("rdcab", 4),
    "rdcab_split_x4": ("rdcab-split", 4),
    "rdcab_fdirb_x4": ("rdcab-fdirb", 4),
}


@pytest.mark.parametrize("reference", REFERENCES)
def test_computes_what_the_published_code_does(shared: Path, reference: str) -> None:
    model = next(model for model in MODELS if (model.name, model.scale) == REFERENCES[reference])
    network = random_network(model)
    facts = json.loads((shared / "networks" / f"{reference}.json").read_text())
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == facts["tensors"]
    arrays = np.load(shared / "networks" / f"{reference}.npz")
    # the results are called "output", or "x2", "x3", "x4" for a network of several scales
    for key in set(arrays) - {"input"}:
        bound = network if key == "output" else network.at(int(key[1:]))
        with torch.no_grad():
            result = bound(torch.from_numpy(arrays["input"])).numpy()
        assert np.linalg.norm(result - arrays[key]) / np.linalg.norm(arrays[key]) < 1e-5


@every_published
def test_a_tiled_photograph_equals_the_whole_to_one_level(
    model: Model, shared: Path, checkpoints: Path
) -> None:
    network = load_published(model, shared)
    image = tensor_of(read_image(shared / "datasets" / "Set14" / "LR_x4" / "img_004.png").pixels)
    with torch.no_grad():
        expected = levels(network(image))
    result = levels(
        pad_to_multiple(network, image, lambda padded: in_windows(network.stages(), padded, 96))
    )
    assert np.abs(result.astype(int) - expected).max() <= 1


@pytest.mark.slow
@every_published
def test_tiled_photographs_equal_the_whole_to_one_level(
    model: Model, shared: Path, checkpoints: Path
) -> None:
    """At 8 bits, for windows of 48 to 256 px: in fewer than 1 in 100,000 values."""
    network = load_published(model, shared)
    stages = stages_on(network.stages())
    for path in photographs(shared):
        image = tensor_of(read_image(path).pixels).numpy()
        expected = to_bytes(pad_to_multiple(network, image, lambda padded: tiled(stages, padded)))
        for size in (48, 64, 128, 256):
            result = to_bytes(
                pad_to_multiple(network, image, lambda padded, s=size: tiled(stages, padded, s))
            )
            difference = np.abs(result.astype(int) - expected)
            differing = np.count_nonzero(difference)
            print(
                f"{model_id(model)} {path.name} window {size}: "
                f"at most {difference.max()}, in {differing} of {difference.size}"
            )
            assert difference.max() <= 1
            assert differing * 100_000 < difference.size


def load_published(model: Model, shared: Path) -> Network:
    if not (shared / "weights" / model.file).exists():
        pytest.skip(f"needs {model.file} in {shared / 'weights'}")
    return load_weights(build(model), weights.verified(model))


def photographs(shared: Path) -> list[Path]:
    set14 = shared / "datasets" / "Set14" / "LR_x2"
    return [
        *(set14 / f"img_{number:03}.png" for number in (1, 4, 14)),
        shared / "datasets" / "Kodak" / "08.png",
    ]


def levels(image: Tensor) -> np.ndarray:
    return to_bytes(image[0].numpy())

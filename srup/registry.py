"""Every network srup knows, one row per scale: what it is, where its weights come from, what its paper says it scores.

A new network is one file in `networks/` and its rows here.
"""

from __future__ import annotations

import difflib
import importlib
import itertools
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from srup import weights
from srup.errors import ScaleError, UnknownModel, WeightsMismatch

if TYPE_CHECKING:  # torch takes seconds to import: only what builds a network waits for it
    from torch import Tensor

    from srup.networks.stages import Network

DEFAULT = "lite"
SMALLEST_SCALE, LARGEST_SCALE = 1, 32


@dataclass(frozen=True)
class Model:
    """A network with one set of weights, at one scale.

    `scale` 0 means any: the image is enlarged bicubically to its target and the network restores it there.
    `network` is "file:Class" under `srup.networks`, built with `options`. Without `urls` the weights travel in the package.
    `parameters` and `multi_adds` (in units of 1e9, for a 1280×720 output) are what `costs.cost` counts; a test compares them, so
    that the table can be shown without importing torch. `published` is data set → (PSNR, SSIM), as `paper` prints them.
    """

    name: str
    scale: int
    network: str
    file: str
    digest: str
    parameters: int
    multi_adds: float
    licence: str
    paper: str
    urls: tuple[str, ...] = ()
    options: Mapping[str, int] = field(default_factory=dict)
    published: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    note: str = ""


def _github(repository: str, commit: str, path: str) -> tuple[str, ...]:
    return (f"https://raw.githubusercontent.com/{repository}/{commit}/{path}",)


def _imdn_url(path: str) -> tuple[str, ...]:
    return _github("Zheng222/IMDN", "8f158e6a5ac9db6e5857d9159fd4a6c4214da574", f"checkpoints/{path}")


IMDN_PAPER = "Hui et al., ACM MM 2019, https://arxiv.org/abs/1909.11856"
LITE_PAPER = "srup's own, after MDSR: Lim et al., CVPRW 2017, https://arxiv.org/abs/1707.02921"

MODELS = (
    *(
        Model(
            name="lite",
            scale=scale,
            network="lite:Lite",
            options={"scale": scale},
            file="lite.pt",
            digest="",
            parameters=291_111,
            multi_adds=multi_adds,
            licence="MIT",
            paper=LITE_PAPER,
        )
        for scale, multi_adds in ((2, 58.8), (3, 26.8), (4, 15.6))
    ),
    Model(
        name="imdn",
        scale=2,
        network="imdn:IMDN",
        options={"scale": 2},
        file="imdn_x2.pth",
        urls=_imdn_url("IMDN_x2.pth"),
        digest="sha256:740b39653592bd3f49955a21cd9e16f2d37f2c413368cc09327601b8fbe42ce1",
        parameters=694_404,
        multi_adds=159.6,
        licence="none stated",
        paper=IMDN_PAPER,
        published={"Set5": (38.00, 0.9605), "Set14": (33.63, 0.9177), "BSD100": (32.19, 0.8996), "Urban100": (32.17, 0.9283)},
    ),
    Model(
        name="imdn",
        scale=3,
        network="imdn:IMDN",
        options={"scale": 3},
        file="imdn_x3.pth",
        urls=_imdn_url("IMDN_x3.pth"),
        digest="sha256:11b1716a19bc16e5e353e1db798d476169338e631eb170c82d765559888cb028",
        parameters=703_059,
        multi_adds=71.9,
        licence="none stated",
        paper=IMDN_PAPER,
        published={"Set5": (34.36, 0.9270), "Set14": (30.32, 0.8417), "BSD100": (29.09, 0.8046), "Urban100": (28.17, 0.8519)},
    ),
    Model(
        name="imdn",
        scale=4,
        network="imdn:IMDN",
        options={"scale": 4},
        file="imdn_x4.pth",
        urls=_imdn_url("IMDN_x4.pth"),
        digest="sha256:e660c38221147217a136debeb99eb304d62d9c0f73ac421ed66281b619719714",
        parameters=715_176,
        multi_adds=41.1,
        licence="none stated",
        paper=IMDN_PAPER,
        published={"Set5": (32.21, 0.8948), "Set14": (28.58, 0.7811), "BSD100": (27.56, 0.7353), "Urban100": (26.04, 0.7838)},
    ),
    Model(
        name="imdn-as",
        scale=0,
        network="imdn:IMDN_AS",
        file="imdn_as.pth",
        urls=_imdn_url("IMDN_AS.pth"),
        digest="sha256:3cbddf7635581a5a1eab501b18081e7825dcdfd53a1a7670e1e571515eae76ff",
        parameters=752_104,
        multi_adds=43.3,
        licence="none stated",
        paper=IMDN_PAPER,
        note="for real photographs; on images that were shrunk bicubically it scores below bicubic",
    ),
    Model(
        name="imdn-rtc",
        scale=2,
        network="imdn:IMDN_RTC",
        file="imdn_rtc.pth",
        urls=_imdn_url("model_RTC.pth"),
        digest="sha256:5696ca25971477a93f2a3f3b235039e30afefff1bb560efdc48c0f880635a2ab",
        parameters=20_190,
        multi_adds=4.6,
        licence="none stated",
        paper=IMDN_PAPER,
    ),
    Model(
        name="imdn-rte",
        scale=2,
        network="imdn:IMDN_RTE",
        file="imdn_rte.pth",
        urls=_imdn_url("model_RTE.pth"),
        digest="sha256:4f5df6feb541d3904e1bceb9d7444bde3a8068d91c22941f4c83247663081c7d",
        parameters=89_748,
        multi_adds=5.3,
        licence="none stated",
        paper=IMDN_PAPER,
        note="trained on noisy input: it smooths",
    ),
    Model(
        name="imdn-plus",
        scale=4,
        network="imdn:IMDN_Plus",
        file="imdn_plus_x4.pth",
        urls=_github("ofsoundof/NTIRE2022_ESR", "e95ba4a4916bb13d6348f7ee172827e2452e8a31", "model_zoo/team39_imdn_plus.pth"),
        digest="sha256:0051dcbeb82684fef3981eff81df86bb167b8f9602323fa37f82f8c5566ff5a9",
        parameters=275_844,
        multi_adds=15.9,
        licence="MIT",
        paper="team 39 of the NTIRE 2022 efficient super-resolution challenge, https://arxiv.org/abs/2205.05675",
        published={"Set5": (32.11, 0.8934), "Set14": (28.63, 0.7823), "BSD100": (27.58, 0.7358), "Urban100": (26.10, 0.7846)},
    ),
)


def names() -> list[str]:
    return list(dict.fromkeys(model.name for model in MODELS))


def find(name: str) -> dict[int, Model]:
    """The rows of a name by scale. Raises UnknownModel, suggesting near names."""
    rows = {model.scale: model for model in MODELS if model.name == name}
    if not rows:
        near = difflib.get_close_matches(name.lower().replace("_", "-"), names(), n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names())}"
        raise UnknownModel(f"no model is called {name!r}: {hint} (srup models lists them)")
    return rows


def route(name: str, scale: float) -> tuple[Model, ...]:
    """The rows to run one after the other for an enlargement of at least `scale`: the least that suffices, in the fewest steps.

    A model of any scale is its own route. Raises UnknownModel, ScaleError.
    """
    rows = find(name)
    if not SMALLEST_SCALE <= scale <= LARGEST_SCALE:
        raise ScaleError(f"scale {scale:g} is out of range: srup enlarges {SMALLEST_SCALE} to {LARGEST_SCALE} times")
    if 0 in rows:
        return (rows[0],)
    chains = (chain for steps in range(1, 6) for chain in itertools.combinations_with_replacement(sorted(rows), steps))
    best = min((chain for chain in chains if _product(chain) >= scale - 1e-9), key=lambda chain: (_product(chain), len(chain)))
    return tuple(rows[step] for step in best)


def _product(chain: tuple[int, ...]) -> int:
    total = 1
    for step in chain:
        total *= step
    return total


def build(model: Model) -> Network:
    """The network of a row, its weights not yet loaded."""
    file, _, name = model.network.partition(":")
    network: Network = getattr(importlib.import_module(f"srup.networks.{file}"), name)(**model.options)
    return network.eval()


def weights_file(model: Model, *, progress: weights.Progress | None = None) -> Path:
    """The verified weights of a row: from the package, the cache, or else downloaded. Raises WeightsError."""
    if not model.urls:
        return Path(str(resources.files("srup.networks") / model.file))
    return weights.fetch(model.file, urls=model.urls, digest=model.digest, progress=progress)


def load_weights(network: Network, path: str | Path) -> Network:
    """The network with the tensors of a checkpoint. Raises WeightsMismatch naming the first tensor that does not fit."""
    tensors = _tensors(Path(path))
    own = network.state_dict()
    missing = [name for name in own if name not in tensors]
    unexpected = [name for name in tensors if name not in own]
    if missing or unexpected:
        first = "; ".join(
            f"{word} {names[0]} ({len(names)} in all)"
            for word, names in (("missing", missing), ("unexpected", unexpected))
            if names
        )
        raise WeightsMismatch(f"{path} holds another network: {first}; check -m and -s against the file")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            here, there = (tuple(t.shape) for t in (own[name], tensor))
            raise WeightsMismatch(f"{path} holds another network: {name} is {there}, not {here}; check -m and -s against the file")
    network.load_state_dict(tensors)
    return network


def load_what_fits(network: Network, path: str | Path) -> list[str]:
    """Loads the tensors of a checkpoint whose name and shape the network has; the names of its own that got nothing."""
    own = network.state_dict()
    fitting = {name: tensor for name, tensor in _tensors(Path(path)).items() if name in own and tensor.shape == own[name].shape}
    if not fitting:
        raise WeightsMismatch(f"{path} has no tensor that fits; is it of another network?")
    network.load_state_dict(fitting, strict=False)
    return [name for name in own if name not in fitting]


def _tensors(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, without the `module.` that DataParallel leaves. Nothing but tensors is unpickled."""
    import torch

    try:
        if path.suffix == ".safetensors":
            return _safetensors(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsMismatch(f"cannot read {path}: no such file; check the name") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise WeightsMismatch(f"cannot read {path} as a checkpoint ({reason}); give a state dict saved by torch.save") from error
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise WeightsMismatch(f"{path} is no state dict of tensors; save model.state_dict() with torch.save")
    return {name.removeprefix("module."): tensor for name, tensor in loaded.items()}


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise WeightsMismatch(f"cannot read {path}: .safetensors needs an extra; pip install 'srup[safetensors]'") from error
    return dict(load_file(path))

"""A checkpoint file becomes the tensors of a network; nothing but tensors is ever unpickled."""

from __future__ import annotations

import importlib
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

from srup.errors import WeightsMismatch

if TYPE_CHECKING:  # torch takes seconds to import: only what reads a checkpoint waits for it
    from torch import Tensor

    from srup.networks.base import Network


def load_weights(network: Network, path: str | Path) -> Network:
    """The network with the tensors of a checkpoint. Raises WeightsMismatch naming the first tensor that does not fit."""
    tensors = _adapted(network, _tensors(Path(path)))
    own = network.state_dict()
    missing = [name for name in own if name not in tensors]
    unexpected = [name for name in tensors if name not in own]
    if missing or unexpected:
        first = "; ".join(
            f"{word} {names[0]} ({len(names)} in all)"
            for word, names in (("missing", missing), ("unexpected", unexpected))
            if names
        )
        raise WeightsMismatch(
            f"{path} holds another network: {first}; check -m and -s against the file"
        )
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            here, there = (tuple(t.shape) for t in (own[name], tensor))
            raise WeightsMismatch(
                f"{path} holds another network: {name} is {there}, not {here}; check -m and -s against the file"
            )
    network.load_state_dict(tensors)
    return network


def _adapted(network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as the network has them, by the `adapt` of its file if there is one."""
    adapt = getattr(importlib.import_module(type(network).__module__), "adapt", None)
    return adapt(tensors) if adapt else tensors


def load_what_fits(network: Network, path: str | Path) -> list[str]:
    """Loads the tensors of a checkpoint whose name and shape the network has; the names of its own that got nothing."""
    own = network.state_dict()
    tensors = _adapted(network, _tensors(Path(path)))
    fitting = {
        name: tensor
        for name, tensor in tensors.items()
        if name in own and tensor.shape == own[name].shape
    }
    if not fitting:
        raise WeightsMismatch(f"{path} has no tensor that fits; is it of another network?")
    network.load_state_dict(fitting, strict=False)
    return [name for name in own if name not in fitting]


def _tensors(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, out of the wrappers of training tools and without the `module.` that DataParallel leaves.

    Nothing but tensors is unpickled.
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            return _safetensors(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsMismatch(f"cannot read {path}: no such file; check the name") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise WeightsMismatch(
            f"cannot read {path} as a checkpoint ({reason}); give a state dict saved by torch.save"
        ) from error
    for wrapper in ("params_ema", "params", "state_dict"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not all(
        isinstance(value, torch.Tensor) for value in loaded.values()
    ):
        raise WeightsMismatch(
            f"{path} is no state dict of tensors; save model.state_dict() with torch.save"
        )
    return {name.removeprefix("module."): tensor for name, tensor in loaded.items()}


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise WeightsMismatch(
            f"cannot read {path}: .safetensors needs an extra; pip install 'srup[safetensors]'"
        ) from error
    return dict(load_file(path))

"""Loads checkpoint files into networks, and unpickles nothing but tensors."""

from __future__ import annotations

import importlib
import pickle
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from srup.errors import WeightsMismatch

if TYPE_CHECKING:  # importing torch takes seconds: only reading a checkpoint waits for it
    from torch import Tensor

    from srup.networks.base import Network

WRAPPERS = ("params_ema", "params", "state_dict")  # keys under which training tools save tensors


def check_file(path: str | Path) -> None:
    """Checks that a checkpoint is a file, before any work. Raises WeightsMismatch."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            return path.open("rb").close()
    except FileNotFoundError as error:
        raise WeightsMismatch(f"cannot read {path}: no such file; check the name") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WeightsMismatch(f"cannot read {path}: {reason}; check the name") from error
    kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
    raise WeightsMismatch(f"cannot read {path}: it is {kind}; give the file of a checkpoint")


def load_weights(network: Network, path: str | Path) -> Network:
    """Loads a checkpoint whose tensors are exactly the network's, and returns the network.

    The file is a state dict saved by `torch.save`, or .safetensors. Raises WeightsMismatch, naming
    the first tensor that does not fit.
    """
    tensors = _adapted(network, _read_tensors(Path(path)))
    own = network.state_dict()
    difference = _difference(tensors, own)
    if difference:
        raise WeightsMismatch(
            f"{path} holds another network: {difference}",
            "check that {model} is the network of the file",
            "check that {scale} is its scale",
        )
    network.load_state_dict(tensors)
    return network


def load_what_fits(network: Network, path: str | Path) -> list[str]:
    """Loads those tensors of a checkpoint whose name and shape the network has.

    Returns the names of the network's tensors that got nothing. Raises WeightsMismatch if nothing
    fits.
    """
    tensors = _adapted(network, _read_tensors(Path(path)))
    fitting, left = {}, []
    for name, own in network.state_dict().items():
        if name in tensors and tensors[name].shape == own.shape:
            fitting[name] = tensors[name]
        else:
            left.append(name)
    if not fitting:
        raise WeightsMismatch(f"{path} has no tensor that fits; check that it is of this network")
    network.load_state_dict(fitting, strict=False)
    return left


def _difference(tensors: dict[str, Tensor], own: dict[str, Tensor]) -> str:
    """How a checkpoint's tensors differ from a network's in name or shape; "" if they do not."""
    missing = [name for name in own if name not in tensors]
    unexpected = [name for name in tensors if name not in own]
    parts = []
    if missing:
        parts.append(f"missing {missing[0]} ({len(missing)} in all)")
    if unexpected:
        parts.append(f"unexpected {unexpected[0]} ({len(unexpected)} in all)")
    if parts:
        return "; ".join(parts)
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            return f"{name} is {tuple(tensor.shape)}, not {tuple(own[name].shape)}"
    return ""


def _adapted(network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in the network's layout, converted by `adapt` of its file where it has one."""
    adapt = getattr(importlib.import_module(type(network).__module__), "adapt", None)
    return adapt(tensors) if adapt else tensors


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, without the prefix "module." that DataParallel adds to names."""
    import torch

    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        # weights_only: unpickling anything else would run code that the file brings along
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsMismatch(f"cannot read {path}: no such file; check the name") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise WeightsMismatch(
            f"cannot read {path} as a checkpoint ({reason}); give a state dict saved by torch.save"
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not all(map(torch.is_tensor, loaded.values())):
        raise WeightsMismatch(
            f"{path} is no state dict of tensors; save model.state_dict() with torch.save"
        )
    return {name.removeprefix("module."): tensor for name, tensor in loaded.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise WeightsMismatch(
            f"cannot read {path}: .safetensors needs an extra; pip install 'srup[safetensors]'"
        ) from error
    return dict(load_file(path))

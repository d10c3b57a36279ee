"""Loads checkpoint files into networks, and unpickles nothing but tensors."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from srup.errors import WeightsMismatch
from srup.files import NotRegular, check_regular
from srup.models import registry, state_dicts
from srup.models.registry import Model
from srup.models.state_dicts import shown

if TYPE_CHECKING:  # importing torch takes seconds: only reading a checkpoint waits for it
    from torch import Tensor

    from srup.networks.base import Network


def check_file(path: str | Path) -> None:
    """Checks that a checkpoint is a file, before any work. Raises WeightsMismatch."""
    path = Path(path)
    try:
        check_regular(path)
        path.open("rb").close()
    except FileNotFoundError as error:
        raise WeightsMismatch(f"cannot read {path}: no such file; check the name") from error
    except IsADirectoryError as error:
        raise WeightsMismatch(
            f"cannot read {path}: it is a folder; give the file of a checkpoint"
        ) from error
    except NotRegular as error:
        raise WeightsMismatch(
            f"cannot read {path}: it is {error.strerror}; give the file of a checkpoint"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WeightsMismatch(f"cannot read {path}: {reason}; check the name") from error


def load_weights(network: Network, path: str | Path) -> Network:
    """Loads a checkpoint whose tensors are exactly the network's, and returns the network.

    The file is a state dict saved by `torch.save`, or .safetensors. Raises WeightsMismatch, naming
    the first tensor that does not fit.
    """
    tensors = _adapted(network, Path(path))
    own = network.state_dict()
    difference = _difference(tensors, own)
    if difference:
        raise WeightsMismatch(
            f"{path} holds another network: {difference}",
            "check that {model} is the network of the file",
            "check that {scale} is its scale",
        )
    _take(network, tensors, Path(path), strict=True)
    return network


def fits(tensors: Mapping[str, Tensor], model: Model) -> bool:
    """Whether a state dict is one of a row's network, by names and shapes."""
    import torch

    with torch.device("meta"):  # nothing is allocated or computed
        network = registry.build(model)
    try:
        adapted = _renamed(network, dict(tensors))
    except Exception:  # `adapt` relies on names of the published file
        return False
    return not _difference(adapted, network.state_dict())


def load_what_fits(network: Network, path: str | Path) -> list[str]:
    """Loads those tensors of a checkpoint whose name and shape the network has.

    Returns the names of the network's tensors that got nothing. Raises WeightsMismatch if nothing
    fits.
    """
    tensors = _adapted(network, Path(path))
    fitting, left = {}, []
    for name, own in network.state_dict().items():
        if name in tensors and tensors[name].shape == own.shape:
            fitting[name] = tensors[name]
        else:
            left.append(name)
    if not fitting:
        raise WeightsMismatch(f"{path} has no tensor that fits; check that it is of this network")
    _take(network, fitting, Path(path), strict=False)
    return left


def _difference(tensors: dict[str, Tensor], own: dict[str, Tensor]) -> str:
    """How a checkpoint's tensors differ from a network's in name or shape; "" if they do not."""
    missing = [name for name in own if name not in tensors]
    unexpected = [name for name in tensors if name not in own]
    parts = []
    if missing:
        parts.append(f"missing {missing[0]} ({len(missing)} in all)")
    if unexpected:
        parts.append(f"unexpected {shown(unexpected[0])} ({len(unexpected)} in all)")
    if parts:
        return "; ".join(parts)
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            return f"{name} is {shown(tuple(tensor.shape))}, not {tuple(own[name].shape)}"
    return ""


def _adapted(network: Network, path: Path) -> dict[str, Tensor]:
    """The tensors in the network's layout, converted by `adapt` of its file where it has one."""
    tensors = state_dicts.read(path)
    try:
        return _renamed(network, tensors)
    except Exception as error:  # it relies on names and shapes of the published file
        raise WeightsMismatch(f"{path} has some names of another network, but not all") from error


def _renamed(network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    adapt = getattr(importlib.import_module(type(network).__module__), "adapt", None)
    return adapt(tensors) if adapt else tensors


def _take(network: Network, tensors: dict[str, Tensor], path: Path, *, strict: bool) -> None:
    try:
        network.load_state_dict(tensors, strict=strict)
    except Exception as error:  # values of a type that PyTorch does not convert
        raise WeightsMismatch(
            f"{path} has values that are no numbers for {type(network).__name__}; "
            "save them as float32"
        ) from error

"""What a network costs, found without computing anything: its graph is run on tensors that have no storage."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from srup.networks.base import Network

OUTPUT = (1280, 720)  # the yardstick of the papers
PROBE = 64  # pixels a side


def cost(network: Network) -> tuple[int, float]:
    """Parameters, and multiply-adds in units of 1e9 for an output of 1280×720.

    Convolutions and matrix products count, additions and poolings do not. The input's sides are those of the output over the
    scale, rounded up.
    """
    width, height = (math.ceil(side / network.scale) for side in OUTPUT)
    with FlopCounterMode(display=False) as counter:
        _walk(network, height, width)
    return sum(tensor.numel() for tensor in network.parameters()), counter.get_total_flops() / 2e9


def largest_map(network: Network) -> float:
    """Values for each input pixel in the largest tensor that comes up: channels, times the square of what it is enlarged by."""
    with _Largest() as largest:
        _walk(network, PROBE, PROBE)
    return float(largest.numel) / PROBE**2


class _Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numel = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if (
                isinstance(tensor, Tensor) and tensor.ndim == 4 and tensor.shape[0] == 1
            ):  # an image's, not a kernel
                self.numel = max(self.numel, tensor.numel())
        return result


@torch.no_grad()
def _walk(network: Network, height: int, width: int) -> None:
    weights = {name: tensor.to("meta") for name, tensor in network.state_dict().items()}
    functional_call(network, weights, torch.empty(1, 3, height, width, device="meta"))

"""Counts what a network costs, without computing it: it runs on tensors without storage."""

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

OUTPUT = (1280, 720)  # width and height for which papers state multiply-adds
PROBE = 64  # pixels a side


def cost(network: Network) -> tuple[int, float]:
    """The number of parameters, and multiply-adds in units of 1e9 for an output of 1280×720.

    Convolutions and matrix products count, additions and pooling do not. The input's sides are
    those of the output divided by the scale, rounded up.
    """
    width, height = (math.ceil(side / network.scale) for side in OUTPUT)
    with FlopCounterMode(display=False) as counter:
        _walk(network, height, width)
    return sum(tensor.numel() for tensor in network.parameters()), counter.get_total_flops() / 2e9


def largest_map(network: Network) -> float:
    """How many values the network's largest map has for each input pixel.

    That is its channels times the square of its enlargement.
    """
    with LargestMap() as largest:
        _walk(network, PROBE, PROBE)
    return float(largest.numel) / PROBE**2


class LargestMap(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the size of the largest map that any operation returns."""

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
            # a batch of one tells maps from kernels
            if isinstance(tensor, Tensor) and tensor.ndim == 4 and tensor.shape[0] == 1:
                self.numel = max(self.numel, tensor.numel())
        return result


@torch.no_grad()
def _walk(network: Network, height: int, width: int) -> None:
    weights = {name: tensor.to("meta") for name, tensor in network.state_dict().items()}
    functional_call(network, weights, torch.empty(1, 3, height, width, device="meta"))

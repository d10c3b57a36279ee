"""What a network costs: parameters, and multiply-adds for an output of 1280×720, the usual yardstick of the papers."""

from __future__ import annotations

import math

import torch
from torch.utils.flop_counter import FlopCounterMode

from srup import registry
from srup.registry import Model

OUTPUT = (1280, 720)


def cost(model: Model) -> tuple[int, float]:
    """Parameters, and multiply-adds in units of 1e9 (convolutions and matrix products; additions and poolings are not counted).

    The input's sides are those of the output over the scale, rounded up. Nothing is computed: the tensors have no storage.
    """
    with torch.device("meta"):
        network = registry.build(model)
        width, height = (math.ceil(side / (model.scale or 1)) for side in OUTPUT)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.empty(1, 3, height, width))
    return sum(tensor.numel() for tensor in network.parameters()), counter.get_total_flops() / 2e9

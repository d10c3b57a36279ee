"""Branches that help training and cost nothing afterwards: structural reparameterization.

A 3×3 convolution is trained as itself plus a wider one followed by 1×1. Both are linear, so their
kernels merge into one of the plain shape (Bhardwaj et al., "Collapsible Linear Blocks for
Super-Efficient Super Resolution", MLSys 2022, https://arxiv.org/abs/2103.09404). Kernels are
merged, not images, at every step, so training costs hardly more.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class Branch(nn.Module):
    """Adds to a kernel C_out×C_in×3×3 that of 3×3 to `wider` · C_out channels and back by 1×1."""

    def __init__(self, kernel: Tensor, wider: int) -> None:
        super().__init__()
        after, before = kernel.shape[:2]
        middle = wider * after
        self.expand = nn.Parameter(torch.randn(middle, before, 3, 3) / (9 * before) ** 0.5)
        # Zeros, so that adding a branch does not change what the network computes.
        self.squeeze = nn.Parameter(torch.zeros(after, middle))

    def forward(self, kernel: Tensor) -> Tensor:
        """The merged kernel C_out×C_in×3×3."""
        return kernel + torch.einsum("om,mikl->oikl", self.squeeze, self.expand)


def branch(network: nn.Module, wider: int) -> None:
    """Adds a branch to every inner convolution of 3×3."""
    for module in inner_convolutions(network):
        if module.kernel_size == (3, 3):
            parametrize.register_parametrization(module, "weight", Branch(module.weight, wider))


def inner_convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """The convolutions with as many channels after them as before."""
    convolutions = (each for each in network.modules() if isinstance(each, nn.Conv2d))
    return [each for each in convolutions if each.in_channels == each.out_channels]


def merged(network: nn.Module, names: Sequence[str]) -> dict[str, Tensor]:
    """The tensors `names` of a plain network's state dict, from a network with branches."""
    return {name: operator.attrgetter(name)(network).detach() for name in names}

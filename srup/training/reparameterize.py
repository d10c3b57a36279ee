"""Branches for training that cost nothing afterwards.

A 3×3 convolution is trained as itself plus a wider one followed by 1×1; both are linear, so their kernels merge into one of the
plain shape (Bhardwaj et al., "Collapsible Linear Blocks for Super-Efficient Super Resolution", MLSys 2022,
https://arxiv.org/abs/2103.09404). The merge happens on kernels, not on images, at every step: training costs hardly more.
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class Branch(nn.Module):
    """A kernel C_out×C_in×3×3 plus that of 3×3 to `wider` · C_out channels and back by 1×1."""

    def __init__(self, kernel: Tensor, wider: int) -> None:
        super().__init__()
        after, before = kernel.shape[:2]
        middle = wider * after
        self.expand = nn.Parameter(torch.randn(middle, before, 3, 3) / (9 * before) ** 0.5)
        self.squeeze = nn.Parameter(
            torch.zeros(after, middle)
        )  # the branch begins as nothing: trained weights stay what they are

    def forward(self, kernel: Tensor) -> Tensor:
        return kernel + torch.einsum("om,mikl->oikl", self.squeeze, self.expand)


def branch(network: nn.Module, wider: int) -> None:
    """Gives every 3×3 convolution that keeps its width a branch, `wider` times as wide inside."""
    for module in list(network.modules()):
        if (
            isinstance(module, nn.Conv2d)
            and module.kernel_size == (3, 3)
            and module.in_channels == module.out_channels
        ):
            parametrize.register_parametrization(module, "weight", Branch(module.weight, wider))


def merged(network: nn.Module, names: list[str]) -> dict[str, Tensor]:
    """The tensors of the plain network, whose state dict has `names`, from one with branches."""
    return {name: operator.attrgetter(name)(network).detach() for name in names}

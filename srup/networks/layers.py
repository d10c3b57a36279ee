"""What three or more of the networks share."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Shortcut(nn.Module):
    """A module and the identity around it."""

    def __init__(self, sub: nn.Module) -> None:
        super().__init__()
        self.sub = sub

    def forward(self, x: Tensor) -> Tensor:
        inside: Tensor = self.sub(x)
        return x + inside


def mean_and_deviation(strips: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (1/N) of each channel of a map, N×C×1×1 both, from its strips in one pass.

    In no less than float32, where squares do not overflow. Strips are joined as Chan, Golub, LeVeque: "Algorithms for computing
    the sample variance" (1983) join samples: their deviations are taken around their own means, so that nothing cancels.
    """
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for strip in strips:
        strip = strip.to(torch.promote_types(strip.dtype, torch.float32))
        size = strip.shape[2] * strip.shape[3]
        own = strip.mean((2, 3), keepdim=True)
        spread = (strip - own).square_().sum((2, 3), keepdim=True)
        apart = own - mean.to(own.device)
        squares = squares.to(own.device) + spread + apart.square() * (count * size / (count + size))
        count += size
        mean = mean.to(own.device) + apart * (size / count)
    return mean, (squares / count).sqrt()

"""Muon, an optimiser for the kernels inside a network.

A step along the gradient changes few directions of a kernel much and most hardly. Muon makes all
singular values of the step about equal (Jordan et al., "Muon: An optimizer for hidden layers in
neural networks", https://kellerjordan.github.io/posts/muon/). PyTorch has it for matrices alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
# Of the polynomial that is iterated, by Jordan et al.: five times bring singular values from 0.01
# up to between 0.7 and 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
# The root of the mean square of a step, in units of the rate. Adam's steps have about this, so that
# its rates do for Muon (Liu et al., "Muon is Scalable for LLM Training", arXiv:2502.16982).
STEP = 0.2


class Muon(torch.optim.Optimizer):
    """Steps of kernels C_out×C_in×h×w, which are taken as matrices C_out×C_in·h·w."""

    def __init__(self, kernels: Iterable[Tensor], rate: float) -> None:
        super().__init__(kernels, {"lr": rate})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Moves every kernel; `closure` is not called."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for kernel in group["params"]:
                if kernel.grad is not None:
                    by_shape.setdefault(kernel.shape, []).append(kernel)
            # those of a shape at once, as each is small
            for shape, kernels in by_shape.items():
                steps = orthogonal(torch.stack([self._average(each) for each in kernels]))
                longest = max(steps.shape[-2:])
                for kernel, step in zip(kernels, steps, strict=True):
                    kernel.sub_(step.view(shape), alpha=group["lr"] * STEP * longest**0.5)

    def _average(self, kernel: Tensor) -> Tensor:
        """The running average of a kernel's gradient, a step ahead (Nesterov), as a matrix."""
        assert kernel.grad is not None, "kernels without a gradient are left out"
        gradient = kernel.grad.flatten(1)
        state = self.state[kernel]
        if not state:
            state["average"] = torch.zeros_like(gradient)
        state["average"].lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(state["average"], MOMENTUM)


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices N×R×C with their singular vectors, and about 1 for each singular value.

    By an iteration after Newton and Schulz, in bfloat16: what is made need not be exact.
    """
    first, third, fifth = COEFFICIENTS
    made: Tensor = matrices.bfloat16()
    # at most 1: beyond, the iteration diverges
    made /= made.norm(dim=(-2, -1), keepdim=True) + 1e-7
    for _ in range(ITERATIONS):
        square = made @ made.mT
        made = first * made + (third * square + fifth * (square @ square)) @ made
    return made.to(matrices.dtype)

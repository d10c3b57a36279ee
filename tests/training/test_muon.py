from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from srup.errors import UsageError
from srup.training.hyperparameters import Hyperparameters
from srup.training.muon import Muon, orthogonal

SHAPES = [(48, 48, 3, 3), (12, 12, 1, 1), (16, 16, 5, 5)]


@pytest.fixture(autouse=True)
def _same_numbers(seeded: None) -> None:
    """Torch draws the same in every test."""


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_singular_values_become_about_one(shape: tuple[int, int]) -> None:
    """Of matrices whose own are a hundredfold apart; the vectors stay, up to bfloat16."""
    rank = min(shape)
    made = []
    for _ in range(3):
        left, _, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
        made.append((left, torch.logspace(-2, 0, rank), right))
    matrices = torch.stack([left @ values.diag() @ right for left, values, right in made])
    for (left, _, right), result in zip(made, orthogonal(matrices), strict=True):
        turned = left.T @ result @ right.T
        assert turned.diag().min() > 0.3 and turned.diag().max() < 1.3
        assert (turned - turned.diag().diag()).abs().max() < 0.05


@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_is_as_large_as_one_of_adam(shape: tuple[int, ...]) -> None:
    """Whatever the gradient's size, and against it."""
    for size in (1e-4, 1e4):
        kernel = nn.Parameter(torch.zeros(shape))
        kernel.grad = size * torch.randn(shape)
        Muon([kernel], 1e-3).step()
        assert kernel.square().mean().sqrt().item() == pytest.approx(2e-4, rel=0.3)
        assert (kernel * kernel.grad).sum() < 0


def test_kernels_of_one_shape_move_as_each_would_alone() -> None:
    kernels = [nn.Parameter(torch.randn(shape)) for shape in (*SHAPES, *SHAPES)]
    alone = [nn.Parameter(kernel.detach().clone()) for kernel in kernels]
    together, each = Muon(kernels, 1e-2), [Muon([kernel], 1e-2) for kernel in alone]
    for _ in range(3):
        for kernel, same in zip(kernels, alone, strict=True):
            kernel.grad = torch.randn(kernel.shape)
            same.grad = kernel.grad.clone()
        for optimiser in (together, *each):
            optimiser.step()
    for kernel, same in zip(kernels, alone, strict=True):
        assert torch.allclose(kernel, same, atol=1e-4)


def test_what_has_no_gradient_stays() -> None:
    """As the tail of a scale that was not drawn."""
    kernel = nn.Parameter(torch.ones(4, 4, 3, 3))
    Muon([kernel], 1.0).step()
    assert (kernel == 1).all()


def test_it_finds_the_least_of_an_ill_conditioned_loss_sooner() -> None:
    """Than steps along the gradient at the best of many rates: what it is for."""
    inputs = torch.randn(400, 16) * torch.logspace(-2, 0, 16)
    aim = torch.randn(16, 16)

    def loss_after(optimiser_of: type[torch.optim.Optimizer], rate: float) -> float:
        kernel = nn.Parameter(torch.zeros(16, 16, 1, 1))
        optimiser = optimiser_of([kernel], rate)
        for step in range(200):
            optimiser.param_groups[0]["lr"] = rate * (1 - step / 200)
            optimiser.zero_grad()
            loss = ((inputs @ (kernel.flatten(1) - aim).T) ** 2).mean()
            loss.backward()
            optimiser.step()
        return loss.item()

    rates = [2.0**power for power in range(-2, 8)]
    best = min(loss_after(torch.optim.SGD, rate) for rate in rates)
    assert loss_after(Muon, 0.2) < best / 2


def test_it_trains_no_branches() -> None:
    plain = Hyperparameters(scales=(2,), steps=1, optimiser="muon")
    with pytest.raises(UsageError, match="trains no branches"):
        dataclasses.replace(plain, wider=2)

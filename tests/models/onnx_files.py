"""Small networks saved as ONNX files."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

OPEN = {2: "height", 3: "width"}  # axes of any length
LAST = {1: "height", 2: "width"}  # the same where channels are the last axis


class Function(nn.Module):
    """Two 3×3 convolutions with a ReLU between them, around which functions are put."""

    def __init__(
        self,
        *,
        channels: tuple[int, int] = (3, 3),
        scale: int = 2,
        before: Callable[[Tensor], Tensor] = lambda image: image,
        after: Callable[[Tensor], Tensor] = lambda image: image,
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(channels[0], 8, 3, padding=1)
        self.last = nn.Conv2d(8, channels[1] * scale**2, 3, padding=1)
        self.scale, self.before, self.after = scale, before, after

    def forward(self, image: Tensor) -> Tensor:
        features = self.first(self.before(image)).relu()
        result = nn.functional.pixel_shuffle(self.last(features), self.scale) * 0.3 + 0.5
        return self.after(result)


def saved(
    path: Path,
    network: nn.Module,
    example: Tensor | None = None,
    *,
    axes: Mapping[int, str] | None = OPEN,
) -> Path:
    """The file of a network, for images whose `axes` may have any length."""
    if example is None:
        example = torch.rand(1, 3, 48, 48)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the new export takes one package more
        torch.onnx.export(
            network.eval(),
            (example,),
            str(path),
            dynamo=False,
            input_names=["image"],
            output_names=["result"],
            dynamic_axes=axes and {"image": axes, "result": axes},
        )
    return path

"""A network as a list of stages: what makes tiling exact.

Inside a stage an output pixel depends only on input pixels within `margin`, so a stage may run window by window. What looks at
the whole image (the pooled statistics of IMDN's attention, say) happens between stages: `summary` reads the finished map and
the next stage is told the result as its `context`. Run over one window or over many, the arithmetic is the same.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Run = Callable[[list[Tensor], "Tensor | None"], list[Tensor]]
Summary = Callable[[Iterable[Tensor]], Tensor]


@dataclass(frozen=True)
class Stage:
    """A stretch of a network that is local.

    `run(state, context)` maps the tensors of a window (N×C×H×W, all of one size) to those of the next state, of one size again
    (the same, or larger or smaller by a fixed ratio). A tensor that is only handed through is returned as the same object.
    `margin` is how far, in pixels of its input, an output pixel sees; windows start on multiples of `stride`.
    `summary(strips)` turns the last tensor of the finished state, given as full-width strips from top to bottom, into the next
    stage's context: N×C×1×1, or a map of the state's size.
    """

    run: Run
    margin: int
    summary: Summary | None = None
    stride: int = 1


class Network(nn.Module):
    """A super-resolution network: N×3×H×W RGB in [0, 1] in, N×3×(scale·H)×(scale·W) out, unclipped.

    `multiple` and `smallest` are what the stages need of an input's sides; `forward` takes any size from 1×1 up.
    `loss` names what its authors trained it with.
    """

    scale: int = 1
    multiple: int = 1
    smallest: int = 1
    loss: str = "l1"

    @abstractmethod
    def stages(self) -> list[Stage]:
        """The network as local stages over an input whose sides suit `multiple` and `smallest`."""

    def at(self, scale: int) -> Network:
        """The same tensors bound to `scale`; a network of one scale has only its own."""
        assert scale == self.scale, f"{type(self).__name__} is bound to ×{self.scale}"
        return self

    def forward(self, image: Tensor) -> Tensor:
        return fitted(self, image, lambda padded: whole(self.stages(), padded))


def whole(stages: Sequence[Stage], image: Tensor) -> Tensor:
    """The stages over the whole image at once, differentiable: what `forward` is."""
    state = [image]
    for state in states(stages, image):  # noqa: B007
        pass
    return state[-1]


def states(stages: Sequence[Stage], image: Tensor) -> Iterator[list[Tensor]]:
    """The state after each stage, run over the whole image at once."""
    state, context = [image], None
    for stage in stages:
        state = stage.run(state, context)
        context = stage.summary([state[-1]]) if stage.summary else None
        yield state


def local(run: Callable[[Tensor], Tensor], margin: int) -> list[Stage]:
    """The one stage of a network, or a part of one, that never looks further than `margin`."""
    return [Stage(lambda state, _: [run(state[0])], margin)]


def fitted(network: Network, image: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
    """`run` on the image, its right and bottom continued by reflection to the sides the network needs; the result cropped."""
    height, width = image.shape[-2:]
    rows, columns = (_side(length, network) for length in (height, width))
    if (rows, columns) != (height, width):
        image = image[..., _reflection(height, rows, image.device), :][..., _reflection(width, columns, image.device)]
    return run(image)[..., : height * network.scale, : width * network.scale]


def _side(length: int, network: Network) -> int:
    return -(-max(length, network.smallest) // network.multiple) * network.multiple


def _reflection(length: int, target: int, device: torch.device) -> Tensor:
    """Indices 0 … length-1, length-2 … 0, 1 … up to `target` of them: reflection that works from one pixel up."""
    period = max(2 * (length - 1), 1)
    index = torch.arange(target, device=device) % period
    return torch.minimum(index, period - index)

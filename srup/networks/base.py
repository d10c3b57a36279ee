"""What a network is."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from srup.networks.stages import Stage, pad_to_multiple, whole


class Network(nn.Module):
    """A super-resolution network: N×3×H×W RGB in [0, 1] in, N×3×(scale·H)×(scale·W) out, unclipped.

    `multiple` and `smallest` are what the stages need of an input's sides; `forward` takes any size from 1×1 up.
    `loss` names what its authors trained it with. `takes_half` says that bfloat16 was seen to cost
    it at most 0.01 dB on Set14.
    """

    scale: int = 1
    multiple: int = 1
    smallest: int = 1
    loss: str = "l1"
    takes_half: bool = False

    @abstractmethod
    def stages(self) -> list[Stage]:
        """The network as local stages over an input whose sides suit `multiple` and `smallest`."""

    def at(self, scale: int) -> Network:
        """The same tensors bound to `scale`; a network of one scale has only its own."""
        assert scale == self.scale, f"{type(self).__name__} is bound to ×{self.scale}"
        return self

    def forward(self, image: Tensor) -> Tensor:
        enlarged: Tensor = pad_to_multiple(self, image, lambda padded: whole(self.stages(), padded))
        return enlarged

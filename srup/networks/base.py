"""The base class of every network."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from srup.networks.stages import Stage, pad_to_multiple, whole


class Network(nn.Module):
    """A super-resolution network: N×3×H×W RGB in [0, 1] → N×3×(scale·H)×(scale·W), not clipped.

    The stages need an input whose sides are multiples of `multiple` and no shorter than `smallest`
    pixels; `forward` takes any size from 1×1 up. `loss` is what the authors trained the network
    with. A network that looks at the whole image, and cannot say what it saw, is run in windows
    that `overlap` by so many pixels and are blended. `takes_half` says that computing it in
    bfloat16 was measured to cost at most 0.01 dB on Set14.
    """

    scale: int = 1
    multiple: int = 1
    smallest: int = 1
    loss: str = "l1"
    takes_half: bool = False
    overlap: int = 0

    @abstractmethod
    def stages(self) -> list[Stage[Tensor]]:
        """The network as stages, for inputs whose sides suit `multiple` and `smallest`."""

    def at(self, scale: int) -> Network:
        """The same weights at `scale`; a network of a single scale accepts only its own."""
        assert scale == self.scale, f"{type(self).__name__} is bound to ×{self.scale}"
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Enlarges a batch of images N×3×H×W of any height and width."""
        return pad_to_multiple(self, image, lambda padded: whole(self.stages(), padded))

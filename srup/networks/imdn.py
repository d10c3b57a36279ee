"""IMDN and its kin.

Hui, Gao, Yang, Wang: "Lightweight Image Super-Resolution with Information Multi-distillation Network", ACM Multimedia 2019,
https://arxiv.org/abs/1909.11856. IMDN+ is team 39's entry to the NTIRE 2022 challenge (https://arxiv.org/abs/2205.05675).

A block (IMDB) distils: each 3×3 convolution's result is split, a part is kept and the rest goes on; the kept parts are
concatenated, weighed by contrast-aware channel attention (CCA), which pools mean and deviation of the whole map, and fused
by a 1×1 convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srup.networks.base import Network
from srup.networks.layers import (
    Shortcut,
    Statistics,
    channel_attention,
    contrast,
    conv1,
    in_full,
    scaled_conv,
    share,
)
from srup.networks.stages import Stage, local

KAIR = (
    (".conv1x1.", ".c5."),
    (".conv4.", ".c4."),
    *((f".conv{number}.0.", f".c{number}.") for number in (1, 2, 3)),
)  # there, here


def adapt(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors in the layout of KAIR as they are here; others unchanged."""
    renamed = {}
    for name, tensor in tensors.items():
        own = name
        for there, here in KAIR:
            own = own.replace(there, here)
        renamed[own] = tensor
    return renamed


Activation = Callable[[Tensor], Tensor]

leaky: Activation = partial(
    F.leaky_relu_, negative_slope=0.05
)  # in place, as all here: only on a convolution's fresh result


class Distillation(nn.Module):
    """The steps of a block: 3×3 convolutions c1 … cN of the given widths, each but the last split after its activation.

    `inputs` and `outputs` are the channels into and out of each step; what a step does not keep is the next one's input.
    Four steps end bare, the later designs' six end activated. `fuse` is the last convolution, 1×1 over all that was kept, c(N+1).
    """

    def __init__(
        self,
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        activation: Activation,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.kept = [
            out - following for out, following in zip(outputs, (*inputs[1:], 0), strict=True)
        ]
        self.names = [f"c{number}" for number in range(1, len(inputs) + 1)]
        for name, before, after in zip(self.names, inputs, outputs, strict=True):
            self.add_module(name, nn.Conv2d(before, after, 3, padding=1, bias=bias))
        self.bare = "c4" if len(inputs) == 4 else ""
        self.last = f"c{len(inputs) + 1}"
        self.add_module(self.last, conv1(sum(self.kept), inputs[0], bias=bias))

    def distil(self, x: Tensor) -> Tensor:
        """All that the steps keep, concatenated."""
        parts = []
        for name, kept in zip(self.names, self.kept, strict=True):
            x = self.get_submodule(name)(x)
            if name != self.bare:
                x = self.activation(x)
            parts.append(x[:, :kept])
            x = x[:, kept:]
        return torch.cat(parts, 1)

    @property
    def fuse(self) -> nn.Conv2d:
        return cast(nn.Conv2d, self.get_submodule(self.last))

    def forward(self, x: Tensor) -> Tensor:
        fused: Tensor = self.fuse(self.distil(x))
        return fused.add_(x)


class CCA(nn.Module):
    """Contrast-aware channel attention: a factor per channel from its deviation and mean over the whole map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_du = channel_attention(64, 4)

    @property
    def summary(self) -> Statistics:
        return contrast(self.conv_du)


class IMDB(Distillation):
    def __init__(self) -> None:
        super().__init__((64, 48, 48, 48), (64, 64, 64, 16), leaky)
        self.cca = CCA()


class IMDN(Network):
    """×2, ×3, ×4. `c` fuses the outputs of the six blocks, `LR_conv` adds the long skip, `upsampler` shuffles.

    The stages park, besides a block's distilled map and its input, the running sum of `c`: one 64-channel map in place of the six
    that its 1×1 convolution concatenates. The first features are made anew from the image where they are needed, which is cheaper.
    """

    takes_half = True

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.fea_conv = self._stem()
        for number in range(1, 7):
            self.add_module(f"IMDB{number}", IMDB())
        self.c = nn.Sequential(conv1(6 * 64, 64), nn.LeakyReLU(0.05, inplace=True))
        self.LR_conv = nn.Conv2d(64, 64, 3, padding=1)
        self.upsampler = nn.Sequential(
            nn.Conv2d(64, 3 * self.shuffle**2, 3, padding=1), nn.PixelShuffle(self.shuffle)
        )

    reach = 1  # of _features

    def _stem(self) -> nn.Module:
        return nn.Conv2d(3, 64, 3, padding=1)

    @property
    def shuffle(self) -> int:
        return self.scale

    @property
    def blocks(self) -> list[IMDB]:
        return [self.get_submodule(f"IMDB{number}") for number in range(1, 7)]  # type: ignore[misc]

    def _features(self, source: Tensor) -> Tensor:
        features: Tensor = self.fea_conv(source)
        return features

    def stages(self) -> list[Stage]:
        """Between stages: [image, distilled] and then [image, sum of c so far, block input, distilled]."""
        inner = [
            Stage(
                partial(self._advance, number),
                4 + self.reach * (number == 0),
                self.blocks[number + 1].cca.summary,
            )
            for number in range(5)
        ]
        return [
            Stage(self._enter, 4 + self.reach, self.blocks[0].cca.summary),
            *inner,
            Stage(self._leave, 2),
        ]

    def _enter(self, state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        (source,) = state
        return [source, self.blocks[0].distil(self._features(source))]

    def _advance(self, number: int, state: list[Tensor], factors: Tensor | None) -> list[Tensor]:
        total, x = self._fuse(number, state, factors)
        return [state[0], total, x, self.blocks[number + 1].distil(x)]

    def _leave(self, state: list[Tensor], factors: Tensor | None) -> list[Tensor]:
        total, _ = self._fuse(5, state, factors)
        details = in_full(self._features, state[0]) + self.LR_conv(self.c[1](total))
        return [in_full(self.upsampler, details)]

    def _fuse(
        self, number: int, state: list[Tensor], factors: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The output of a block from its distilled map, and the sum of `c` with this block's share in it."""
        assert factors is not None
        source, *carried, distilled = state
        total, x = carried or (None, self._features(source))
        x = scaled_conv(self.blocks[number].fuse, distilled, factors).add_(x)
        return share(cast(nn.Conv2d, self.c[0]), number, x, total), x


class IMDN_AS(IMDN):
    """Any scale: restores an image already enlarged to its target, at a quarter of its sides inside; same size out as in."""

    multiple = 4
    reach = 0

    def __init__(self) -> None:
        super().__init__(scale=1)

    def _stem(self) -> nn.Module:
        first, second = (
            nn.Conv2d(3, 64, 3, stride=2, padding=1),
            nn.Conv2d(64, 64, 3, stride=2, padding=1),
        )
        return nn.Sequential(first, nn.LeakyReLU(0.05, inplace=True), second)

    @property
    def shuffle(self) -> int:
        return 4

    def _features(self, source: Tensor) -> Tensor:
        return source

    def stages(self) -> list[Stage]:
        return [
            Stage(lambda state, _: [in_full(self.fea_conv, state[0])], 3, stride=4),
            *super().stages(),
        ]


class IMDN_RTC(Network):
    """×2 with 20 K parameters and 12 channels: five blocks without attention, a 1×1 convolution, and a skip around them."""

    takes_half = True
    scale = 2

    def __init__(self) -> None:
        super().__init__()
        blocks = [Distillation((12, 9, 9, 9), (12, 12, 12, 3), leaky) for _ in range(5)]
        body = Shortcut(nn.Sequential(*blocks, conv1(12, 12)))
        self.model = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1),
            body,
            nn.Conv2d(12, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def stages(self) -> list[Stage]:
        return local(self._restore, 1 + 5 * 4 + 1)

    def _restore(self, image: Tensor) -> Tensor:
        first, body, *last = self.model
        features = in_full(first, image)
        return in_full(nn.Sequential(*last), features + cast(Shortcut, body).sub(features))


class IMDN_RTE(Network):
    """×2 from half the sides inside (a stride of 2, then ×4), 20 channels, ReLU, blocks of six steps without bias.

    An odd side comes out 2 px too long and is cropped, as its authors did: padding the image instead would score otherwise.
    """

    takes_half = True
    scale = 2

    def __init__(self) -> None:
        super().__init__()
        second = nn.Conv2d(20, 20, 3, stride=2, padding=1, bias=False)
        self.fea_conv = nn.Sequential(nn.Conv2d(3, 20, 3, padding=1), nn.ReLU(inplace=True), second)
        for number in range(1, 7):
            block = Distillation(
                (20, 15, 15, 15, 10, 5), (20, 20, 20, 15, 10, 5), F.relu_, bias=False
            )
            self.add_module(f"block{number}", block)
        self.LR_conv = conv1(20, 20, bias=False)
        self.upsampler = nn.Sequential(nn.Conv2d(20, 48, 3, padding=1), nn.PixelShuffle(4))

    def stages(self) -> list[Stage]:
        stem = Stage(lambda state, _: [self.fea_conv(state[0] * 255)], 2, stride=2)
        return [stem, Stage(lambda state, _: [self._restore(state[0])], 6 * 6 + 1)]

    def _restore(self, features: Tensor) -> Tensor:
        x = features
        for number in range(1, 7):
            x = self.get_submodule(f"block{number}")(x)
        return in_full(self.upsampler, self.LR_conv(x) + features) / 255


class IMDN_Plus(Network):
    """×4 with 36 channels: eight blocks of six steps with SiLU, without attention."""

    takes_half = True
    scale = 4

    def __init__(self) -> None:
        super().__init__()
        widths = (36, 30, 24, 18, 12, 6)
        blocks = [Distillation(widths, widths, partial(F.silu, inplace=True)) for _ in range(8)]
        self.FEM = nn.Sequential(
            nn.Conv2d(3, 36, 3, padding=1),
            Shortcut(nn.Sequential(*blocks, nn.Conv2d(36, 36, 3, padding=1))),
        )
        self.RM = nn.Sequential(nn.Conv2d(36, 48, 3, padding=1), nn.PixelShuffle(4))

    def stages(self) -> list[Stage]:
        return _in_pairs(self.FEM[0], cast(Shortcut, self.FEM[1]), self.RM, reach=6)


class IMDN_KAIR(Network):
    """The simplification of IMDN in Zhang's toolbox KAIR (https://github.com/cszn/KAIR): eight blocks in a row without attention, a
    3×3 convolution, and a skip around them.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        blocks = [Distillation((64, 48, 48, 48), (64, 64, 64, 16), leaky) for _ in range(8)]
        body = Shortcut(nn.Sequential(*blocks, nn.Conv2d(64, 64, 3, padding=1)))
        tail = nn.Conv2d(64, 3 * scale**2, 3, padding=1)
        self.model = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1), body, tail, nn.PixelShuffle(scale)
        )

    def stages(self) -> list[Stage]:
        return _in_pairs(self.model[0], cast(Shortcut, self.model[1]), self.model[2:], reach=4)


def _in_pairs(first: nn.Module, body: Shortcut, tail: nn.Module, reach: int) -> list[Stage]:
    """Eight blocks that each see `reach` far, two at a time: over all of them at once the margin would be 35 pixels or more, and at
    a window of 128 px cost 2 to 3 times the work.
    """
    layers = cast(nn.Sequential, body.sub)
    pairs = [layers[start : start + 2] for start in range(0, 8, 2)]

    def preprocess(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        return [state[0], pairs[0](first(state[0]))]

    def advance(pair: nn.Module, state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        return [state[0], pair(state[1])]

    def postprocess(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        return [in_full(tail, in_full(first, state[0]) + layers[8](state[1]))]

    inner = [Stage(partial(advance, pair), 2 * reach) for pair in pairs[1:]]
    return [Stage(preprocess, 1 + 2 * reach), *inner, Stage(postprocess, 2)]

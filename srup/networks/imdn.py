"""IMDN and the networks derived from it.

Hui, Gao, Yang, Wang: "Lightweight Image Super-Resolution with Information Multi-distillation
Network", ACM Multimedia 2019, https://arxiv.org/abs/1909.11856. IMDN+ is team 39's entry to the
NTIRE 2022 challenge on efficient super-resolution (https://arxiv.org/abs/2205.05675).

A block (IMDB) distils: the result of each 3×3 convolution is split, one part is kept and the rest
goes on. The kept parts are concatenated, weighted by contrast-aware channel attention (CCA), which
pools mean and deviation over the whole map, and fused by a 1×1 convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from srup.networks.base import Network
from srup.networks.convolution import LEAKY, RELU, SILU, Activation, convolved
from srup.networks.layers import (
    Shortcut,
    Statistics,
    channel_attention,
    contrast,
    conv1,
    conv3,
    in_full,
    scaled_conv,
    share,
)
from srup.networks.stages import Stage, local

KAIR = (  # part of a name in KAIR, the same part here
    (".conv1x1.", ".c5."),
    (".conv4.", ".c4."),
    (".conv1.0.", ".c1."),
    (".conv2.0.", ".c2."),
    (".conv3.0.", ".c3."),
)


def adapt(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames the tensors of a KAIR checkpoint; leaves the names of other checkpoints unchanged."""
    renamed = {}
    for name, tensor in tensors.items():
        own = name
        for there, here in KAIR:
            own = own.replace(there, here)
        renamed[own] = tensor
    return renamed


class Distillation(nn.Module):
    """A distillation block: 3×3 convolutions c1 … cN, all but the last split after activation.

    `inputs` and `outputs` are the channels into and out of each step; what a step does not keep is
    the input of the next. The original four steps end without an activation, the six steps of the
    later designs with one. A last 1×1 convolution, c(N+1), fuses everything that was kept.
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
        # the last step passes nothing on, so all of it is kept
        passed_on = (*inputs[1:], 0)
        self.names: list[str] = []
        self.kept: list[int] = []
        for number, before in enumerate(inputs):
            name, after = f"c{number + 1}", outputs[number]
            self.add_module(name, conv3(before, after, bias=bias))
            self.names.append(name)
            self.kept.append(after - passed_on[number])
        # the published four-step block has no activation after its last convolution
        self.bare = "c4" if len(inputs) == 4 else ""
        self.last = f"c{len(inputs) + 1}"
        self.add_module(self.last, conv1(sum(self.kept), inputs[0], bias=bias))

    def distil(self, x: Tensor) -> Tensor:
        """Concatenates what the steps keep, N×sum(kept)×H×W."""
        parts = []
        for name, kept in zip(self.names, self.kept, strict=True):
            then = None if name == self.bare else self.activation
            x = convolved(self.get_submodule(name), x, then=then)
            parts.append(x[:, :kept])
            x = x[:, kept:]
        return torch.cat(parts, 1)

    @property
    def fuse(self) -> nn.Conv2d:
        """The 1×1 convolution over everything that was kept."""
        return cast(nn.Conv2d, self.get_submodule(self.last))

    def forward(self, x: Tensor) -> Tensor:
        """The block without attention: distils, fuses, adds its input."""
        return convolved(self.fuse, self.distil(x), plus=x)


class CCA(nn.Module):
    """Contrast-aware channel attention: factors from each channel's deviation and mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_du = channel_attention(64, 4)

    @property
    def summary(self) -> Statistics:
        """Computes the factors, N×64×1×1, from the whole map."""
        return contrast(self.conv_du)


class IMDB(Distillation):
    """IMDN's block: four distillation steps of 64 channels and the attention."""

    def __init__(self) -> None:
        super().__init__((64, 48, 48, 48), (64, 64, 64, 16), LEAKY)
        self.cca = CCA()


class IMDN(Network):
    """IMDN at ×2, ×3 or ×4: six blocks fused by `c`, a long skip, a sub-pixel upsampler.

    Between stages are kept a block's distilled map, its input, and the running sum of `c`: one
    64-channel map instead of the six that its 1×1 convolution concatenates. The first features are
    computed again from the image wherever they are needed, which is cheaper than keeping them.
    """

    takes_half = True
    reach = 1  # of _features, in pixels

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.fea_conv = self._stem()
        for number in range(1, 7):
            self.add_module(f"IMDB{number}", IMDB())
        self.c = nn.Sequential(conv1(6 * 64, 64), nn.LeakyReLU(0.05, inplace=True))
        self.LR_conv = conv3(64, 64)
        self.upsampler = nn.Sequential(
            conv3(64, 3 * self.shuffle**2), nn.PixelShuffle(self.shuffle)
        )

    def _stem(self) -> nn.Module:
        return conv3(3, 64)

    @property
    def shuffle(self) -> int:
        """How many times the upsampler enlarges."""
        return self.scale

    @property
    def blocks(self) -> list[IMDB]:
        """The six blocks."""
        return [cast(IMDB, self.get_submodule(f"IMDB{number}")) for number in range(1, 7)]

    def _features(self, source: Tensor) -> Tensor:
        features: Tensor = self.fea_conv(source)
        return features

    def stages(self) -> list[Stage[Tensor]]:
        """States: [image, distilled], then [image, sum of c so far, block input, distilled]."""
        summaries = [block.cca.summary for block in self.blocks]
        stages = [Stage(self._enter, 4 + self.reach, summaries[0])]
        for number in range(5):
            # the first of these computes the features again, hence its larger margin
            margin = 4 + self.reach if number == 0 else 4
            stages.append(Stage(partial(self._advance, number), margin, summaries[number + 1]))
        return [*stages, Stage(self._leave, 2)]

    def _enter(self, state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        (source,) = state
        return [source, self.blocks[0].distil(self._features(source))]

    def _advance(self, number: int, state: list[Tensor], factors: Tensor | None) -> list[Tensor]:
        total, x = self._fuse(number, state, factors)
        return [state[0], total, x, self.blocks[number + 1].distil(x)]

    def _leave(self, state: list[Tensor], factors: Tensor | None) -> list[Tensor]:
        total, _ = self._fuse(5, state, factors)
        # the long skip is added in float32, or bfloat16 costs 0.02 dB
        details = in_full(self._features, state[0]) + self.LR_conv(self.c[1](total))
        return [in_full(self.upsampler, details)]

    def _fuse(
        self, number: int, state: list[Tensor], factors: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The sum of `c` including this block's share, and the block's output."""
        assert factors is not None
        source, *carried, distilled = state
        # the first block's input is computed again: a map less between the stages
        total, x = carried or (None, self._features(source))
        x = scaled_conv(self.blocks[number].fuse, distilled, factors, plus=x)
        return share(cast(nn.Conv2d, self.c[0]), number, x, total), x


class IMDN_AS(IMDN):
    """IMDN for any scale: restores an image already enlarged to its final size.

    The output has the input's size; inside, the network works at a quarter of its sides.
    """

    multiple = 4
    reach = 0

    def __init__(self) -> None:
        super().__init__(scale=1)

    def _stem(self) -> nn.Module:
        first = nn.Conv2d(3, 64, 3, stride=2, padding=1)
        second = nn.Conv2d(64, 64, 3, stride=2, padding=1)
        return nn.Sequential(first, nn.LeakyReLU(0.05, inplace=True), second)

    @property
    def shuffle(self) -> int:
        """How many times the upsampler enlarges."""
        return 4

    def _features(self, source: Tensor) -> Tensor:
        return source

    def stages(self) -> list[Stage[Tensor]]:
        """A stage that shrinks by 4, then IMDN's stages over its features instead of an image."""
        # its map takes the place of the image in what follows
        shrink = Stage[Tensor](lambda state, _: [in_full(self.fea_conv, state[0])], 3, stride=4)
        return [shrink, *super().stages()]


class IMDN_RTC(Network):
    """×2 with 12 channels and 20 K parameters: five blocks without attention, a long skip."""

    takes_half = True
    scale = 2

    def __init__(self) -> None:
        super().__init__()
        blocks = [Distillation((12, 9, 9, 9), (12, 12, 12, 3), LEAKY) for _ in range(5)]
        body = Shortcut(nn.Sequential(*blocks, conv1(12, 12)))
        self.model = nn.Sequential(conv3(3, 12), body, conv3(12, 12), nn.PixelShuffle(2))

    def stages(self) -> list[Stage[Tensor]]:
        """A single stage: 22 convolutions of 3×3 in a row."""
        return local(self._restore, 1 + 5 * 4 + 1)

    def _restore(self, image: Tensor) -> Tensor:
        first, body, *last = self.model
        # colours enter and leave in float32
        features = in_full(first, image)
        return in_full(nn.Sequential(*last), features + cast(Shortcut, body).sub(features))


class IMDN_RTE(Network):
    """×2 with 20 channels that works at half the sides: a stride of 2, then ×4.

    Six blocks of six steps with ReLU, without bias. The result of an odd side is 2 pixels too long
    and is cropped, as the authors did; padding the image instead would change the scores.
    """

    takes_half = True
    scale = 2

    def __init__(self) -> None:
        super().__init__()
        second = nn.Conv2d(20, 20, 3, stride=2, padding=1, bias=False)
        self.fea_conv = nn.Sequential(conv3(3, 20), nn.ReLU(inplace=True), second)
        inputs, outputs = (20, 15, 15, 15, 10, 5), (20, 20, 20, 15, 10, 5)
        for number in range(1, 7):
            self.add_module(f"block{number}", Distillation(inputs, outputs, RELU, bias=False))
        self.LR_conv = conv1(20, 20, bias=False)
        self.upsampler = nn.Sequential(conv3(20, 48), nn.PixelShuffle(4))

    def stages(self) -> list[Stage[Tensor]]:
        """A stage that halves the sides, and one for all the rest."""
        stem = Stage[Tensor](lambda state, _: [self._features(state[0])], 2, stride=2)
        return [stem, *local(self._restore, 6 * 6 + 1)]

    def _features(self, image: Tensor) -> Tensor:
        first, _relu, second = self.fea_conv
        # colours are in 0–255 inside
        features: Tensor = second(convolved(first, image * 255, then=RELU))
        return features

    def _restore(self, features: Tensor) -> Tensor:
        x = features
        for number in range(1, 7):
            x = self.get_submodule(f"block{number}")(x)
        return in_full(self.upsampler, self.LR_conv(x) + features) / 255


class IMDN_Plus(Network):
    """IMDN+: ×4 with 36 channels, eight blocks of six steps with SiLU, without attention."""

    takes_half = True
    scale = 4

    def __init__(self) -> None:
        super().__init__()
        widths = (36, 30, 24, 18, 12, 6)
        blocks = [Distillation(widths, widths, SILU) for _ in range(8)]
        first = conv3(3, 36)
        body = Shortcut(nn.Sequential(*blocks, conv3(36, 36)))
        self.FEM = nn.Sequential(first, body)
        self.RM = nn.Sequential(conv3(36, 48), nn.PixelShuffle(4))

    def stages(self) -> list[Stage[Tensor]]:
        """States: [image, features so far]."""
        return _in_pairs(self.FEM[0], cast(Shortcut, self.FEM[1]), self.RM, reach=6)


class IMDN_KAIR(Network):
    """The simplified IMDN of Zhang's toolbox KAIR, https://github.com/cszn/KAIR.

    Eight blocks in a row without attention, a 3×3 convolution, and a skip around them.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        blocks = [Distillation((64, 48, 48, 48), (64, 64, 64, 16), LEAKY) for _ in range(8)]
        body = Shortcut(nn.Sequential(*blocks, conv3(64, 64)))
        tail = conv3(64, 3 * scale**2)
        self.model = nn.Sequential(conv3(3, 64), body, tail, nn.PixelShuffle(scale))

    def stages(self) -> list[Stage[Tensor]]:
        """States: [image, features so far]."""
        return _in_pairs(self.model[0], cast(Shortcut, self.model[1]), self.model[2:], reach=4)


def _in_pairs(first: nn.Module, body: Shortcut, tail: nn.Module, reach: int) -> list[Stage[Tensor]]:
    """Stages of two blocks each, for eight blocks that see `reach` pixels far.

    One stage over all eight would need a margin of 35 pixels or more, which at a window of 128
    pixels costs 2 to 3 times the work.
    """
    layers = body.sub
    pairs = [layers[start : start + 2] for start in range(0, 8, 2)]

    def preprocess(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        return [state[0], pairs[0](first(state[0]))]

    def advance(pair: nn.Module, state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        return [state[0], pair(state[1])]

    def postprocess(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        return [in_full(tail, in_full(first, state[0]) + layers[8](state[1]))]

    inner: list[Stage[Tensor]] = [Stage(partial(advance, pair), 2 * reach) for pair in pairs[1:]]
    return [Stage(preprocess, 1 + 2 * reach), *inner, Stage(postprocess, 2)]

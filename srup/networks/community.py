"""Networks of others, recognised by spandrel from the tensors of a checkpoint.

spandrel (https://github.com/chaiNNer-org/spandrel, MIT) knows the architectures that community
checkpoints have, Real-ESRGAN's, SPAN, SwinIR, HAT and many more. It is the extra `community`, and
imported when such a file is asked for.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from srup.errors import EngineUnavailable, WeightsMismatch
from srup.networks.base import Network
from srup.networks.stages import Stage

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

log = logging.getLogger(__name__)

EXTRA = "pip install 'srup[community]'"
COLOURS = 3
CHANNELS = (1, COLOURS, 4)  # that networks may take and give
ENOUGH = 57.0  # dB of `half_psnr`: beside an error of 30 dB this costs less than 0.01 dB
# what spandrel takes of torchvision, for two architectures: module → names
OF_TORCHVISION = {
    "torchvision": (),
    "torchvision.transforms": (),
    "torchvision.transforms.functional": ("InterpolationMode", "rotate", "normalize"),
}
KNOWN = 8  # architectures to name where a file is none of them


@dataclass(frozen=True)
class Sight:
    """How far a network sees, as it was measured.

    An output pixel depends on input pixels at most `reach` away, None for the whole image, and the
    image may be shifted by multiples of `period` pixels without changing the result but for its
    place. Windows are cut with `overlap` pixels around them: all of a short reach; of a longer one
    as much as decides more than `rest` levels of 255. Where the whole image is seen, windows are
    blended, which leaves a seam of `rest` levels. `half_psnr` is the PSNR in dB between results in
    float32 and in bfloat16, 0 where that is not computed.
    """

    reach: int | None
    period: int = 1
    overlap: int = 0
    rest: float = 0.0
    half_psnr: float = 0.0


class Community(Network):
    """A network of others, for images N×3×H×W in [0, 1].

    Networks of one channel enlarge colours one by one; those of four get an opaque image. Until
    `sight` is known the network is one that looks at the whole image.
    """

    def __init__(
        self,
        call: Callable[[Tensor], Tensor],
        *,
        architecture: str,
        purpose: str,
        scale: int,
        channels: tuple[int, int] = (COLOURS, COLOURS),
        multiple: int = 1,
        smallest: int = 1,
        square: bool = False,
        supports_bfloat16: bool = False,
    ) -> None:
        """`call` enlarges a batch of images of the `channels` that the network takes and gives."""
        super().__init__()
        self.call, self.channels = call, channels
        self.architecture, self.purpose, self.scale = architecture, purpose, scale
        self.multiple, self.smallest, self.square = multiple, smallest, square
        self.supports_bfloat16 = supports_bfloat16
        self.see(Sight(reach=None))

    def see(self, sight: Sight) -> None:
        """Takes what was measured."""
        self.sight = sight
        self.takes_half = sight.half_psnr >= ENOUGH
        self.overlap = sight.overlap if sight.reach is None else 0

    def stages(self) -> list[Stage[Tensor]]:
        return [
            Stage(
                lambda state, _: [self.enlarged(state[0])],
                self.sight.overlap,
                stride=self.sight.period,
            )
        ]

    def enlarged(self, image: Tensor) -> Tensor:
        """A batch N×3×H×W enlarged, in [0, 1], whatever channels the network has."""
        return self._enlarged(image, self.call)

    def _enlarged(self, image: Tensor, call: Callable[[Tensor], Tensor]) -> Tensor:
        height, width = image.shape[-2:]
        if self.square and height != width:
            image = torch.nn.functional.pad(image, _to_square(height, width), "replicate")
        taken, given = self.channels
        if taken == 1:
            single = call(image.flatten(0, 1)[:, None])
            result = single.reshape(*image.shape[:2], *single.shape[-2:])
        else:
            opaque = image.new_ones(image.shape[0], taken - COLOURS, *image.shape[-2:])
            result = call(torch.cat([image, opaque], 1) if taken > COLOURS else image)
            result = result.expand(-1, COLOURS, -1, -1) if given == 1 else result[:, :COLOURS]
        cropped: Tensor = result[..., : height * self.scale, : width * self.scale]
        return cropped.float().clamp(0, 1)

    def enlarged_in_half(self, image: Tensor) -> Tensor:
        """The same in bfloat16. Raises RuntimeError for an operation that has none."""
        with torch.autocast("cpu", torch.bfloat16):
            return self.enlarged(image)


def _to_square(height: int, width: int) -> tuple[int, int, int, int]:
    side = max(height, width)
    return 0, side - width, 0, side - height


def recognised(tensors: dict[str, Tensor], name: str) -> Community:
    """The network that a state dict belongs to, with its weights; `name` is its file's.

    Raises EngineUnavailable without spandrel, WeightsMismatch for tensors that it does not know.
    """
    if importlib.util.find_spec("spandrel") is None:
        raise EngineUnavailable(
            f"{name} is of none of srup's own networks, and those of others need an extra; {EXTRA}"
        )
    with without_torchvision():
        import spandrel
    try:
        descriptor = spandrel.ModelLoader(device="cpu").load_from_state_dict(tensors)
    except spandrel.UnsupportedModelError as error:
        raise WeightsMismatch(_unknown(name, tensors)) from error
    except Exception as error:  # what architectures raise at tensors that only look like theirs
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else "no reason"
        raise WeightsMismatch(
            f"{name} cannot be loaded ({type(error).__name__}: {reason}); check the file"
        ) from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise WeightsMismatch(
            f"{name} is for inpainting ({descriptor.architecture.name}) and needs a mask, which "
            "srup does not take"
        )
    check_channels(name, descriptor.input_channels, descriptor.output_channels)
    return _of_descriptor(descriptor.eval())


def check_channels(name: str, taken: int, given: int) -> None:
    """Raises WeightsMismatch for channels that are no image's."""
    if not {taken, given} <= set(CHANNELS):
        raise WeightsMismatch(
            f"{name} takes {taken} channels and gives {given}; srup runs networks of 1, 3 and 4"
        )


def _of_descriptor(descriptor: ImageModelDescriptor[Any]) -> Community:
    """The network that spandrel describes."""
    required = descriptor.size_requirements
    network = Community(
        partial(descriptor._call_fn, descriptor.model),
        architecture=descriptor.architecture.name,
        purpose=descriptor.purpose,
        scale=descriptor.scale,
        channels=(descriptor.input_channels, descriptor.output_channels),
        multiple=required.multiple_of,
        smallest=max(required.minimum, 1),
        square=required.square,
        supports_bfloat16=descriptor.supports_bfloat16,
    )
    network.add_module("module", descriptor.model)  # its parameters move with the network
    return network


def _unknown(name: str, tensors: dict[str, Tensor]) -> str:
    """What to say of a file whose architecture nobody knows."""
    from spandrel import MAIN_REGISTRY

    known = sorted(each.architecture.name for each in MAIN_REGISTRY)
    found = ", ".join(list(tensors)[:2])
    return (
        f"{name} is of an architecture that is not known (its tensors begin with {found}); known "
        f"are {', '.join(known[:KNOWN])} and {len(known) - KNOWN} more"
    )


@contextmanager
def without_torchvision() -> Iterator[None]:
    """Lets spandrel be imported where torchvision is missing, or made for another PyTorch.

    Two of its architectures, LaMa and RestoreFormer, import three names of torchvision at their
    start. They get stand-ins, which say what is missing when they are used.
    """
    if "spandrel" in sys.modules or _torchvision_works():
        yield
        return
    log.info("torchvision does not work here: LaMa and RestoreFormer cannot be used")
    stand_ins = {}
    for module, names in OF_TORCHVISION.items():
        stand_ins[module] = types.ModuleType(module)
        for name in names:
            setattr(stand_ins[module], name, _Missing)
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for module in stand_ins:
            sys.modules.pop(module, None)


def _torchvision_works() -> bool:
    try:
        importlib.import_module("torchvision.transforms.functional")
    except Exception:  # built for another PyTorch it raises what that happens to lead to
        for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[module]
        return False
    return True


class _Missing:
    """Stands for something of torchvision."""

    def __init__(self, *_: object, **__: object) -> None:
        raise EngineUnavailable(
            "this architecture needs torchvision, which does not work here; install the one that "
            "belongs to this PyTorch"
        )

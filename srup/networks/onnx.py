"""Networks of others in ONNX files: an image in, an image out.

Nothing in such a file says what it is for. OpenVINO reads and runs it; its scale, and the sizes of
image that it takes, are found by asking.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from srup.errors import WeightsMismatch, reason_of
from srup.files import check_regular
from srup.networks.community import CHANNELS, COLOURS, Community, check_channels
from srup.networks.stages import Array
from srup.openvino import HINTS, core, has_bfloat16, ops, ov

ELSEWHERE = b"\x0a\x08location\x12"  # in a file: some of its values lie in another one
MULTIPLES = (1, 2, 4, 8, 16, 32, 64)  # pixels, tried until a side of that multiple is taken
SMALLEST = (16, 32, 64, 128, 256)  # pixels a side, tried until an image is taken
LARGEST_SCALE = 16
# operations whose result is a number even where their input is none (NaN)
FORGETFUL = ("Relu", "Clamp", "HardSigmoid", "Maximum", "Minimum")


@dataclass(frozen=True)
class Sizes:
    """What images a network takes and gives, as `Community` has it."""

    scale: int
    channels: tuple[int, int]
    multiple: int
    smallest: int


class Onnx(Community):
    """The network of an ONNX file, for images N×3×H×W in [0, 1].

    `model` is OpenVINO's, from 1×C×H×W to 1×C'×(scale·H)×(scale·W), both float32 in [0, 1].
    """

    def __init__(self, model: Any, **facts: Any) -> None:
        full = _compiled(_remembering(model), HINTS["fp32"])
        super().__init__(partial(_computed, full), **facts)
        self.model = model

    def for_colours(self) -> Any:
        """The model from 1×3×H×W to 1×3×(scale·H)×(scale·W), in [0, 1], as `enlarged` computes."""
        model = self.model.clone()
        taken, given = self.channels
        image = ops.parameter(ov.PartialShape([1, COLOURS, -1, -1]), ov.Type.f32)
        _feed(model, _taken(image, taken))
        colours = _colours(model.get_results()[0].input_value(0), taken, given)
        return ov.Model([ops.clamp(colours, 0, 1)], [image], "colours")

    def enlarged_in_half(self, image: Tensor) -> Tensor:
        return self._enlarged(image, partial(_computed, _compiled(self.model, HINTS["bf16"])))


def network(path: Path) -> Onnx:
    """The network of an ONNX file. Raises WeightsMismatch for what is none that enlarges images."""
    model = _read(path)
    sizes = _sizes(path.name, _compiled(model, HINTS["fp32"]), _channels(model))
    check_channels(path.name, *sizes.channels)
    return Onnx(
        model,
        architecture="ONNX",
        purpose="SR" if sizes.scale > 1 else "Restoration",
        supports_bfloat16=has_bfloat16(),
        **asdict(sizes),
    )


def costs(found: Onnx, side: int) -> tuple[int, float, int]:
    """Parameters, multiply-adds and the values of the largest map, for an image of `side` pixels.

    Convolutions and matrix products count.
    """
    model = found.model.clone()
    model.reshape([1, found.channels[0], side, side])
    parameters, multiply_adds, largest = 0, 0.0, 0
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Constant":
            kind = node.get_element_type()
            parameters += math.prod(node.shape) if kind.is_real() else 0
            continue
        for output in node.outputs():
            if output.get_partial_shape().is_static:
                largest = max(largest, math.prod(output.get_shape()))
        multiply_adds += _multiply_adds(node)
    return parameters, multiply_adds, largest


def _multiply_adds(node: Any) -> float:
    kind = node.get_type_name()
    if not (kind == "MatMul" or kind.endswith(("Convolution", "ConvolutionBackpropData"))):
        return 0.0
    first, second = node.input(0).get_shape(), node.input(1).get_shape()
    result: int = math.prod(node.output(0).get_shape())
    if kind == "MatMul":
        return float(result * first[-2 if node.get_attributes()["transpose_a"] else -1])
    grouped = kind.startswith("Group")
    inputs = second[1 + grouped :]  # of the kernel, for each of the channels on its other side
    return float((math.prod(first) if "Backprop" in kind else result) * math.prod(inputs))


def _read(path: Path) -> Any:
    """A file's model, with images of any size in float32. Raises WeightsMismatch."""
    try:
        check_regular(path)
        data = path.read_bytes()
        if ELSEWHERE in data:
            raise WeightsMismatch(f"{path} keeps its values in another file; save it as one")
        return _of_images(core().read_model(data))
    except WeightsMismatch:
        raise
    except Exception as error:  # what reading raises at damaged files is without number
        raise WeightsMismatch(
            f"cannot read {path} as a network ({reason_of(error)}); give an ONNX file that takes "
            "one image and gives one"
        ) from error


def _of_images(model: Any) -> Any:
    """The model from images in float32 to images in float32, N×C×H×W in [0, 1], of any size.

    Raises ValueError for what takes or gives something else.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(f"it has {len(model.inputs)} inputs and {len(model.outputs)} outputs")
    ports = [*model.inputs, *model.outputs]
    if any(port.get_partial_shape().rank.to_string() != "4" for port in ports):
        raise ValueError("its input or output is no batch of images")
    shape = model.input(0).get_partial_shape()
    last = _is_last(shape)
    model.reshape([-1, -1, -1, shape[3]] if last else [-1, shape[1], -1, -1])
    kind = model.input(0).get_element_type()
    channels = shape[3 if last else 1]
    image = ops.parameter(ov.PartialShape([-1, channels, -1, -1]), ov.Type.f32)
    taken = ops.transpose(image, (0, 2, 3, 1)) if last else image
    _feed(model, _as_type(taken, kind))
    given = model.get_results()[0].input_value(0)
    result = _from_type(given)
    if _is_last(given.get_partial_shape()):
        result = ops.transpose(result, (0, 3, 1, 2))
    return ov.Model([result], [image], "images")


def _feed(model: Any, image: Any) -> None:
    """Makes a model read `image` instead of its input."""
    (old,) = model.get_parameters()
    for reader in old.output(0).get_target_inputs():
        reader.replace_source_output(image.output(0))


def _taken(image: Any, channels: int) -> Any:
    """Colours 1×3×H×W as a network of so many channels takes them, as `Community.enlarged` does."""
    if channels == 1:
        return ops.transpose(image, (1, 0, 2, 3))
    if channels == COLOURS:
        return image
    plane = ops.split(image, 1, COLOURS).output(0)
    opaque = ops.add(ops.multiply(plane, np.float32(0)), np.float32(1))
    return ops.concat([image, opaque], 1)


def _colours(result: Any, taken: int, given: int) -> Any:
    """The colours 1×3×H×W of a result."""
    if taken == 1:
        return ops.transpose(result, (1, 0, 2, 3))
    if given == 1:
        return ops.concat([result] * COLOURS, 1)
    return ops.slice(result, [0], [COLOURS], [1], [1])


def _is_last(shape: Any) -> bool:
    """Whether channels are the last axis of a shape."""
    return str(shape[1]) not in map(str, CHANNELS) and str(shape[3]) in map(str, CHANNELS)


def _as_type(image: Any, kind: Any) -> Any:
    """Values in [0, 1] as an input of a type takes them: whole numbers up to 255."""
    if kind == ov.Type.u8:
        image = ops.round(ops.multiply(image, np.float32(255)), "HALF_TO_EVEN")
    elif not kind.is_real():
        raise ValueError(f"its input is of type {kind.get_type_name()}")
    return ops.convert(image, kind)


def _from_type(given: Any) -> Any:
    kind = given.get_element_type()
    result = ops.convert(given, ov.Type.f32)
    if kind == ov.Type.u8:
        return ops.divide(result, np.float32(255))
    if not kind.is_real():
        raise ValueError(f"its output is of type {kind.get_type_name()}")
    return result


def _remembering(model: Any) -> Any:
    """The model with operations that hand on what is no number (NaN), which shows how far each
    reaches: to results that would forget it, zero times the input is added.
    """
    model = model.clone()
    for node in model.get_ordered_ops():
        if node.get_type_name() not in FORGETFUL:
            continue
        readers = node.output(0).get_target_inputs()
        remembered = node
        for value in node.input_values():
            if value.get_node().get_type_name() != "Constant":
                remembered = ops.add(remembered, ops.multiply(value, np.float32(0)))
        for reader in readers:
            reader.replace_source_output(remembered.output(0))
    return model


def _channels(model: Any) -> int:
    """How many channels a model takes; 3 where it does not say."""
    dimension = model.input(0).get_partial_shape()[1]
    return int(dimension.get_length()) if dimension.is_static else COLOURS


def _compiled(model: Any, hint: str) -> Any:
    settings = {"INFERENCE_PRECISION_HINT": hint, "ENABLE_CPU_PINNING": False}
    return core().compile_model(model, "CPU", settings)


def _computed(compiled: Any, image: Tensor) -> Tensor:
    """What a compiled model makes of a batch. Raises RuntimeError for sizes that it cannot take."""
    results = [
        compiled(np.ascontiguousarray(each[None].float().numpy()))[0].copy() for each in image
    ]
    return torch.from_numpy(np.concatenate(results))


def _sizes(name: str, compiled: Any, channels: int) -> Sizes:
    """What images are taken and given, found by trying.

    Raises WeightsMismatch for a network of a single size, or that enlarges by no whole number.
    """
    for smallest in SMALLEST:
        found = _scale(compiled, channels, smallest, smallest)
        if found is None:
            continue
        scale, given = found
        for multiple in MULTIPLES:
            if found == _scale(compiled, channels, smallest + multiple, smallest + 3 * multiple):
                return Sizes(scale, (channels, given), multiple, smallest)
    raise WeightsMismatch(
        f"{name} does not enlarge images of any size by a whole number; export it with open height "
        "and width"
    )


def _scale(compiled: Any, channels: int, height: int, width: int) -> tuple[int, int] | None:
    """How many times larger an image gets, and of how many channels; None where it is not taken."""
    image: Array = np.full((1, channels, height, width), 0.5, np.float32)
    try:
        made = compiled(image)[0].shape
    except RuntimeError:
        return None
    scale = made[2] // height
    fits = 1 <= scale <= LARGEST_SCALE and made[2:] == (height * scale, width * scale)
    return (scale, made[1]) if fits else None

"""A network written as files that OpenVINO computes: done once, by PyTorch, so that later runs need none.

Each stage becomes a model of any height and width. What is done to it besides: transposes are put where OpenVINO can drop them, and
the last convolution is kept out of bfloat16.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from openvino import opset13 as ops
from openvino.frontend.pytorch import ConversionExtension
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from srup.files import hashed
from srup.networks.base import Network
from srup.networks.layers import Statistics, WholeMap, mean_and_deviation
from srup.networks.stages import Stage, Summary

SIDE = 48  # pixels of the image that the graph is traced with
TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


def export(network: Network, folder: Path) -> None:
    """Writes the stages of a network and `manifest.json`, which says how to run them, into an empty folder."""
    _simplify(network.eval().requires_grad_(False))
    stages = network.stages()
    side = -(-max(SIDE, network.smallest) // network.multiple) * network.multiple
    state, context = [torch.rand(1, 3, side, side)], None
    rows = []
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit, which OpenVINO uses
        for number, stage in enumerate(stages):
            last = number == len(stages) - 1
            following, row = _export_stage(
                stage, state, context, folder / f"stage{number}.xml", last=last
            )
            context, row["summary"] = _export_summary(
                stage.summary, following[-1], folder / f"summary{number}.xml"
            )
            state = following
            rows.append(row)
    manifest = {
        "name": type(network).__name__,
        "scale": network.scale,
        "multiple": network.multiple,
        "smallest": network.smallest,
        "takes_half": network.takes_half,
        "stages": rows,
        "files": {path.name: hashed(path) for path in sorted(folder.iterdir())},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))


def _simplify(network: nn.Module) -> None:
    """What is said for PyTorch's sake, said plainly: a mean shift is an addition, one tap has no dilation."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d) and child.kernel_size == (1, 1):
                child.dilation = (1, 1)
                if child.weight.shape[:2] == (3, 3) and torch.equal(
                    child.weight[:, :, 0, 0], torch.eye(3)
                ):
                    setattr(parent, name, _Shift(child))


class _Shift(nn.Module):
    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert conv.bias is not None
        self.register_buffer("by", conv.bias[:, None, None].clone())

    def forward(self, x: Tensor) -> Tensor:
        shifted: Tensor = x + self.get_buffer("by")
        return shifted


class _Function(nn.Module):
    """A function as the module that OpenVINO wants."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


def _export_stage(
    stage: Stage, state: list[Tensor], context: Tensor | None, path: Path, *, last: bool
) -> tuple[list[Tensor], dict[str, Any]]:
    """The state that follows, and what the manifest says of the stage."""
    following = stage.run(state, context)
    sources = [
        next((index for index, tensor in enumerate(state) if tensor is result), None)
        for result in following
    ]

    def compute(*inputs: Tensor) -> tuple[Tensor, ...]:
        results = stage.run(list(inputs[: len(state)]), None if context is None else inputs[-1])
        return tuple(
            result for result, source in zip(results, sources, strict=True) if source is None
        )

    row = {
        "margin": stage.margin,
        "stride": stage.stride,
        "sources": sources,  # for each result the index in the state it is handed through from, or null
        "uses": _save(compute, state if context is None else [*state, context], path, last=last),
    }
    return following, row


def _export_summary(
    summary: Summary | None, finished: Tensor, path: Path
) -> tuple[Tensor | None, dict[str, Any] | None]:
    """The context that follows, and what the manifest says of the summary."""
    if summary is None:
        return None, None
    if isinstance(summary, Statistics):
        row = {
            "of": "statistics",
            "uses": _save(summary.weigh, list(mean_and_deviation([finished])), path, last=False),
        }
    else:
        assert isinstance(summary, WholeMap), "a summary of a new kind"
        row = {"of": "whole map", "uses": _save(summary.look, [finished], path, last=False)}
    return summary([finished]), row


def _save(
    function: Callable[..., Any], inputs: Sequence[Tensor], path: Path, *, last: bool
) -> list[int]:
    """Writes a function as a model; the indices of the inputs that it uses."""
    model = _converted(_Function(function), inputs)
    parameters = model.get_parameters()
    assert len(parameters) == len(inputs), "an input that was lost"
    uses = [
        index
        for index, parameter in enumerate(parameters)
        if parameter.output(0).get_target_inputs()
    ]
    ov.save_model(_channels_last(model, last=last), path, compress_to_fp16=False)
    return uses


def _converted(module: nn.Module, inputs: Sequence[Tensor]) -> ov.Model:
    """A model of any height and width, except where both are 1."""
    shapes = [
        ov.PartialShape(
            [1, tensor.shape[1], *(1 if side == 1 else -1 for side in tensor.shape[2:])]
        )
        for tensor in inputs
    ]
    shuffle = ConversionExtension("aten::pixel_shuffle", _depth_to_space)
    example = tuple(tensor.contiguous() for tensor in inputs)
    return ov.convert_model(module, example_input=example, input=shapes, extension=shuffle)


def _depth_to_space(node: Any) -> list[Any]:
    """A pixel shuffle as one operation; left to itself OpenVINO takes it apart into slow ones where sizes are open."""
    shuffled = ops.depth_to_space(
        node.get_input(0), "depth_first", node.get_values_from_const_input(1)
    )
    return [shuffled.output(0)]


def _channels_last(model: ov.Model, *, last: bool) -> ov.Model:
    """The model with inputs N×H×W×C, as srup's arrays lie in memory; its results are turned when it is compiled."""
    parameters = []
    for old in model.get_parameters():
        if old.output(0).get_target_inputs():
            n, c, h, w = old.get_partial_shape()
            parameters.append(ops.parameter(ov.PartialShape([n, h, w, c]), ov.Type.f32))
            _replace(old, parameters[-1])
    if last:
        _in_full(model)
    return ov.Model([result.input_value(0) for result in model.get_results()], parameters, "stage")


def _replace(old: Any, new: Any) -> None:
    """Gives what reads `old` (N×C×H×W) the values of `new` (N×H×W×C).

    OpenVINO drops a transpose between an input and a convolution, but not one before a multiplication: it is put behind that.
    """
    for target in old.output(0).get_target_inputs():
        node = target.get_node()
        others = [value for value in node.input_values() if value.get_node() != old]
        if (
            node.get_type_name() == "Multiply"
            and len(others) == 1
            and others[0].get_partial_shape()[2] == ov.Dimension(1)
        ):
            product = ops.multiply(new, ops.transpose(others[0], TO_NHWC))
            moved = ops.transpose(product, TO_NCHW)
            for further in node.output(0).get_target_inputs():
                further.replace_source_output(moved.output(0))
        else:
            target.replace_source_output(ops.transpose(new, TO_NCHW).output(0))


def _in_full(model: ov.Model) -> None:
    """The convolutions that end a model, and those over the image's colours, in float32 whatever the others are computed in.

    OpenVINO computes every convolution in the precision that it is told, and what follows the last in float32. It does not count
    transposed convolutions, of which one with its kernel turned round is a convolution, and no slower.
    """
    last = _ending(model.get_results()[0])
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Convolution" and (
            node in last or node.input(0).get_partial_shape()[1] == ov.Dimension(3)
        ):
            _turn(node)


def _ending(node: Any) -> list[Any]:
    """The convolutions that nothing but other operations follows."""
    if node.get_type_name() == "Convolution":
        return [node]
    return [found for value in node.input_values() for found in _ending(value.get_node())]


def _turn(node: Any) -> None:
    """Puts a transposed convolution in place of a plain one."""
    kernel, kept = node.input_value(1).get_node(), node.get_attributes()
    if kernel.get_type_name() == "Constant" and kept["strides"] == [1, 1]:
        turned = np.ascontiguousarray(kernel.get_data().swapaxes(0, 1)[:, :, ::-1, ::-1])
        same = {key: kept[key] for key in ("strides", "pads_begin", "pads_end", "dilations")}
        new = ops.convolution_backprop_data(node.input_value(0), ops.constant(turned), **same)
        for reader in node.output(0).get_target_inputs():
            reader.replace_source_output(new.output(0))

"""Exports a network to files for OpenVINO: once, with PyTorch, so that later runs do without it.

Each stage becomes a model for any height and width. Transposes are placed where OpenVINO can drop
them, and the last convolution is kept in float32.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from openvino.frontend.pytorch import ConversionExtension
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from srup.files import hashed
from srup.networks.base import Network
from srup.networks.layers import Statistics, WholeMap, mean_and_deviation
from srup.networks.onnx import Onnx
from srup.networks.stages import Stage
from srup.openvino import ops, ov

Row = dict[str, Any]  # of the manifest: how to run a stage

SIDE = 48  # pixels of the image that the graph is traced with
TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


def export(network: Network, folder: Path) -> None:
    """Writes a network's stages into an empty folder, and a `manifest.json` of how to run them.

    Changes the network on the way: do not use it afterwards. Computes in one thread: maps are so
    small that threads would wait for each other most of the time.
    """
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if isinstance(network, Onnx):
            rows = [_save_onnx(network, folder)]
        else:
            rows = _export(network.eval().requires_grad_(False), folder)
    finally:
        torch.set_num_threads(cores)
    manifest = {
        "name": type(network).__name__,
        "scale": network.scale,
        "multiple": network.multiple,
        "smallest": network.smallest,
        "takes_half": network.takes_half,
        "overlap": network.overlap,
        "stages": rows,
        "files": {path.name: hashed(path) for path in sorted(folder.iterdir())},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))


def _save_onnx(network: Onnx, folder: Path) -> Row:
    """Writes the one stage of a network that OpenVINO has read; returns its row."""
    model = _channels_last(network.for_colours(), last=True)
    ov.save_model(model, folder / "stage0.xml", compress_to_fp16=False)
    (stage,) = network.stages()
    row = {"margin": stage.margin, "stride": stage.stride, "sources": [None], "uses": [0]}
    return {**row, "summary": None}


def _export(network: Network, folder: Path) -> list[Row]:
    """Writes a network's stages; returns their rows of the manifest."""
    _simplify(network)
    stages = network.stages()
    side = -(-max(SIDE, network.smallest) // network.multiple) * network.multiple
    state, context = [torch.rand(1, 3, side, side)], None
    rows = []
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit, which OpenVINO uses
        for number, stage in enumerate(stages):
            path, last = folder / f"stage{number}.xml", number == len(stages) - 1
            state, row = _export_stage(stage, state, context, path, last=last)
            path = folder / f"summary{number}.xml"
            context, row["summary"] = _export_summary(stage.summary, state[-1], path)
            rows.append(row)
    return rows


def _simplify(network: nn.Module) -> None:
    """Undoes what suits PyTorch only: mean shifts become additions, 1×1 kernels lose dilation."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if not isinstance(child, nn.Conv2d) or child.kernel_size != (1, 1):
                continue
            child.dilation = (1, 1)
            kernel = child.weight[:, :, 0, 0]
            if kernel.shape == (3, 3) and torch.equal(kernel, torch.eye(3)):
                setattr(parent, name, _Shift(child))


class _Shift(nn.Module):
    """Adds the bias of a mean shift, whose kernel is the identity."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert conv.bias is not None
        self.register_buffer("by", conv.bias[:, None, None].clone())

    def forward(self, x: Tensor) -> Tensor:
        shifted: Tensor = x + self.get_buffer("by")
        return shifted


class _Function(nn.Module):
    """A function as a module, which is what OpenVINO converts."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


def _export_stage(
    stage: Stage[Tensor], state: list[Tensor], context: Tensor | None, path: Path, *, last: bool
) -> tuple[list[Tensor], Row]:
    """Writes a stage; returns the state that follows and the stage's row of the manifest.

    The row's `sources` are, for each result that the stage only passes on, its index in the state,
    and null for the others. `uses` are the indices of the inputs that the model reads.
    """
    following = stage.run(state, context)
    sources = [_index(result, state) for result in following]

    # what is only passed on is left out of the model: the engine returns the very array it got
    def compute(*inputs: Tensor) -> tuple[Tensor, ...]:
        results = stage.run(list(inputs[: len(state)]), None if context is None else inputs[-1])
        computed = zip(results, sources, strict=True)
        return tuple(result for result, source in computed if source is None)

    inputs = state if context is None else [*state, context]
    uses = _save(compute, inputs, path, last=last)
    row = {"margin": stage.margin, "stride": stage.stride, "sources": sources, "uses": uses}
    return following, row


def _index(result: Tensor, state: list[Tensor]) -> int | None:
    """Where in the state the very tensor is; None if it is new."""
    for index, tensor in enumerate(state):
        if tensor is result:
            return index
    return None


def _export_summary(
    summary: Callable[[Iterable[Tensor]], Tensor] | None, finished: Tensor, path: Path
) -> tuple[Tensor | None, dict[str, Any] | None]:
    """Writes a summary; returns the context that follows and the summary's row of the manifest."""
    if summary is None:
        return None, None
    if isinstance(summary, Statistics):
        statistics = list(mean_and_deviation([finished]))
        row = {"of": "statistics", "uses": _save(summary.weigh, statistics, path, last=False)}
    else:
        assert isinstance(summary, WholeMap), "a summary of a new kind"
        row = {"of": "whole map", "uses": _save(summary.look, [finished], path, last=False)}
    return summary([finished]), row


def _save(
    function: Callable[..., Any], inputs: Sequence[Tensor], path: Path, *, last: bool
) -> list[int]:
    """Writes a function as a model; returns the indices of the inputs that it reads."""
    model = _converted(_Function(function), inputs)
    parameters = model.get_parameters()
    assert len(parameters) == len(inputs), "an input was lost"
    uses = [index for index, parameter in enumerate(parameters) if _is_read(parameter)]
    ov.save_model(_channels_last(model, last=last), path, compress_to_fp16=False)
    return uses


def _is_read(parameter: Any) -> bool:
    return bool(parameter.output(0).get_target_inputs())


def _converted(module: nn.Module, inputs: Sequence[Tensor]) -> ov.Model:
    """A model for any height and width; sides of 1 in the example, as of factors, stay 1."""
    shapes = []
    for tensor in inputs:
        height, width = (1 if side == 1 else -1 for side in tensor.shape[2:])
        shapes.append(ov.PartialShape([1, tensor.shape[1], height, width]))
    shuffle = ConversionExtension("aten::pixel_shuffle", _depth_to_space)
    example = tuple(tensor.contiguous() for tensor in inputs)  # NCHW, whatever made them
    # traced here, since OpenVINO would trace it three times, to compare the results
    traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
    return ov.convert_model(traced, example_input=example, input=shapes, extension=shuffle)


def _depth_to_space(node: Any) -> list[Any]:
    """A pixel shuffle as one operation.

    For open sizes OpenVINO's own conversion splits it into several slow ones.
    """
    shuffled = ops.depth_to_space(
        node.get_input(0), "depth_first", node.get_values_from_const_input(1)
    )
    return [shuffled.output(0)]


def _channels_last(model: ov.Model, *, last: bool) -> ov.Model:
    """The model with inputs N×H×W×C, as srup's arrays lie in memory, and unread inputs left out.

    Its results stay N×C×H×W; they are transposed when the model is compiled.
    """
    parameters = []
    for old in model.get_parameters():
        if _is_read(old):
            n, c, h, w = old.get_partial_shape()
            parameters.append(ops.parameter(ov.PartialShape([n, h, w, c]), ov.Type.f32))
            _replace(old, parameters[-1])
    if last:
        _in_full(model)
    return ov.Model([result.input_value(0) for result in model.get_results()], parameters, "stage")


def _replace(old: Any, new: Any) -> None:
    """Makes everything that reads the input `old` (N×C×H×W) read `new` (N×H×W×C).

    OpenVINO drops a transpose between an input and a convolution, but not one before a
    multiplication by factors, so there it goes behind the multiplication.
    """
    for target in old.output(0).get_target_inputs():
        node = target.get_node()
        others = [value for value in node.input_values() if value.get_node() != old]
        is_product = node.get_type_name() == "Multiply" and len(others) == 1
        if is_product and others[0].get_partial_shape()[2] == ov.Dimension(1):
            product = ops.multiply(new, ops.transpose(others[0], TO_NHWC))
            moved = ops.transpose(product, TO_NCHW)
            for further in node.output(0).get_target_inputs():
                further.replace_source_output(moved.output(0))
        else:
            target.replace_source_output(ops.transpose(new, TO_NCHW).output(0))


def _in_full(model: ov.Model) -> None:
    """Keeps a model's last convolutions, and those over colours, in float32 at any precision.

    OpenVINO computes convolutions in the precision that it is told, but not transposed ones. A
    transposed convolution with its kernel rotated is a convolution, and as fast.
    """
    last = _last_convolutions(model.get_results()[0])
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Convolution":
            continue
        over_colours = node.input(0).get_partial_shape()[1] == ov.Dimension(3)
        if over_colours or node in last:
            _transpose_convolution(node)


def _last_convolutions(node: Any) -> list[Any]:
    """The convolutions that no other convolution follows on the way to `node`."""
    if node.get_type_name() == "Convolution":
        return [node]
    found = []
    for value in node.input_values():
        found += _last_convolutions(value.get_node())
    return found


def _transpose_convolution(node: Any) -> None:
    """Replaces a convolution by the transposed convolution that computes the same."""
    kernel, kept = node.input_value(1).get_node(), node.get_attributes()
    if kernel.get_type_name() == "Constant" and kept["strides"] == [1, 1]:
        rotated = np.ascontiguousarray(kernel.get_data().swapaxes(0, 1)[:, :, ::-1, ::-1])
        same = {key: kept[key] for key in ("strides", "pads_begin", "pads_end", "dilations")}
        new = ops.convolution_backprop_data(node.input_value(0), ops.constant(rotated), **same)
        for reader in node.output(0).get_target_inputs():
            reader.replace_source_output(new.output(0))

"""OpenVINO as an engine, on the processor: runs without PyTorch, which takes seconds to import.

The stages are exported once, with PyTorch, into a folder of the cache for each network, weights and
version.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srup import files, memory, processor, temporaries
from srup.errors import EngineUnavailable, OutOfMemory, reason_of
from srup.files import hashed
from srup.inference.engines import BFLOAT16_BITS, Conversion, Program
from srup.inference.run_options import Precision
from srup.isolate import run_isolated
from srup.models import registry
from srup.models.registry import Model
from srup.models.weights import loaded, locked_in_cache
from srup.networks.stages import Array, Stage, whole

if TYPE_CHECKING:  # importing torch takes seconds, and this engine does without
    from srup.networks.base import Network

try:
    from srup.openvino import HINTS, core, has_bfloat16, ops, ov
except EngineUnavailable as error:
    raise EngineUnavailable(error.message, "{engine=pytorch} needs no extra") from error

log = logging.getLogger(__name__)

TO_NHWC = (0, 2, 3, 1)
MANIFEST = "manifest.json"
FORMAT = 4  # version of the exported files
BAND = 64  # rows of an enlarged window that are postprocessed at a time: they stay in the cache
PART = 1 << 18  # values of a map whose statistics are taken at a time, for the same reason
SAME = 2e-3  # of white: by how much results of both engines may differ in float32
SHAPES = 4  # how many sizes of window a stage is kept compiled for

Shape = tuple[tuple[int, ...], bool]  # of an input, and whether it holds the bits of bfloat16


def program(
    model: Model, weights: Path, *, device: str = "auto", precision: Precision = "auto"
) -> Program:
    """A network of the registry with its weights, exported on its first use.

    Raises EngineUnavailable, WeightsMismatch.
    """
    if device not in ("auto", "cpu"):
        raise EngineUnavailable(
            f"device {device!r} cannot be used with OpenVINO here",
            "{device=cpu} computes on the processor",
            *_otherwise(model, "{engine=pytorch} supports other devices"),
        )
    if precision == "fp16" or (precision == "bf16" and not has_bfloat16()):
        raise EngineUnavailable(
            f"this processor does not compute in {precision}", "take {precision=fp32}"
        )
    folder, facts = exported(model, weights)
    if precision == "auto":
        precision = _pick_precision(facts["takes_half"])
    workers = processor.cores()
    return Program(
        name=model.name if model.is_file else facts["name"],
        engine="openvino",
        device="cpu",
        precision=precision,
        scale=facts["scale"],
        multiple=facts["multiple"],
        smallest=facts["smallest"],
        largest=model.largest,
        stages=_ExportedStages(core(), folder, facts["stages"], precision, workers),
        workers=workers,
        pool=_pool,
        free=memory.available,
        overlap=facts["overlap"],
    )


def _pick_precision(takes_half: bool) -> Precision:
    """The fastest precision that costs the network no more than 0.01 dB on Set14."""
    return "bf16" if takes_half and has_bfloat16() else "fp32"


def exported(model: Model, weights: Path) -> tuple[Path, dict[str, Any]]:
    """The folder with a network's files, and its manifest; exported if it is missing or damaged.

    Raises EngineUnavailable if the cache cannot be written to, WeightsMismatch.
    """
    folder = _folder(model, weights)
    facts = _read(folder)
    if facts is None:
        with locked_in_cache(folder, EngineUnavailable, "{engine=pytorch} needs no export"):
            facts = _read(folder)  # another process may have been quicker
            if facts is None:
                _export(model, weights, folder)
                facts = _read(folder)
    assert facts is not None, "what was just exported cannot be read"
    return folder, facts


def is_exported(model: Model, weights: Path) -> bool:
    """Whether a network need not be exported any more."""
    return (_folder(model, weights) / MANIFEST).exists()


def _folder(model: Model, weights: Path) -> Path:
    return files.cache() / "openvino" / f"{model.name}-x{model.scale}-{_key(model, weights)}"


def _key(model: Model, weights: Path) -> str:
    """A digest of everything that the exported files depend on."""
    try:
        own = hashed(weights)
    except OSError:
        own = ""  # loading the weights will report the error
    code = sha256()
    for file in sorted(resources.files("srup.networks").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            code.update(file.read_bytes())
    parts: tuple[object, ...] = (
        FORMAT,
        version("srup"),
        ov.__version__,
        code.hexdigest(),
        model.network,
        sorted(model.options.items()),
        own,
    )
    if model.strength < 1:
        parts += (registry.find(model.origin)[model.scale].digest, model.strength)
    return sha256(repr(parts).encode()).hexdigest()[:16]


def _read(folder: Path) -> dict[str, Any] | None:
    """The manifest of an export whose files are all as they were written; None if they are not."""
    try:
        files.check_regular(folder / MANIFEST)
        facts: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        whole = all(hashed(folder / name) == digest for name, digest in facts["files"].items())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        whole = False  # a manifest cut short may parse to anything
    if whole:
        return facts
    log.warning("%s is damaged and is exported again", folder)
    return None


def _export(model: Model, weights: Path, folder: Path) -> None:
    """Loads the network with PyTorch and writes its files, replacing those of a damaged export."""
    from srup.inference.engines.openvino_export import export

    log.info("exporting %s ×%d for OpenVINO to %s", model.name, model.scale, folder)
    with temporaries.folder(folder.parent, prefix=f".{folder.name}.") as temporary:
        made = temporary / "made"
        made.mkdir()
        if not model.of_others:
            export(loaded(model, weights), made)
        else:
            with _as_unavailable(model):
                # what others have written may end the process that converts it
                for _ in run_isolated(model.name, _export_checked, model, weights, made):
                    pass
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)


def _export_checked(model: Model, weights: Path, folder: Path) -> Iterator[None]:
    """Exports a network of others, and compares what comes of it with PyTorch; yields nothing."""
    from srup.inference.engines.openvino_export import export

    with _as_unavailable(model):
        network = loaded(model, weights)
        known = _known(network, model)
        export(network, folder)
        for image, result in known:
            _check(folder, image, result)
    yield from ()


def _known(network: Network, model: Model) -> list[tuple[Array, Array]]:
    """Images N×3×H×W, and what a network of others makes of them with PyTorch.

    Of other sizes than it is exported with: what an architecture decides by the size of its image
    would be the same for all sizes.
    """
    import torch

    from srup.inference.sight import drawn, measure

    measure(network, model.digest, model.name)
    step, least = network.multiple, max(network.smallest, 64)
    found = []
    for sides in ((least + 13, least + 27), (least + 41, least)):  # of no common multiple
        height, width = (-(-side // step) * step for side in sides)
        image = drawn(height, width)
        with torch.inference_mode():
            found.append((image, network(torch.from_numpy(image)).numpy()))
    return found


def _check(folder: Path, image: Array, expected: Array) -> None:
    """Raises ValueError if exported files make something else of an image than was expected."""
    facts = json.loads((folder / MANIFEST).read_text())
    stages = _ExportedStages(core(), folder, facts["stages"], "fp32", processor.cores())
    found = whole(stages(Conversion()), image)
    difference = np.abs(found - expected).max() if found.shape == expected.shape else np.inf
    if not difference < SAME:
        raise ValueError(f"its results differ by {difference:.2g}")


@contextmanager
def _as_unavailable(model: Model) -> Iterator[None]:
    """Says of a network of others that OpenVINO cannot run it, whatever converting it raises."""
    try:
        yield
    except EngineUnavailable:
        raise
    except Exception as error:
        raise EngineUnavailable(
            f"OpenVINO cannot run {model.name} ({reason_of(error)})",
            *_otherwise(model, "{engine=pytorch} runs it"),
        ) from error


def _otherwise(model: Model, hint: str) -> list[str]:
    """A hint at the other engine, where that runs the network."""
    return [] if model.is_onnx else [hint]


class _ExportedStages:
    """The stages of an export; calling it returns them as `Program.stages` does."""

    def __init__(
        self,
        core: Any,
        folder: Path,
        rows: list[dict[str, Any]],
        precision: Precision,
        workers: int,
    ) -> None:
        self.rows, self.precision, self.workers = rows, precision, workers
        self.models: list[_Compiled] = []
        self.summaries: list[_Compiled | None] = []
        for number, row in enumerate(rows):
            self.models.append(_Compiled(core, folder / f"stage{number}.xml", workers))
            summary = None
            if row["summary"]:
                summary = _Compiled(core, folder / f"summary{number}.xml", workers)
            self.summaries.append(summary)
        self.running = 0

    def __call__(self, conversion: Conversion, full: bool = False) -> list[Stage[Array]]:
        precision: Precision = "fp32" if full else self.precision
        return [self._stage(number, conversion, precision) for number in range(len(self.rows))]

    def _stage(self, number: int, conversion: Conversion, precision: Precision) -> Stage[Array]:
        row, last = self.rows[number], number == len(self.rows) - 1
        # bfloat16 halves what is kept between stages; colours, the last result, stay float32
        hint, half = HINTS[precision], precision == "bf16" and not last

        def run(state: list[Array], context: Array | None) -> list[Array]:
            self._begin(number)
            if number == 0:
                state = [conversion.preprocess(image) for image in state]
            inputs = [*state]
            if context is not None:
                inputs.append(context)
            read = [inputs[index] for index in row["uses"]]
            computed = iter(self.models[number](read, hint=hint, half=half))
            # what a stage only passes on must stay the same object: its canvas is kept then
            results = [
                next(computed) if source is None else state[source] for source in row["sources"]
            ]
            if last:
                return [_postprocess(results[0], conversion)]
            return results

        return Stage(run, row["margin"], self._summary(number), row["stride"])

    def _begin(self, number: int) -> None:
        """Releases the memory that the stage before computed in."""
        if self.running != number:
            self.models[self.running].release_memory()
            self.running = number

    def _summary(self, number: int) -> Callable[[Iterable[Array]], Array] | None:
        row, model = self.rows[number]["summary"], self.summaries[number]
        if model is None:
            return None

        def of_statistics(strips: Iterable[Array]) -> Array:
            moments = mean_and_deviation(strips, self.workers)
            return model([moments[index] for index in row["uses"]], hint="f32")[0]

        def of_whole_map(strips: Iterable[Array]) -> Array:
            rows = np.concatenate([to_float32(strip.transpose(0, 2, 3, 1)) for strip in strips], 1)
            return model([rows.transpose(0, 3, 1, 2)], hint="f32")[0]

        # statistics are taken here, in NumPy, since a map may be larger than the memory
        return of_statistics if row["of"] == "statistics" else of_whole_map


class _Compiled:
    """A model that is compiled for each size of window it is called with; keeps the latest few.

    Only for known sizes does OpenVINO drop transposes and fuse sums into convolutions.
    """

    def __init__(self, core: Any, path: Path, workers: int) -> None:
        self.core, self.path, self.workers = core, path, workers
        self.kept: OrderedDict[Any, Any] = OrderedDict()
        self.lock = threading.Lock()

    def __call__(self, arrays: list[Array], *, hint: str, half: bool = False) -> list[Array]:
        """Runs the model on arrays N×C×H×W and returns its results, arrays N×C×H×W.

        With `half` the results are BFLOAT16_BITS, otherwise float32.
        """
        inputs = [np.ascontiguousarray(array.transpose(0, 2, 3, 1)) for array in arrays]
        kind = BFLOAT16_BITS if half else np.float32
        with _memory_errors_translated():
            shapes = tuple((array.shape, array.dtype == BFLOAT16_BITS) for array in inputs)
            compiled = self._compiled_for(shapes, hint, half)
            request = compiled.create_infer_request()
            results = [np.empty(tuple(port.shape), kind) for port in compiled.outputs]
            for index, array in enumerate(inputs):
                request.set_input_tensor(index, _tensor(array))
            for index, array in enumerate(results):
                request.set_output_tensor(index, _tensor(array))
            request.infer()
        return [result.transpose(0, 3, 1, 2) for result in results]

    def release_memory(self) -> None:
        """Frees the memory that OpenVINO keeps for intermediate maps."""
        with self.lock:
            for compiled in self.kept.values():
                compiled.release_memory()

    def _compiled_for(self, inputs: tuple[Shape, ...], hint: str, half: bool) -> Any:
        alone = getattr(_thread, "alone", False)  # this thread is one of several workers
        key = (inputs, hint, half, alone)
        with self.lock:
            if key not in self.kept:
                self.kept[key] = self._compile(inputs, hint, half, alone)
            self.kept.move_to_end(key)
            if len(self.kept) > SHAPES:  # a compiled model holds copies of its weights
                self.kept.popitem(last=False)
            return self.kept[key]

    def _compile(self, inputs: tuple[Shape, ...], hint: str, half: bool, alone: bool) -> Any:
        model = self.core.read_model(self.path)  # anew, since reshaping changes it
        model.reshape({index: shape for index, (shape, _) in enumerate(inputs)})
        conversion = ov.preprocess.PrePostProcessor(model)
        for index, (_, is_half) in enumerate(inputs):
            if is_half:
                conversion.input(index).tensor().set_element_type(ov.Type.bf16)
        model = conversion.build()
        results = [_to_nhwc(result.input_value(0), half) for result in model.get_results()]
        model = ov.Model(results, model.get_parameters(), "stage")
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "NUM_STREAMS": self.workers if alone else 1,
            "INFERENCE_NUM_THREADS": self.workers,
            "ENABLE_CPU_PINNING": False,  # other processes use the cores too
        }
        return self.core.compile_model(model, "CPU", settings)


def _to_nhwc(value: Any, half: bool) -> Any:
    """A result N×C×H×W as N×H×W×C, with `half` in bfloat16.

    OpenVINO drops a transpose behind a convolution, but not if it has fused a sum into that
    convolution. The maximum of the sum and itself in between prevents the fusion.
    """
    if half:
        return ops.transpose(ops.convert(value, ov.Type.bf16), TO_NHWC)
    if value.get_node().get_type_name() == "Add":
        value = ops.maximum(value, value)
    return ops.transpose(value, TO_NHWC)


def _tensor(array: Array) -> Any:
    """An OpenVINO tensor that shares an array's memory."""
    if array.dtype == BFLOAT16_BITS:
        return ov.Tensor(array, array.shape, ov.Type.bf16)
    return ov.Tensor(array, shared_memory=True)


def _postprocess(image: Array, conversion: Conversion) -> Array:
    """`conversion.postprocess`, band by band."""
    first = conversion.postprocess(image[:, :, :BAND])
    rows = np.empty((len(image), image.shape[2], image.shape[3], first.shape[1]), first.dtype)
    result: Array = rows.transpose(0, 3, 1, 2)
    result[:, :, :BAND] = first
    for top in range(BAND, image.shape[2], BAND):
        result[:, :, top : top + BAND] = conversion.postprocess(image[:, :, top : top + BAND])
    return result


def to_float32(values: Array) -> NDArray[np.float32]:
    """Converts BFLOAT16_BITS to float32, of which they are the upper half; float32 stays."""
    if values.dtype != BFLOAT16_BITS:
        return values
    wide = values.view(np.uint16).astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def mean_and_deviation(strips: Iterable[Array], workers: int = 1) -> list[Array]:
    """`networks.layers.mean_and_deviation` for arrays, in several threads."""
    count, mean, squares = 0, np.zeros((), np.float32), np.zeros((), np.float32)
    with ThreadPoolExecutor(workers) as pool:
        for strip in strips:
            rows = strip.transpose(0, 2, 3, 1)
            step = max(1, PART // max(rows[:, 0].size, 1))
            parts = [rows[:, top : top + step] for top in range(0, rows.shape[1], step)]
            for size, own, spread in pool.map(_moments, parts):
                apart = own - mean
                weight = np.float32(count * size / (count + size))
                squares = squares + spread + apart * apart * weight
                count += size
                mean = mean + apart * np.float32(size / count)
    return [mean, np.sqrt(squares / count)]


def _moments(rows: Array) -> tuple[int, Array, Array]:
    """Pixels, mean, and sum of squared deviations of rows N×H×W×C; the latter two are N×C×1×1.

    Summed within each row and then over the rows, so that float32 loses no digits in a long sum.
    """
    values = to_float32(rows)
    mean = values.mean(2).mean(1)
    apart = values - mean[:, None, None]
    spread = np.einsum("nhwc,nhwc->nhc", apart, apart).sum(1)
    return values.shape[1] * values.shape[2], mean[:, :, None, None], spread[:, :, None, None]


_thread = threading.local()  # `alone`: whether this thread computes beside others


@contextmanager
def _pool(workers: int) -> Iterator[Executor]:
    """Threads that each compute a window alone, in a stream of their own."""
    with ThreadPoolExecutor(workers, "window", partial(setattr, _thread, "alone", True)) as threads:
        yield threads


@contextmanager
def _memory_errors_translated() -> Iterator[None]:
    """Raises OutOfMemory for the errors by which OpenVINO reports that memory ran out."""
    hint = "take smaller windows with {tile=128}"
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory("the memory is full", hint) from error
    except RuntimeError as error:
        if not any(word in str(error).lower() for word in ("memory", "alloc")):
            raise
        raise OutOfMemory("the memory is full", hint) from error

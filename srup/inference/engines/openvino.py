"""OpenVINO on the processor: the same stages from files, without PyTorch, which takes seconds to import.

The files are exported once into the cache, where PyTorch is needed; a folder for each network, weights and version.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from hashlib import sha256
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from srup import files, memory, processor
from srup.errors import EngineUnavailable, OutOfMemory
from srup.files import hashed
from srup.inference.engines import Conversion, Program
from srup.models import checkpoints, registry
from srup.models.registry import Model
from srup.networks.stages import Stage

# OpenVINO reports every import and conversion to its makers unless this package is missing; to import it takes a third of the time
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
try:
    import openvino as ov
    from openvino import opset13 as ops
except ImportError as error:
    raise EngineUnavailable(
        f"the engine openvino is not installed ({error}); pip install 'srup[openvino]', or take --engine pytorch"
    ) from error

log = logging.getLogger(__name__)

Array = NDArray[Any]

TO_NHWC = (0, 2, 3, 1)
FORMAT = 3  # of what is exported
BAND = 64  # rows of an enlarged window that go through `Ends.leave` at a time: they stay in the processor's cache
PART = 1 << 18  # values of a map whose statistics are taken at a time, likewise
SHAPES = 4  # sizes of window that a stage is kept compiled for
HINTS = {"fp32": "f32", "bf16": "bf16"}


def program(
    model: Model, weights: Path, *, device: str = "auto", precision: str = "auto"
) -> Program:
    """The network of a row with its weights, exported if need be. Raises EngineUnavailable, WeightsMismatch."""
    if device not in ("auto", "cpu"):
        raise EngineUnavailable(
            f"device {device!r} cannot be used with OpenVINO here; take -d cpu, or --engine pytorch"
        )
    if precision == "fp16" or (precision == "bf16" and not has_bfloat16()):
        raise EngineUnavailable(
            f"this processor does not compute in {precision}; take --precision auto or fp32"
        )
    folder, facts = exported(model, weights)
    if precision == "auto":
        precision = "bf16" if has_bfloat16() and facts["takes_half"] else "fp32"
    workers = processor.cores()
    return Program(
        name=facts["name"],
        engine="openvino",
        device="cpu",
        precision=precision,
        scale=facts["scale"],
        multiple=facts["multiple"],
        smallest=facts["smallest"],
        largest=model.largest,
        stages=_Stages(_core(), folder, facts["stages"], precision, workers),
        workers=workers,
        pool=_pool,
        free=memory.available,
    )


@cache
def _core() -> Any:
    return ov.Core()


def has_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this processor."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def exported(model: Model, weights: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of a network's files and what its manifest says, exported if it is not there or damaged."""
    folder = files.cache() / "openvino" / f"{model.name}-x{model.scale}-{_key(model, weights)}"
    facts = _read(folder)
    if facts is None:
        with _writable(folder), FileLock(folder.with_name(f"{folder.name}.lock")):
            facts = _read(folder)  # another process may have been quicker
            if facts is None:
                _export(model, weights, folder)
                facts = _read(folder)
    assert facts is not None, "what was just exported cannot be read"
    return folder, facts


def _key(model: Model, weights: Path) -> str:
    """What the files depend on, as one name."""
    try:
        own = hashed(weights)
    except OSError:
        own = ""  # loading them will say what is wrong
    code = sha256()
    for file in sorted(resources.files("srup.networks").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            code.update(file.read_bytes())
    parts = (
        FORMAT,
        version("srup"),
        ov.__version__,
        code.hexdigest(),
        model.network,
        sorted(model.options.items()),
        own,
    )
    return sha256(repr(parts).encode()).hexdigest()[:16]


def _read(folder: Path) -> dict[str, Any] | None:
    """The manifest of an export whose files are all as they were written; None if there is none."""
    try:
        facts: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        whole = all(hashed(folder / name) == digest for name, digest in facts["files"].items())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        log.warning("%s is damaged; it is exported anew", folder)
    return facts if whole else None


def _export(model: Model, weights: Path, folder: Path) -> None:
    """Loads the network with PyTorch and puts its files in place of what may be there."""
    from srup.inference.engines.openvino_export import export

    log.info("%s ×%d is exported for OpenVINO to %s", model.name, model.scale, folder)
    network = checkpoints.load_weights(registry.build(model), weights)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        export(network, made)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise EngineUnavailable(
            f"cannot write {folder} ({error.strerror or error}); make room and permission there, set SRUP_CACHE elsewhere, "
            "or take --engine pytorch"
        ) from error


class _Stages:
    """The stages of an export; called with `conversion` and `full` it gives them to run."""

    def __init__(
        self, core: Any, folder: Path, rows: list[dict[str, Any]], precision: str, workers: int
    ) -> None:
        self.rows, self.precision, self.workers = rows, precision, workers
        self.models = [
            _Compiled(core, folder / f"stage{number}.xml", workers) for number in range(len(rows))
        ]
        self.summaries = [
            _Compiled(core, folder / f"summary{number}.xml", workers) if row["summary"] else None
            for number, row in enumerate(rows)
        ]
        self.running = 0

    def __call__(self, conversion: Conversion, full: bool = False) -> list[Stage]:
        precision = "fp32" if full else self.precision
        return [self._stage(number, conversion, precision) for number in range(len(self.rows))]

    def _stage(self, number: int, conversion: Conversion, precision: str) -> Stage:
        row, last = self.rows[number], number == len(self.rows) - 1
        hint, half = HINTS[precision], precision == "bf16" and not last

        def run(state: list[Array], context: Array | None) -> list[Array]:
            self._begin(number)
            own = [conversion.preprocess(image) for image in state] if number == 0 else state
            inputs = own if context is None else [*own, context]
            computed = iter(
                self.models[number]([inputs[index] for index in row["uses"]], hint=hint, half=half)
            )
            results = [
                next(computed) if source is None else own[source] for source in row["sources"]
            ]
            return [_left(results[0], conversion)] if last else results

        return Stage(run, row["margin"], self._summary(number), row["stride"])

    def _begin(self, number: int) -> None:
        """Lets go of the memory that another stage computed in."""
        if self.running != number:
            self.models[self.running].rest()
            self.running = number

    def _summary(self, number: int) -> Callable[[Iterable[Array]], Array] | None:
        row, model = self.rows[number]["summary"], self.summaries[number]
        if model is None:
            return None

        def of_statistics(strips: Iterable[Array]) -> Array:
            moments = mean_and_deviation(strips, self.workers)
            return model([moments[index] for index in row["uses"]], hint="f32")[0]

        def of_whole_map(strips: Iterable[Array]) -> Array:
            rows = np.concatenate([widened(strip.transpose(0, 2, 3, 1)) for strip in strips], 1)
            return model([rows.transpose(0, 3, 1, 2)], hint="f32")[0]

        return of_statistics if row["of"] == "statistics" else of_whole_map


class _Compiled:
    """A model, compiled for each size of window that comes, of which the latest few are kept.

    Sizes are compiled into it because OpenVINO drops transposes and makes sums part of convolutions only where it knows them.
    """

    def __init__(self, core: Any, path: Path, workers: int) -> None:
        self.core, self.path, self.workers = core, path, workers
        self.kept: OrderedDict[Any, Any] = OrderedDict()
        self.lock = threading.Lock()

    def __call__(self, arrays: list[Array], *, hint: str, half: bool = False) -> list[Array]:
        """The results for arrays N×C×H×W, of such too; `half`: results come as the bits of bfloat16."""
        inputs = [np.ascontiguousarray(array.transpose(0, 2, 3, 1)) for array in arrays]
        with _translated():
            compiled = self._for(
                tuple((array.shape, array.dtype == np.int16) for array in inputs), hint, half
            )
            request = compiled.create_infer_request()
            results = [
                np.empty(tuple(port.shape), np.int16 if half else np.float32)
                for port in compiled.outputs
            ]
            for index, array in enumerate(inputs):
                request.set_input_tensor(index, _tensor(array))
            for index, array in enumerate(results):
                request.set_output_tensor(index, _tensor(array))
            request.infer()
        return [result.transpose(0, 3, 1, 2) for result in results]

    def rest(self) -> None:
        with self.lock:
            for compiled in self.kept.values():
                compiled.release_memory()

    def _for(self, inputs: tuple[tuple[tuple[int, ...], bool], ...], hint: str, half: bool) -> Any:
        alone = getattr(_thread, "alone", False)
        key = (inputs, hint, half, alone)
        with self.lock:
            if key not in self.kept:
                self.kept[key] = self._compile(inputs, hint, half, alone)
            self.kept.move_to_end(key)
            if len(self.kept) > SHAPES:
                self.kept.popitem(last=False)
            return self.kept[key]

    def _compile(
        self, inputs: tuple[tuple[tuple[int, ...], bool], ...], hint: str, half: bool, alone: bool
    ) -> Any:
        model = self.core.read_model(self.path)
        model.reshape({index: shape for index, (shape, _) in enumerate(inputs)})
        conversion = ov.preprocess.PrePostProcessor(model)
        for index, (_, is_half) in enumerate(inputs):
            if is_half:
                conversion.input(index).tensor().set_element_type(ov.Type.bf16)
        model = conversion.build()
        model = ov.Model(
            [_turned(result.input_value(0), half) for result in model.get_results()],
            model.get_parameters(),
            "stage",
        )
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "NUM_STREAMS": self.workers if alone else 1,
            "INFERENCE_NUM_THREADS": self.workers,
            "ENABLE_CPU_PINNING": False,  # others want the cores too
        }
        return self.core.compile_model(model, "CPU", settings)


def _turned(value: Any, half: bool) -> Any:
    """A result as N×H×W×C; `half`: in bfloat16.

    OpenVINO drops a transpose behind a convolution unless that has a sum for a part; the maximum of a sum and itself is in between.
    """
    if half:
        return ops.transpose(ops.convert(value, ov.Type.bf16), TO_NHWC)
    is_sum = value.get_node().get_type_name() == "Add"
    return ops.transpose(ops.maximum(value, value) if is_sum else value, TO_NHWC)


def _tensor(array: Array) -> Any:
    return (
        ov.Tensor(array, array.shape, ov.Type.bf16)
        if array.dtype == np.int16
        else ov.Tensor(array, shared_memory=True)
    )


def _left(image: Array, conversion: Conversion) -> Array:
    """`ends.leave` of an image, band by band."""
    first = conversion.postprocess(image[:, :, :BAND])
    rows = np.empty((len(image), image.shape[2], image.shape[3], first.shape[1]), first.dtype)
    result: Array = rows.transpose(0, 3, 1, 2)
    result[:, :, :BAND] = first
    for top in range(BAND, image.shape[2], BAND):
        result[:, :, top : top + BAND] = conversion.postprocess(image[:, :, top : top + BAND])
    return result


def widened(bits: Array) -> NDArray[np.float32]:
    """float32 as it is, or from the bits of bfloat16, which are its upper half."""
    if bits.dtype != np.int16:
        return bits
    wide = bits.view(np.uint16).astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def mean_and_deviation(strips: Iterable[Array], workers: int = 1) -> list[Array]:
    """As `networks.layers.mean_and_deviation`, of arrays, in several threads."""
    count, mean, squares = 0, np.zeros((), np.float32), np.zeros((), np.float32)
    with ThreadPoolExecutor(workers) as pool:
        for strip in strips:
            rows = strip.transpose(0, 2, 3, 1)
            step = max(1, PART // max(rows[:, 0].size, 1))
            parts = [rows[:, top : top + step] for top in range(0, rows.shape[1], step)]
            for size, own, spread in pool.map(_moments, parts):
                apart = own - mean
                squares = (
                    squares + spread + apart * apart * np.float32(count * size / (count + size))
                )
                count += size
                mean = mean + apart * np.float32(size / count)
    return [mean, np.sqrt(squares / count)]


def _moments(rows: Array) -> tuple[int, Array, Array]:
    """Of N×H×W×C: how many pixels, their mean, and the sum of the squares of their distances from it, N×C×1×1.

    Row by row and then over the rows, so that no sum in float32 grows long.
    """
    values = widened(rows)
    mean = values.mean(2).mean(1)
    apart = values - mean[:, None, None]
    spread = np.einsum("nhwc,nhwc->nhc", apart, apart).sum(1)
    return values.shape[1] * values.shape[2], mean[:, :, None, None], spread[:, :, None, None]


_thread = threading.local()


@contextmanager
def _pool(workers: int) -> Iterator[Executor]:
    """Threads that each compute alone, in a stream of their own."""
    with ThreadPoolExecutor(workers, "window", partial(setattr, _thread, "alone", True)) as threads:
        yield threads


@contextmanager
def _translated() -> Iterator[None]:
    """The ways in which OpenVINO says that memory ran out, as ours."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory("the memory is full; take smaller windows with -t 128") from error
    except RuntimeError as error:
        if not any(word in str(error).lower() for word in ("memory", "alloc")):
            raise
        raise OutOfMemory("the memory is full; take smaller windows with -t 128") from error

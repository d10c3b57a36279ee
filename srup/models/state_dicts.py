"""Reads state dicts from files that strangers made: no code runs, and nothing grows out of bounds.

A checkpoint of `torch.save` is a pickle in a zip archive. PyTorch unpickles nothing but tensors and
plain values from it; what is checked here is how much that is, and of which kind.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srup.errors import WeightsMismatch
from srup.files import check_regular
from srup.models.registry import ONNX
from srup.printable import printable

if TYPE_CHECKING:  # importing torch takes seconds: only reading a checkpoint waits for it
    from torch import Tensor

# keys under which training tools save tensors
WRAPPERS = (
    "params_ema",
    "params-ema",
    "params",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "netG",
    "generator",
)
# what DataParallel and torch.compile put before names, in either order
PREFIXES = re.compile(r"(_orig_mod\.)?(module\.)?(_orig_mod\.)?")
ZIP = b"PK\x03\x04"
SHARED = 8  # times the size of its file that tensors may take: some share their values
SHOWN = 100  # characters of a name or reason from a file


def read(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, without what training tools put around it and before its names.

    All are ordinary tensors in memory. Raises WeightsMismatch.
    """
    loaded = _unwrapped(load(path))
    if not isinstance(loaded, dict):
        raise _no_state_dict(path, "it holds something else")
    for name, tensor in loaded.items():
        if reason := _refusal(name, tensor):
            raise _no_state_dict(path, reason)
    if sum(map(_bytes, loaded.values())) > SHARED * path.stat().st_size:
        raise _no_state_dict(path, "its tensors are many times as large as the file")
    return {PREFIXES.sub("", name, count=1): tensor for name, tensor in loaded.items()}


def _unwrapped(loaded: Any) -> Any:
    """What the innermost of WRAPPERS hold."""
    for _ in WRAPPERS:  # and no deeper: a file may hold something that holds itself
        inner = (loaded.get(wrapper) for wrapper in WRAPPERS) if isinstance(loaded, dict) else ()
        loaded = next((each for each in inner if isinstance(each, dict)), loaded)
    return loaded


def load(path: Path, device: str = "cpu") -> Any:
    """What `torch.save` put into a file, or the tensors of a .safetensors file.

    Raises WeightsMismatch for everything that is wrong with it.
    """
    import torch

    if path.suffix.lower() == ONNX:
        raise WeightsMismatch(
            f"{path} is an ONNX file, which holds a network of its own", "{model=FILE} runs it"
        )
    try:
        check_regular(path)
        _check_declared(path)
        with warnings.catch_warnings():  # of features that are no concern of who has the file
            warnings.simplefilter("ignore")
            if path.suffix == ".safetensors":
                return _safetensors(path)
            # weights_only: unpickling anything else would run code that the file brings along
            return torch.load(path, map_location=device, weights_only=True)
    except WeightsMismatch:
        raise
    except FileNotFoundError as error:
        raise WeightsMismatch(f"cannot read {path}: no such file; check the name") from error
    except Exception as error:  # what unpickling raises at damaged files is without number
        raise WeightsMismatch(
            f"cannot read {path} as a checkpoint ({_reason(error)}); "
            "give a state dict saved by torch.save"
        ) from error


def shown(name: object) -> str:
    """A name from a file, for a message: cut, and in a line."""
    return printable(str(name)[:SHOWN])


def _check_declared(path: Path) -> None:
    """Raises WeightsMismatch if an archive declares more bytes than its file has.

    torch.save compresses nothing. In an archive that is compressed, or whose entries overlap, a few
    megabytes can become gigabytes.
    """
    with path.open("rb") as file:
        if file.read(len(ZIP)) != ZIP:
            return
    with zipfile.ZipFile(path) as archive:
        declared = sum(entry.file_size for entry in archive.infolist())
    if declared > path.stat().st_size:
        raise WeightsMismatch(
            f"cannot read {path} as a checkpoint (it is compressed, to {declared} bytes); "
            "unpack it, or give a state dict saved by torch.save"
        )


def _safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise WeightsMismatch(
            f"cannot read {path}: .safetensors needs an extra; pip install 'srup[safetensors]'"
        ) from error
    return dict(load_file(path))


def _reason(error: Exception) -> str:
    """Why a file could not be read, in a line."""
    # PyTorch's own words advise to load it all the same, and that would run its code
    if isinstance(error, pickle.UnpicklingError):
        return "it is damaged, or holds more than tensors"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return shown(lines[0]) if lines else type(error).__name__


def _refusal(name: object, tensor: object) -> str:
    """Why an entry of a state dict cannot be a parameter of a network; "" if it can."""
    import torch

    if not isinstance(name, str):
        return f"its key {shown(name)} is no name"
    if not isinstance(tensor, torch.Tensor):
        return f"{shown(name)} is no tensor"
    # first: a nested or sparse tensor answers hardly any other question
    if tensor.layout != torch.strided or tensor.is_nested or tensor.is_quantized:
        return f"{shown(name)} is sparse, nested or quantised"
    if tensor.is_meta:
        return f"{shown(name)} has no values"
    if tensor.is_complex():
        return f"{shown(name)} is complex"
    return ""


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _no_state_dict(path: Path, reason: str) -> WeightsMismatch:
    return WeightsMismatch(
        f"{path} is no state dict of tensors ({reason}); save model.state_dict() with torch.save"
    )

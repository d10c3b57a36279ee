"""Small random networks of architectures that spandrel knows, saved as their authors save them."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from srup.networks.community import without_torchvision

needs_spandrel = pytest.mark.skipif(
    importlib.util.find_spec("spandrel") is None or importlib.util.find_spec("einops") is None,
    reason="needs spandrel: pip install --no-deps spandrel",
)


def _made(module: str, name: str, **arguments: Any) -> torch.nn.Module:
    with without_torchvision():
        architectures = importlib.import_module(f"spandrel.architectures.{module}")
    network: torch.nn.Module = getattr(architectures, name)(**arguments)
    return network


def _swin(module: str, **arguments: Any) -> torch.nn.Module:
    shape = {"img_size": 64, "num_heads": [2, 2], "upscale": 2}
    return _made(module, module, **shape, **arguments)


# name → (what spandrel calls it, scale, how it is made)
ARCHITECTURES: dict[str, tuple[str, int, Callable[[], torch.nn.Module]]] = {
    "compact": (
        "RealESRGAN Compact",
        4,
        lambda: _made("Compact", "Compact", num_feat=16, num_conv=4, upscale=4),
    ),
    "span": (
        "SPAN",
        4,
        lambda: _made("SPAN", "SPAN", num_in_ch=3, num_out_ch=3, feature_channels=16, upscale=4),
    ),
    "esrgan": ("ESRGAN", 4, lambda: _made("ESRGAN", "ESRGAN", num_filters=8, num_blocks=1)),
    "swinir": (
        "SwinIR",
        2,
        lambda: _swin(
            "SwinIR",
            embed_dim=16,
            depths=[2, 2],
            window_size=8,
            upsampler="pixelshuffledirect",
            mlp_ratio=2,
        ),
    ),
    "dat": (
        "DAT",
        2,
        lambda: _swin("DAT", embed_dim=16, depth=[2, 2], split_size=[8, 16], expansion_factor=2),
    ),
    "hat": (
        "HAT",
        2,
        lambda: _swin(
            "HAT",
            embed_dim=48,
            depths=[1, 1],
            window_size=8,
            compress_ratio=3,
            squeeze_factor=8,
            upsampler="pixelshuffle",
        ),
    ),
    "omnisr": (
        "OmniSR",
        2,
        lambda: _made("OmniSR", "OmniSR", num_feat=16, res_num=1, block_num=1, up_scale=2),
    ),
    "plksr": ("PLKSR", 4, lambda: _made("PLKSR", "PLKSR", dim=16, n_blocks=2)),
    "safmn": ("SAFMN", 4, lambda: _made("SAFMN", "SAFMN", dim=16, n_blocks=1, upscaling_factor=4)),
    "realcugan": (
        "RealCUGAN",
        2,
        lambda: _made("RealCUGAN", "UpCunet2x", in_channels=3, out_channels=3),
    ),
    "scunet": ("SCUNet", 1, lambda: _made("SCUNet", "SCUNet", config=[1] * 7, dim=64)),
    "nafnet": (
        "NAFNet",
        1,
        lambda: _made(
            "NAFNet", "NAFNet", width=8, middle_blk_num=1, enc_blk_nums=[1], dec_blk_nums=[1]
        ),
    ),
}
WRAPPERS = ("params_ema", "params", "state_dict", "")


def saved(folder: Path, architecture: str) -> Path:
    """A checkpoint of an architecture in a folder, wrapped as one of the usual tools does."""
    torch.manual_seed(0)
    tensors: Any = ARCHITECTURES[architecture][2]().state_dict()
    wrapper = WRAPPERS[list(ARCHITECTURES).index(architecture) % len(WRAPPERS)]
    path = folder / f"{architecture}.pth"
    torch.save({wrapper: tensors} if wrapper else tensors, path)
    return path

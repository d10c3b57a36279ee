"""Fixtures and helpers of all tests: an empty cache, no internet, known weights.

Tests that need the published checkpoints or the benchmark images are skipped without them.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import secrets
import signal
import socket
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

from srup.evaluation.benchmark import Evaluation, ModelResult, cases, outcomes
from srup.evaluation.protocols import Score
from srup.inference.engines.pytorch import stages_on
from srup.inference.tiling import tiled
from srup.models import registry
from srup.models.registry import Model
from srup.networks.base import Network
from srup.networks.stages import Stage
from srup.resize import Edges
from tests.data.draw import draw

SHARED = Path(__file__).resolve().parents[2] / "shared"
MEAN_SHIFTS = ("sub_mean", "add_mean")  # parts of networks that are constants, not weights
NOBODY = 65534  # the user without rights
LOCAL = ("127.0.0.1", "::1", "localhost")

# the same examples at every run, however slow the machine is
settings.register_profile("srup", derandomize=True, deadline=None, database=None)
settings.load_profile("srup")

if "PYTEST_XDIST_WORKER" in os.environ:  # pytest -n auto runs a process for each core
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for processes that tests start


PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.fixture(autouse=True)
def _no_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test that connects to anything but this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in LOCAL:
            raise OSError(f"a test reached for {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of an empty cache; clears the user's settings from the environment."""
    own = [name for name in os.environ if name.startswith("SRUP_")]
    for name in (*own, *PROXIES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("SRUP_CACHE", str(tmp_path / "cache"))
    # with an empty cache every test would measure which engine is faster, which takes seconds
    monkeypatch.setenv("SRUP_ENGINE", "pytorch")
    return tmp_path / "cache"


@pytest.fixture
def ends() -> Iterator[None]:
    """Fails a test that does not end: it gets two minutes, many times what it needs."""

    def give_up(*_: object) -> None:
        pytest.fail("this does not end")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of published checkpoints, reference vectors and benchmark images."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the published checkpoints and benchmark images in {SHARED}")
    return SHARED


@pytest.fixture
def checkpoints(shared: Path, cache: Path) -> Path:
    """A cache that holds the published checkpoints."""
    cache.mkdir(parents=True)
    (cache / "weights").symlink_to(shared / "weights")
    return cache


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """The path of a small picture with real detail."""
    path = tmp_path / "photo.png"
    draw(80, 60).save(path)
    return path


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder for everybody, in a process that may not read everything: root becomes "nobody"."""
    if not hasattr(os, "geteuid"):
        pytest.skip("this system has no permissions as POSIX knows them")
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        if root:
            os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            for path in Path(folder).iterdir():
                path.chmod(0o700)
            if root:
                os.seteuid(0)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a real S3 protocol server on this machine."""
    server = pytest.importorskip("moto.server", reason="needs moto[server] and s3fs")
    s3fs = pytest.importorskip("s3fs", reason="needs the extra srup[remote]")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in {
        "FSSPEC_S3_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"bucket-{secrets.token_hex(4)}"  # what is stored outlives a server in the same process
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}/here"
    running.stop()


@pytest.fixture(scope="session")
def noise() -> Callable[..., torch.Tensor]:
    """Makes noise 1×3×H×W in [0, 1], the same each time, channels last as srup's own images."""

    def made(height: int, width: int) -> torch.Tensor:
        values = np.random.default_rng(0).random((1, 3, height, width), np.float32)
        return torch.from_numpy(values).contiguous(memory_format=torch.channels_last)

    return made


@pytest.fixture
def seeded() -> Iterator[None]:
    """Seeds torch for one test and restores its random state after it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@contextmanager
def few_calls(count: int = 80) -> Iterator[None]:
    """Lets functions call each other only so many deep, so that a test needs no deep data."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + count)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def known_weights(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """The weights of the reference vectors: a function of each tensor's name and shape."""

    def tensor(name: str, shape: list[int]) -> torch.Tensor:
        values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
        deviation = 0.1 if len(shape) == 1 else 1 / np.sqrt(np.prod(shape[1:]))
        return torch.from_numpy(values * deviation).float()

    return {name: tensor(name, shape) for name, shape in shapes.items()}


def random_network(model: Model) -> Network:
    """A network of the registry with the reference weights, which keep its signals alive."""
    network = registry.build(model)
    shapes = {
        name: list(tensor.shape)
        for name, tensor in network.state_dict().items()
        if not name.startswith(MEAN_SHIFTS)
    }
    network.load_state_dict(known_weights(shapes), strict=False)
    return network


def in_windows(
    stages: Sequence[Stage[torch.Tensor]],
    image: torch.Tensor,
    size: int | None = None,
    **options: Any,
) -> torch.Tensor:
    """`tiled` for stages and an image of PyTorch; `options` are those of `tiled`."""
    return torch.from_numpy(tiled(stages_on(stages), image.numpy(), size, **options))


def to_bytes(image: np.ndarray) -> np.ndarray:
    """An array in [0, 1] as bytes 0–255, rounded."""
    return np.rint(image * 255).clip(0, 255).astype(np.uint8)


def model_id(model: Model) -> str:
    """The name under which pytest lists a row of the registry."""
    return f"{model.name}-x{model.scale}"


def models(slow: Callable[[Model], bool], among: Sequence[Model] = registry.MODELS) -> list[Any]:
    """Rows of the registry to parametrize a test over; those for which `slow` holds are slow."""
    parameters = []
    for model in among:
        marks = [pytest.mark.slow] if slow(model) else []
        parameters.append(pytest.param(model, id=model_id(model), marks=marks))
    return parameters


def digest(path: Path) -> str:
    """The digest of a file, as the registry writes it."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def json_lines(text: str) -> list[dict[str, object]]:
    """The objects of a text with one JSON object per line."""
    return [json.loads(line) for line in text.splitlines()]


def evaluated(evaluation: Evaluation, shared: Path, images: str) -> Score:
    """The mean scores of `srup evaluate` on a benchmark set."""
    folder = shared / "datasets" / images
    hr = folder / "HR" if (folder / "HR").exists() else folder / f"HR_x{evaluation.scale}"
    todo, _ = cases(hr, None)
    edges: Edges = "clamp" if images == "Set14" else "mirror"  # as its LR images were made
    return ModelResult(evaluation, list(outcomes(replace(evaluation, edges=edges), todo))).score

"""The queue, and several workers that take from it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.serve.conftest import PATIENCE, eventually, halted, health, picture, served


@pytest.mark.slow
def test_workers_share_the_queue(tmp_path: Path) -> None:
    """Both work at once, and all is done."""
    with served(tmp_path, devices=("cpu", "cpu")) as running, ThreadPoolExecutor(4) as pool:
        url = running.url.rstrip("/")
        eventually(lambda: states(url) == ["idle", "idle"])
        with ExitStack() as stack:
            for worker in running.workers:
                stack.enter_context(halted(worker))
            address, data = f"{url}/v1/upscale?scale=2", picture()
            answers = [pool.submit(requests.post, address, data, timeout=PATIENCE) for _ in "four"]
            eventually(lambda: health(url)["waiting"] == 2)
            assert states(url) == ["working", "working"]
        assert [answer.result().status_code for answer in answers] == [200] * 4


def states(url: str) -> list[str]:
    return [str(worker["state"]) for worker in health(url)["workers"]]  # type: ignore[attr-defined]

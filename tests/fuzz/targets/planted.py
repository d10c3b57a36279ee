"""What the fuzzer must find: a case says in a word what goes wrong. Not one of TARGETS."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from random import Random

from srup.errors import InternalError, ReadError

WORDS = (b"ok", b"refused", b"foreign", b"internal", b"hang", b"death", b"memory")


def make(chance: Random) -> bytes:
    return b"some bytes before " + chance.choice(WORDS) + b" and some behind"


def run(case: bytes, folder: Path) -> None:
    (folder / "file").write_bytes(case)
    if b"refused" in case:
        raise ReadError("a bad file")
    if b"internal" in case:
        raise InternalError("a mistake of srup's own")
    if b"foreign" in case:
        raise KeyError("foreign")
    if b"hang" in case:
        time.sleep(3600)
    if b"death" in case:
        os.kill(os.getpid(), signal.SIGKILL)
    if b"memory" in case:
        assert b"\1" * (1600 << 20)

"""What a server allows: everything that a stranger could ask for without end has a number here."""

from __future__ import annotations

from dataclasses import dataclass

from srup.images import MAX_PIXELS


@dataclass(frozen=True)
class ServiceLimits:
    """Sizes in bytes, times in seconds."""

    waiting: int = 32  # tasks that wait besides those at work
    pixels: int = MAX_PIXELS  # of a picture, and of a result; of all pages together
    upload: int = 256 << 20  # of the body of a request
    storage: int = 4 << 30  # of uploads and results together
    connections: int = 256
    fields: int = 64  # options of a request
    field: int = 4096  # of an option
    head_seconds: float = 10  # until the head of a request must be there
    upload_seconds: float = 10  # that a body may take besides what `upload_rate` allows it
    upload_rate: int = 16 << 10  # a second, on average
    drain_seconds: float = 2  # for what a client that was refused goes on sending
    send_seconds: float = 30  # that a client may take for each piece of an answer
    work_seconds: float = 3600  # that a task may take
    stop_seconds: float = 10  # until a worker that should stop is killed
    unseen_seconds: float = 3600  # until what no page asks for any more is removed

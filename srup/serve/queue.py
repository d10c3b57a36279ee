"""The one queue: tasks wait in it in their order, and workers take them out."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from srup.errors import SrupError, internal
from srup.serve.limits import ServiceLimits
from srup.serve.problems import Busy, Stopping, TooSlow
from srup.serve.tasks import Outcome, Task
from srup.serve.workers import WorkerProcess

REMEMBERED = 0.2  # the share of the last task in the mean of seconds
ENDS, CANCELLED = "the server ends", "it was cancelled"
LONGEST = 120  # seconds that a client is told to wait at most

State = Literal["waiting", "working", "done", "failed", "cancelled"]


@dataclass(eq=False)
class Ticket:
    """A task in the queue. `outcome` is a future of what it returns, or of why it failed."""

    task: Task
    outcome: asyncio.Future[Outcome]
    state: State = "waiting"
    stage: str = ""
    done: float = 0.0
    total: float = 0.0
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    def tell(self, stage: str, done: float, total: float) -> None:
        """Notes how far it is."""
        self.stage, self.done, self.total = stage, done, total

    def settle(self, state: State, outcome: Outcome | SrupError) -> None:
        """Notes the end, once; what nobody waits for any more is forgotten."""
        for timer in self.timers:
            timer.cancel()
        if self.outcome.done():
            return
        self.state = state
        if isinstance(outcome, SrupError):
            self.outcome.set_exception(outcome)
            self.outcome.exception()  # or asyncio would complain where nobody asks
        else:
            self.outcome.set_result(outcome)


class Queue:
    """Tasks and the workers that take them; `limits.waiting` may wait besides those at work."""

    def __init__(self, workers: Sequence[WorkerProcess], limits: ServiceLimits) -> None:
        self.workers, self.limits = workers, limits
        self.waiting: deque[Ticket] = deque()
        self.working: dict[WorkerProcess, Ticket] = {}
        self.starting = set(workers)
        self.seconds = 1.0  # that a task takes, the mean of late
        self.ended = False
        self.arrived = asyncio.Condition()
        self.threads = ThreadPoolExecutor(len(workers), "worker")

    async def serve(self, first: Task) -> None:
        """Runs `first` on every worker, then tasks as they come, until it is cancelled."""
        try:
            await asyncio.gather(*(self._serve(worker, first) for worker in self.workers))
        finally:
            for ticket in [*self.waiting, *self.working.values()]:
                ticket.settle("cancelled", Stopping(ENDS))
            self.waiting.clear()
            for worker in self.workers:
                worker.kill()
            self.threads.shutdown()

    async def _serve(self, worker: WorkerProcess, first: Task) -> None:
        await self._run(worker, self._ticket(first))
        self.starting.discard(worker)
        while True:
            async with self.arrived:
                await self.arrived.wait_for(lambda: self.waiting)
                ticket = self.waiting.popleft()
            await self._run(worker, ticket)

    async def _run(self, worker: WorkerProcess, ticket: Ticket) -> None:
        loop = asyncio.get_running_loop()
        self.working[worker], ticket.state, begun = ticket, "working", loop.time()
        late = TooSlow(f"it took more than {self.limits.work_seconds:g} seconds to compute")
        after = loop.call_later(self.limits.work_seconds, self._stop, worker, ticket, late)
        ticket.timers.append(after)

        def tell(stage: str, done: float, total: float) -> None:
            loop.call_soon_threadsafe(ticket.tell, stage, done, total)

        try:
            outcome = await loop.run_in_executor(self.threads, worker.run, ticket.task, tell)
            ticket.settle("done", outcome)
        except SrupError as error:
            ticket.settle("failed", error)
        except Exception as error:  # no process could be started, or what it said be understood
            worker.kill()
            ticket.settle("failed", internal(error, "the request"))
        finally:
            del self.working[worker]
        if worker not in self.starting:
            self.seconds += REMEMBERED * (loop.time() - begun - self.seconds)

    def _ticket(self, task: Task) -> Ticket:
        return Ticket(task, asyncio.get_running_loop().create_future())

    @property
    def wait(self) -> int:
        """Seconds until a task that came now would begin, by what tasks took of late."""
        ahead = len(self.waiting) + len(self.working)
        seconds = self.seconds * ahead / len(self.workers)
        return max(1, min(math.ceil(seconds), LONGEST))

    def state_of(self, worker: WorkerProcess) -> str:
        """What a worker does: starting, working or idle."""
        if worker in self.starting:
            return "starting"
        return "working" if worker in self.working else "idle"

    def end(self) -> None:
        """Gives up every task, and takes no other."""
        self.ended = True
        for ticket in [*self.waiting, *self.working.values()]:
            self.cancel(ticket)

    def check_room(self) -> None:
        """Raises Busy if no further task may wait, Stopping at the end."""
        if self.ended:
            raise Stopping(ENDS)
        if len(self.waiting) >= self.limits.waiting:
            about = f"the server is busy: {len(self.waiting)} requests wait already"
            raise Busy(f"{about}; try again in {self.wait} s", retry_after=self.wait)

    async def submit(self, task: Task) -> Ticket:
        """Puts a task at the end. Raises Busy."""
        async with self.arrived:
            self.check_room()
            ticket = self._ticket(task)
            self.waiting.append(ticket)
            self.arrived.notify()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Takes a task out of the queue, or has it given up. Does nothing to one that is done."""
        if ticket in self.waiting:
            self.waiting.remove(ticket)
        for worker, other in self.working.items():
            if other is ticket:
                self._stop(worker, ticket, Stopping(ENDS if self.ended else CANCELLED))
        ticket.settle("cancelled", Stopping(ENDS if self.ended else CANCELLED))

    def _stop(self, worker: WorkerProcess, ticket: Ticket, why: SrupError) -> None:
        """Has a worker give up a task, and kills the worker if it does not within a while."""
        worker.stop(worker.number)
        ticket.settle("cancelled" if isinstance(why, Stopping) else "failed", why)

        def kill() -> None:
            if self.working.get(worker) is ticket:
                worker.kill()

        asyncio.get_running_loop().call_later(self.limits.stop_seconds, kill)

    def position(self, ticket: Ticket) -> int:
        """How many tasks wait before one that waits."""
        return self.waiting.index(ticket) if ticket in self.waiting else 0

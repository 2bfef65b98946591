"""`--devices cuda:0 cuda:1`: one process per device on this machine. Each measures one cell, or one batch, at a time.

This process gives out the cells and is the only one that writes the file. A process that dies loses the cell or the
batch in work. A new process tries it again, the cells of a batch one by one.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait

from .cells import Cell, Key
from .fit import Making
from .jobs import TRIES, Group, Job
from .plan import Answer, Plan, answers, scores_in


class Worker:
    """A process that measures cells on one device, and the jobs that it has."""

    def __init__(self, plan: Plan, device: str):
        self.plan, self.device = plan, device
        self.group: Group = ()
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.plan, self.device), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, group: Group) -> None:
        self.group = group
        try:
            self.pipe.send([job.key for job in group])
        except BrokenPipeError:  # it died while it had nothing to do; `take` finds that out
            pass

    def take(self) -> tuple[Group, list[Answer] | None]:
        """The jobs and their answers; None if the process has died, which is then replaced."""
        group, self.group = self.group, ()
        try:
            return group, self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.stop()
            self._start()
            return group, None

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(pipe: Connection, plan: Plan, device: str) -> None:
    """Answers until the other end is closed. Ctrl-C is for the process that writes the file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            keys: list[Key] = pipe.recv()
        except EOFError:
            return
        pipe.send(answers(plan, device, keys))


def on_devices(
    plan: Plan, devices: Sequence[str], making: Making, groups: Sequence[Group]
) -> Iterator[tuple[Job, Cell | None]]:
    """The jobs with their scores, in the order in which they are finished; None: its process died `TRIES` times.

    devices: names such as "cuda:0"; a name that is there twice has two processes. UserError if a process can measure
    nothing, or measures with other weights.
    """
    waiting, deaths = deque(groups), Counter[Key]()
    workers = [Worker(plan, device) for device in devices[: len(groups)]]
    try:
        while True:
            for worker in workers:
                if not worker.group and waiting:
                    worker.give(waiting.popleft())
            busy = {worker.pipe: worker for worker in workers if worker.group}
            if not busy:
                return
            for pipe in wait(list(busy)):
                group, found = busy[pipe].take()  # type: ignore[index]
                if found is not None:
                    yield from ((job, scores_in(each, making)) for job, each in zip(group, found, strict=True))
                    continue
                for job in reversed(group):
                    deaths[job.key] += 1
                    if deaths[job.key] < TRIES:
                        waiting.appendleft([job])
                    else:
                        yield job, None
    finally:
        for worker in workers:
            worker.stop()

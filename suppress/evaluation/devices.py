"""`--devices cuda:0 cuda:1`: one process per device on this machine. Each measures one cell at a time.

This process gives out the cells and is the only one that writes the file. A process that dies loses the cell in work;
a new process tries that cell again.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait

from .cells import Cell, Key
from .fit import Making
from .jobs import TRIES, Job
from .plan import Answer, Plan, answer, scores_in


class Worker:
    """A process that measures cells on one device, and the job that it has."""

    def __init__(self, plan: Plan, device: str):
        self.plan, self.device = plan, device
        self.job: Job | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.plan, self.device), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, job: Job) -> None:
        self.job = job
        try:
            self.pipe.send(job.key)
        except BrokenPipeError:  # it died while it had nothing to do; `take` finds that out
            pass

    def take(self) -> tuple[Job, Answer | None]:
        """The job and its answer; None if the process has died, which is then replaced."""
        assert self.job is not None
        job, self.job = self.job, None
        try:
            return job, self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.stop()
            self._start()
            return job, None

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(pipe: Connection, plan: Plan, device: str) -> None:
    """Answers until the other end is closed. Ctrl-C is for the process that writes the file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            key: Key = pipe.recv()
        except EOFError:
            return
        pipe.send(answer(plan, device, key))


def on_devices(
    plan: Plan, devices: Sequence[str], making: Making, jobs: Sequence[Job]
) -> Iterator[tuple[Job, Cell | None]]:
    """The jobs with their scores, in the order in which they are finished; None: its process died `TRIES` times.

    devices: names such as "cuda:0"; a name that is there twice has two processes. UserError if a process can measure
    nothing, or measures with other weights.
    """
    waiting, deaths = deque(jobs), Counter[Key]()
    workers = [Worker(plan, device) for device in devices[: len(jobs)]]
    try:
        while True:
            for worker in workers:
                if worker.job is None and waiting:
                    worker.give(waiting.popleft())
            busy = {worker.pipe: worker for worker in workers if worker.job is not None}
            if not busy:
                return
            for pipe in wait(list(busy)):
                job, found = busy[pipe].take()  # type: ignore[index]
                if found is not None:
                    yield job, scores_in(found, making)
                    continue
                deaths[job.key] += 1
                if deaths[job.key] < TRIES:
                    waiting.appendleft(job)
                else:
                    yield job, None
    finally:
        for worker in workers:
            worker.stop()

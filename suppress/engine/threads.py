"""How a CPU's threads share the work of an engine.

Threads that share one small matrix product wait for each other at its end, some thousand times in a UNet pass, and
this can take longer than the work. So calls that need nothing of each other run at the same time, each on its share of
the threads (`at_once`). What remains is tried on one thread and on all, and the faster way is kept (`fastest`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import torch

TRIALS = 2  # of each number of threads; the shortest one counts, since other programs may slow down a single one
T = TypeVar("T")


class Threads:
    """What was measured, and workers that live as long as this object."""

    def __init__(self) -> None:
        self._workers: ThreadPoolExecutor | None = None
        self._size = 0, 0  # (workers, PyTorch's threads in all)
        self._seconds: dict[Hashable, dict[int, list[float]]] = {}  # of each kind of call, by the number of threads

    def at_once(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """The results of the calls, in their order. They run without gradients, unless they ask for some themselves.

        Each worker takes the next call when it is free. An error in a call is raised here.
        """
        threads = torch.get_num_threads()
        size = min(len(calls), threads), threads
        if size[0] < 2:
            return [call() for call in calls]
        if self._size != size:
            self._start(*size)
        assert self._workers is not None
        return [future.result() for future in [self._workers.submit(_without_gradients, call) for call in calls]]

    def fastest(self, kind: Hashable, call: Callable[[], T]) -> T:
        """The call's result. kind: what calls must have in common to take about the same time.

        The first call of a kind counts for nothing, because it may have to prepare something.
        """
        threads = torch.get_num_threads()
        seconds = self._seconds.get((kind, threads))
        if seconds is None:
            self._seconds[kind, threads] = {1: [], threads: []}
            return call()
        fewest = min(seconds, key=lambda n: len(seconds[n]))
        number = fewest if len(seconds[fewest]) < TRIALS else min(seconds, key=lambda n: min(seconds[n]))
        begin = time.perf_counter()
        torch.set_num_threads(number)
        try:
            result = call()
        finally:
            torch.set_num_threads(threads)
        if len(seconds[number]) < TRIALS:
            seconds[number].append(time.perf_counter() - begin)
        return result

    def _start(self, workers: int, threads: int) -> None:
        if self._workers is not None:
            self._workers.shutdown()
        started = Barrier(workers + 1)

        def begin() -> None:
            torch.set_num_threads(threads // workers)  # of this worker
            torch.get_num_threads()  # a thread that asks for the first time takes the number that was set last
            started.wait()

        self._workers, self._size = ThreadPoolExecutor(workers), (workers, threads)
        for _ in range(workers):
            self._workers.submit(begin)
        started.wait()
        torch.set_num_threads(threads)  # for threads that somebody else starts later


def _without_gradients(call: Callable[[], T]) -> T:
    with torch.no_grad():  # each thread has a setting of its own
        return call()

"""Orders of several people, drawn one at a time, in the order in which they came.

    run = runs.begin("a session", work)        # work(stop, tell) -> Drawn, in the one thread that draws
    for news in run.follow(): …                # Waiting, Progress, …, and at the end Drawn or an error
    runs.stop("a session")

A session has one run at a time: a new one stops the one before it. A run belongs to its session alone, and nothing of
it is kept when it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Lock

from .draw import Drawn, Progress, Stopped, Tell

PATIENCE = 0.3  # seconds between two looks at the queue; a page that was closed is noticed so often


@dataclass(frozen=True)
class Waiting:
    """Others are drawn first."""

    before: int


Work = Callable[[Event, Tell], Drawn]
News = Waiting | Progress | Drawn


class Run:
    """One order on its way."""

    def __init__(self, runs: Runs):
        self.stopping = Event()
        self._runs, self._news = runs, SimpleQueue[Progress]()
        self.future: Future[Drawn]

    def follow(self) -> Iterator[News]:
        """What happens, as it happens; the last is what was drawn. Raises what the work raised.

        If the caller goes away before the end, the run is stopped.
        """
        told = None
        try:
            while not self.future.done() or not self._news.empty():
                try:
                    yield self._latest()
                except Empty:
                    if self.stopping.is_set() and self.future.cancel():  # it was still waiting
                        raise Stopped from None
                    before = self._runs.before(self)
                    if before and before != told:
                        yield Waiting(before)
                    told = before
            yield self.future.result()
        finally:
            self.stopping.set()

    def work(self, work: Work) -> Drawn:
        if self.stopping.is_set():
            raise Stopped
        return work(self.stopping, self._news.put)

    def _latest(self) -> Progress:
        """The newest news; a page that is slower than the steps skips some. Empty if there is none."""
        news = self._news.get(timeout=PATIENCE)
        while not self._news.empty():
            news = self._news.get()
        return news


class Runs:
    """All runs of one model."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, "suppress-ui")
        self._sessions: dict[str, Run] = {}
        self._line: list[Run] = []  # those that are not over, the one at work first
        self._lock = Lock()

    def begin(self, session: str, work: Work) -> Run:
        """Puts a run into the line."""
        self.stop(session)
        run = Run(self)
        with self._lock:
            self._sessions[session] = run
            self._line.append(run)
        run.future = self._worker.submit(run.work, work)
        run.future.add_done_callback(lambda _: self._over(session, run))
        return run

    def stop(self, session: str) -> None:
        """Stops the session's run, after the step at work; nothing happens if it has none."""
        with self._lock:
            run = self._sessions.get(session)
        if run is not None:
            run.stopping.set()

    def before(self, run: Run) -> int:
        """How many runs are drawn before this one."""
        with self._lock:
            return self._line.index(run) if run in self._line else 0

    def close(self) -> None:
        """Stops all runs."""
        with self._lock:
            for run in self._line:
                run.stopping.set()
        self._worker.shutdown(cancel_futures=True)

    def _over(self, session: str, run: Run) -> None:
        with self._lock:
            self._line.remove(run)
            if self._sessions.get(session) is run:
                del self._sessions[session]

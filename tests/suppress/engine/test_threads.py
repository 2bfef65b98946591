"""Calls at the same time, and the number of threads: how they are chosen, and that the pictures stay the same."""

import threading
from dataclasses import dataclass, replace

import pytest
import torch

import minisd
import suppress
from minisd import UserError
from suppress.engine import Fast, Plan, threads
from suppress.engine.plan import fast_plan
from suppress.engine.threads import Threads
from suppress.methods import parse_method

PROMPT, LIST = "a man without glasses", "a man with a beard wearing glasses and a hat"
CPU = fast_plan(torch.device("cpu"))


@pytest.fixture
def two_threads():
    """PyTorch has two threads in this test; the others have one (tests/conftest.py)."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture
def shared_out(monkeypatch):
    """How many calls were given to the workers, each time."""
    counts, at_once = [], Threads.at_once

    def watched(self, calls):
        counts.append(len(calls))
        return at_once(self, calls)

    monkeypatch.setattr(Threads, "at_once", watched)
    return counts


# ---------------------------------------------------------------------- workers


@pytest.mark.usefixtures("two_threads")
def test_calls_run_at_the_same_time_each_on_its_share():
    both = threading.Barrier(2, timeout=60)  # it breaks if one call waits for the other to end

    def call(name):
        both.wait()
        return name, torch.get_num_threads(), torch.is_grad_enabled()

    workers = Threads()
    for _ in range(2):
        assert workers.at_once([lambda: call("a"), lambda: call("b")]) == [("a", 1, False), ("b", 1, False)]
    assert torch.get_num_threads() == 2 and torch.is_grad_enabled()


@pytest.mark.usefixtures("two_threads")
def test_more_calls_than_threads_wait_for_their_turn():
    workers, names = Threads(), []
    assert workers.at_once([lambda n=n: n for n in range(5)]) == [0, 1, 2, 3, 4]
    workers.at_once([lambda: names.append(threading.current_thread().name)] * 5)
    assert len(names) == 5 and len(set(names)) <= 2
    assert workers.at_once([threading.current_thread]) == [threading.current_thread()]


@pytest.mark.usefixtures("two_threads")
def test_other_numbers_of_threads_get_other_workers():
    workers = Threads()
    assert workers.at_once([torch.get_num_threads] * 2) == [1, 1]
    torch.set_num_threads(4)
    assert workers.at_once([torch.get_num_threads] * 2) == [2, 2]
    torch.set_num_threads(1)
    assert workers.at_once([threading.current_thread] * 2) == [threading.current_thread()] * 2


@pytest.mark.usefixtures("two_threads")
def test_an_error_in_a_call_is_told():
    def fail():
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        Threads().at_once([lambda: 1, fail])


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("one", "all_", "best"), [(1.0, 2.0, 1), (2.0, 1.0, 2)])
def test_the_faster_number_of_threads_is_kept(monkeypatch, one, all_, best):
    now, used = [0.0], []
    monkeypatch.setattr(threads.time, "perf_counter", lambda: now[0])

    def call():
        used.append(torch.get_num_threads())
        slow = 9.0 if len(used) in (2, 3) else 0.0  # another program was at work
        now[0] += slow + (one if used[-1] == 1 else all_)
        return len(used)

    chooser = Threads()
    assert [chooser.fastest("kind", call) for _ in range(8)] == list(range(1, 9))
    assert used == [2, 1, 2, 1, 2, best, best, best] and torch.get_num_threads() == 2
    chooser.fastest("another kind", call)
    assert used[-1] == 2


@pytest.mark.usefixtures("two_threads")
def test_the_number_of_threads_is_set_back_after_an_error():
    chooser = Threads()
    chooser.fastest("kind", lambda: 1)
    with pytest.raises(ZeroDivisionError):
        chooser.fastest("kind", lambda: 1 / 0)
    assert torch.get_num_threads() == 2


# ---------------------------------------------------------------------- pictures

# (prompt, method, in how many of three steps two calls run at the same time)
JOBS = {
    "two contexts": (PROMPT, "suppress-eot:start=1", 3),
    "maps of the original": (LIST, "unread:start=1", 3),
    "a tap at the prompt": (LIST, "attn2zero:start=1", 3),
    "three contexts": (LIST, "unread:keep=1,start=1", 1),  # as long as nothing is edited
}


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("maps", [False, True])
def test_pictures_stay_the_same(sd, shared_out, name, maps):
    prompt, spec, count = JOBS[name]
    settings = parse_method(spec, steps=3)
    run = {"seed": (5, 2), "settings": settings, "maps": maps, "height": 64, "width": 64}
    got = suppress.run(sd, prompt, "glasses", engine=Fast(sd, CPU), **run)
    assert shared_out == [2] * count
    want = suppress.run(sd, prompt, "glasses", engine="reference", **run)
    assert torch.allclose(got.latents, want.latents, atol=1e-3)
    assert torch.allclose(got.original_latents, want.original_latents, atol=1e-3)
    assert (got.latents - got.original_latents).abs().max() > 0.01
    if maps:
        assert torch.allclose(got.maps, want.maps, atol=1e-4)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("seeds", [(5,), (5, 2, 8)])
def test_ito_stays_the_same(sd, shared_out, seeds):
    """Several samples are optimised at the same time; one is tried on one thread and on two."""
    settings = suppress.SuppressEOT.official(steps=9, start=1, stop=7, iterations=1)
    engine = Fast(sd, CPU)
    got = suppress.run(sd, PROMPT, "glasses", seed=seeds, settings=settings, engine=engine)
    want = suppress.run(sd, PROMPT, "glasses", seed=seeds, settings=settings, engine="reference")
    assert torch.allclose(got.latents, want.latents, atol=1e-3)
    measured = engine.threads._seconds
    if len(seeds) == 1:
        [by_number] = measured.values()
        assert {number: len(seconds) for number, seconds in by_number.items()} == {1: 2, 2: 2}
    else:
        assert not measured and shared_out.count(2) >= 6


@dataclass(frozen=True)
class BothTapped(suppress.Method):
    """A method with a tap that sees the samples with the prompt and one that sees those without, and a common state."""

    def edit(self, run):
        return BothTappedEdit(run)


class BothTappedEdit(suppress.Edit):
    def inputs(self, i, same, original, maps):
        tap = minisd.Record(minisd.select("cross"))
        return replace(same, tap=tap, tap_uncond=tap)


@pytest.mark.usefixtures("two_threads")
def test_taps_of_one_method_are_never_at_work_at_the_same_time(sd, shared_out):
    settings = BothTapped(steps=3, start=1)
    suppress.run(sd, PROMPT, "glasses", settings=settings, engine=Fast(sd, CPU), height=64, width=64)
    assert shared_out == [2]  # before the edit begins


def test_one_thread_shares_nothing(sd, shared_out):
    suppress.run(sd, PROMPT, "glasses", settings=suppress.SuppressEOT(steps=2), height=64, width=64)
    assert shared_out == []


@pytest.mark.usefixtures("two_threads")
def test_graphs_and_plans_without_it_share_nothing(sd, shared_out):
    for plan in (replace(CPU, at_once=False), replace(CPU, graph=True)):
        settings = suppress.SuppressEOT(steps=2)
        suppress.run(sd, PROMPT, "glasses", settings=settings, engine=Fast(sd, plan), height=64, width=64)
    assert shared_out == []


def test_a_compiler_has_no_calls_at_the_same_time():
    with pytest.raises(UserError, match="at_once=True, compile=…"):
        Plan(at_once=True, compile="eager")

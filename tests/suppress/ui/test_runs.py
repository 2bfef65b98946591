"""Orders of several people: one at a time, each with its own result, and a stop that works."""

from threading import Event

import pytest

from minisd import UserError
from suppress.ui.draw import Progress, Stopped
from suppress.ui.runs import Runs, Waiting

pytestmark = pytest.mark.quick


@pytest.fixture
def runs():
    runs = Runs()
    yield runs
    runs.close()


def until_stopped(begun=None):
    def work(stop, tell):
        if begun is not None:
            begun.set()
        tell(Progress("drawing", 1, 2))
        assert stop.wait(20)
        return "stopped"

    return work


def test_the_last_news_is_what_was_drawn(runs):
    def work(stop, tell):
        tell(Progress("drawing", 1, 2))
        return "drawn"

    assert list(runs.begin("a", work).follow()) == [Progress("drawing", 1, 2), "drawn"]


def test_one_draws_and_the_other_waits_and_each_gets_its_own(runs):
    begun = Event()
    first = runs.begin("a", until_stopped(begun))
    assert begun.wait(20)
    second = runs.begin("b", lambda stop, tell: "of b").follow()
    assert next(second) == Waiting(1)
    runs.stop("a")
    assert list(first.follow())[-1] == "stopped"
    assert list(second) == ["of b"]


def test_a_stop_reaches_its_own_session_only(runs):
    begun = Event()
    first = runs.begin("a", until_stopped(begun))
    assert begun.wait(20)
    runs.stop("b")
    assert not first.stopping.is_set()
    runs.stop("a")
    assert list(first.follow())[-1] == "stopped"


def test_a_stop_while_waiting_ends_at_once(runs):
    begun = Event()
    first = runs.begin("a", until_stopped(begun))
    assert begun.wait(20)
    second = runs.begin("b", lambda stop, tell: pytest.fail("was drawn"))
    news = second.follow()
    assert next(news) == Waiting(1)
    runs.stop("b")
    with pytest.raises(Stopped):
        list(news)
    assert not first.future.done() and runs.before(first) == 0


def test_who_leaves_or_asks_anew_stops_the_run(runs):
    left = runs.begin("a", until_stopped())
    news = left.follow()
    next(news)
    news.close()  # the page was closed
    assert left.future.result(20) == "stopped"
    again = runs.begin("a", until_stopped())
    other = runs.begin("a", lambda stop, tell: "anew")
    assert again.stopping.is_set() and list(other.follow()) == ["anew"]


def test_a_mistake_is_raised_where_the_run_is_followed(runs):
    def work(stop, tell):
        raise UserError("no such word")

    with pytest.raises(UserError, match="no such word"):
        list(runs.begin("a", work).follow())
    assert list(runs.begin("a", lambda stop, tell: "next").follow()) == ["next"]

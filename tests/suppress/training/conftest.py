"""What the tests of several erasers share."""

import itertools

import pytest


class Stopped:
    """A progress bar of the iterations, at whose iteration `at` the user presses Ctrl-C."""

    def __init__(self, at):
        self.at = at

    def __call__(self, steps, total=None, initial=None, unit="it"):
        if initial is None:  # pictures are drawn
            yield from steps
            return
        yield from itertools.takewhile(lambda i: i < self.at, steps)
        raise KeyboardInterrupt


@pytest.fixture
def stopped():
    return Stopped

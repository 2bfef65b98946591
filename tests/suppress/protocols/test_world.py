"""The table that one protocol makes of its own figures."""

import pytest

from suppress.protocols.protocol import ORIGINAL
from suppress.protocols.world import TRIPLES, obedience

pytestmark = pytest.mark.quick


def test_a_method_that_never_draws_the_thing_does_not_win():
    denied, wanted, silent = TRIPLES.groups
    figures = {(ORIGINAL, denied): 0.9, (ORIGINAL, wanted): 1.0, (ORIGINAL, silent): 0.2}
    figures |= {("SWR", denied): 0.25, ("SWR", wanted): 0.5, ("UCE", denied): 0.0, ("UCE", wanted): 0.0}
    table = obedience(lambda row, group, metric: figures.get((row, group), float("nan")))
    found = {row.name: [value.number for value in row.values] for row in table.rows}
    assert found[ORIGINAL] == [pytest.approx(0.1), None]
    assert found["SWR"] == [0.75, 0.25] and found["UCE"] == [1.0, 0.0] and found["GIE"] == [None, None]
    assert "The base rate P(E given A) is 0.200." in table.notes[0]

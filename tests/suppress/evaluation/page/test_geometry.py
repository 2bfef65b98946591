"""Where circles, ticks and interval bars stand."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suppress.evaluation.page.geometry import (
    BAR,
    BOTTOM,
    HEIGHT,
    LARGEST,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    bars,
    nice_ticks,
    scatter,
)
from suppress.evaluation.page.parts import Column, Plot, Point, Table, TableRow, Value

pytestmark = pytest.mark.quick


def plot(*points: Point) -> Plot:
    return Plot("p", Column("x"), Column("y"), Column("size", digits=0), points)


def test_higher_values_stand_further_right_and_up():
    drawn = scatter(plot(Point("a", 0, 0, 1), Point("b", 1, 1, 1)))
    a, b = drawn.circles
    assert (a.x, a.y) == (LEFT, HEIGHT - BOTTOM) and (b.x, b.y) == (WIDTH - RIGHT, TOP)
    assert (a.on_the_right, b.on_the_right) == (False, True)
    assert a.label_x == a.x + a.radius + 6 and b.label_x == b.x - b.radius - 6
    assert [t.label for t in drawn.x_ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert drawn.y_ticks[0].place == HEIGHT - BOTTOM and drawn.y_ticks[-1].place == TOP


def test_the_area_is_the_cost_and_small_circles_stay_on_top():
    drawn = scatter(plot(Point("small", 0, 0, 25), Point("mine", 0, 0, 50, marked=True), Point("large", 0, 0, 100)))
    assert [c.name for c in drawn.circles] == ["large", "small", "mine"]
    large, small, mine = (c.radius for c in drawn.circles)
    assert large == LARGEST and small == LARGEST / 2 and mine == pytest.approx(LARGEST / math.sqrt(2), abs=0.1)


def test_a_circle_that_costs_nothing_can_be_seen():
    assert [c.radius for c in scatter(plot(Point("a", 0, 0, 0))).circles] == [3]
    assert scatter(plot(Point("a", 0, 0, 10_000), Point("free", 1, 1, 0))).circles[1].radius == 3


@given(st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 5)), min_size=1, max_size=6))
def test_ticks_are_few_and_enclose_the_values(values):
    ticks = nice_ticks(values)
    steps = [b - a for a, b in pairwise(ticks)]
    assert 2 <= len(ticks) <= 9 and all(step > 0 for step in steps)
    slack = 1e-6 * (max(values) - min(values)) + 1e-9
    assert ticks[0] <= min(values) + slack and ticks[-1] >= max(values) - slack
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)


def test_bars_of_a_column_have_one_scale():
    rows = [
        TableRow("a", (Value(0.5, (-1.0, 1.0)), Value(1.0, (0.5, 2.0)))),
        TableRow("b", (Value(2.0, (1.0, 3.0)), Value())),
    ]
    table = Table("t", "row", (Column("Δ", signed=True), Column("x")), tuple(rows))
    a, b = bars(table, 0)
    inner = BAR - 4
    assert (a.left, a.width) == (2, inner / 2) and (b.left, b.width) == (2 + inner / 2, inner / 2)
    assert a.tick == pytest.approx(2 + inner * 1.5 / 4, abs=0.1)
    assert a.zero == b.zero == 2 + inner / 4
    one, none = bars(table, 1)
    assert none is None and one.zero is None and (one.left, one.width) == (2, inner)


def test_an_interval_without_width_can_be_seen():
    [bar] = bars(Table("t", "row", (Column("x"),), (TableRow("a", (Value(1.0, (1.0, 1.0)),)),)), 0)
    assert bar.width == 1 and bar.tick == BAR / 2

"""Where the marks of the plot and of the interval bars stand, in units of their drawings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .parts import Plot, Table

WIDTH, HEIGHT = 480, 380  # of the plot. Small, so that its text can still be read on a phone
LEFT, RIGHT, TOP, BOTTOM = 52, 24, 40, 48  # margins
LARGEST = 20  # radius of the largest circle
BAR = 64  # width of an interval bar


@dataclass(frozen=True)
class Scale:
    """A linear map of [low, high] to [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Tick:
    place: float
    label: str


@dataclass(frozen=True)
class Circle:
    name: str
    x: float
    y: float
    radius: float
    about: str  # the point in words
    marked: bool

    @property
    def on_the_right(self) -> bool:
        return self.x > WIDTH / 2

    @property
    def label_x(self) -> float:
        """Where the name ends or, if the circle is in the left half, begins: beside the circle, towards the middle."""
        return round(self.x + (self.radius + 6) * (-1 if self.on_the_right else 1), 1)


@dataclass(frozen=True)
class Scatter:
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    circles: tuple[Circle, ...]  # the larger ones first, so that the smaller ones stay on top; the marked ones last


def scatter(plot: Plot) -> Scatter:
    """The plot with at least one point. Area is proportional to size: r = LARGEST √(size / largest size)."""
    xs, ys = nice_ticks([p.x for p in plot.points]), nice_ticks([p.y for p in plot.points])
    across = Scale(xs[0], xs[-1], LEFT, WIDTH - RIGHT)
    up = Scale(ys[0], ys[-1], HEIGHT - BOTTOM, TOP)
    largest = max(p.size for p in plot.points) or 1.0
    circles = [
        Circle(
            p.name,
            across(p.x),
            up(p.y),
            round(max(3.0, LARGEST * math.sqrt(p.size / largest)), 1),  # one that costs nothing can be seen, too
            f"{p.name}: {plot.x.heading} {plot.x.number(p.x)}, {plot.y.heading} {plot.y.number(p.y)}, "
            f"{plot.size.heading} {plot.size.number(p.size)}",
            p.marked,
        )
        for p in sorted(plot.points, key=lambda p: (p.marked, -p.size))
    ]
    return Scatter(_ticks(xs, across), _ticks(ys, up), tuple(circles))


def _ticks(values: Sequence[float], scale: Scale) -> tuple[Tick, ...]:
    return tuple(Tick(scale(value), f"{value:g}") for value in values)


def nice_ticks(values: Sequence[float]) -> list[float]:
    """At least two round numbers, in equal steps of 1, 2 or 5 times a power of ten, which enclose the values."""
    low, high = min(values), max(values)
    wanted = (high - low or 1.0) / 6
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= wanted * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    return [round(k * step, 10) for k in range(first, last + 1)]


@dataclass(frozen=True)
class Bar:
    """An interval on the common scale of its column."""

    left: float
    width: float
    tick: float  # where the value is
    zero: float | None  # where zero is, if it lies within the scale


def bars(table: Table, column: int) -> list[Bar | None]:
    """One bar per row; None for a value without an interval."""
    values = [row.values[column] for row in table.rows]
    ends = [end for value in values if value.interval for end in value.interval]
    if not ends:
        return [None] * len(values)
    scale = Scale(min(ends), max(ends), 2, BAR - 2)
    zero = scale(0.0) if scale.low <= 0 <= scale.high and table.columns[column].signed else None
    found: list[Bar | None] = []
    for value in values:
        if value.interval is None or value.number is None:
            found.append(None)
            continue
        left, right = map(scale, value.interval)
        found.append(Bar(left, max(1.0, round(right - left, 1)), scale(value.number), zero))
    return found

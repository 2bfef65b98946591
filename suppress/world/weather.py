"""Rain with its clouds, and snow."""

from __future__ import annotations

from random import Random

from .palette import WHITE
from .pen import Pen
from .shapes import path
from .spec import Spec


def draw_clouds(pen: Pen, spec: Spec) -> None:
    """Rain clouds, behind the subject."""
    if spec.weather != "rain":
        return
    random = Random(spec.seed * 31 + 6)
    for x in (20 + random.uniform(-6, 6), 66 + random.uniform(-8, 8), 110 + random.uniform(-6, 6)):
        cloud = path("-24,7 -18,-3 -7,-7 5,-8 16,-3 24,6 8,9 -8,9", at=(x, 9 + random.uniform(-3, 3)))
        pen.blob(cloud, (126, 134, 152), edge=(84, 90, 110), width=1.6)


def draw_weather(pen: Pen, spec: Spec) -> None:
    """Drops or flakes, before everything else."""
    random = Random(spec.seed * 31 + 7)
    if spec.weather == "rain":
        _drops(pen, random)
    elif spec.weather == "snow":
        _flakes(pen, random)


def _drops(pen: Pen, random: Random) -> None:
    for i in range(6):
        for j in range(7):
            x, y = 4 + 22 * i + random.uniform(-7, 7) + (j % 2) * 10, 19 * j + random.uniform(-5, 5)
            drop = ((x, y), (x - 3.6, y + 11))
            pen.line(drop, (58, 104, 178), 2.3)
            pen.line(drop, (176, 212, 246), 1.2)


def _flakes(pen: Pen, random: Random) -> None:
    for i in range(7):
        for j in range(7):
            x, y = 6 + 19.5 * i + random.uniform(-6, 6), 6 + 19.5 * j + random.uniform(-6, 6)
            radius = random.uniform(1.7, 3.2)
            pen.ellipse(x, y, radius, radius, WHITE, edge=(150, 174, 212), width=0.9)

"""Outlines as points: text in the manner of SVG, smooth curves through points, rounded rectangles, circles."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Points = NDArray[np.float64]  # (number of points, 2)

_ANGLES = np.linspace(0, 2 * np.pi, 40, endpoint=False)
CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)  # (40,2), radius 1


@lru_cache(maxsize=4096)
def path(text: str, flip: int = 1, at: Point = (0.0, 0.0)) -> tuple[Point, ...]:
    """The points of "x,y x,y …". flip = -1 mirrors them, left to right; then they are moved by `at`."""
    pairs = (pair.split(",") for pair in text.split())
    return tuple((flip * float(x) + at[0], float(y) + at[1]) for x, y in pairs)


def _catmull_rom(steps: int) -> Points:
    """(steps, 4): weights of four neighbouring points, for `steps` places between the middle two."""
    t = np.arange(steps) / steps
    return 0.5 * np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3], 1)


_WEIGHTS = _catmull_rom(6)


@lru_cache(maxsize=4096)
def smooth_closed(points: tuple[Point, ...]) -> Points:
    """A Catmull-Rom spline through the points, which ends where it begins."""
    p = np.asarray(points, float)
    neighbours = np.stack([np.roll(p, 1, 0), p, np.roll(p, -1, 0), np.roll(p, -2, 0)], 1)
    return np.einsum("mk,nkd->nmd", _WEIGHTS, neighbours).reshape(-1, 2)


@lru_cache(maxsize=4096)
def smooth_open(points: tuple[Point, ...]) -> Points:
    """A Catmull-Rom spline from the first point to the last. The ends are continued by mirrored points."""
    p = np.asarray(points, float)
    e = np.concatenate([p[:1] * 2 - p[1:2], p, p[-1:] * 2 - p[-2:-1]])
    neighbours = np.stack([e[:-3], e[1:-2], e[2:-1], e[3:]], 1)
    return np.concatenate([np.einsum("mk,nkd->nmd", _WEIGHTS, neighbours).reshape(-1, 2), p[-1:]])


@lru_cache(maxsize=4096)
def rounded_rectangle(x0: float, y0: float, x1: float, y1: float, radius: float) -> Points:
    """A rectangle whose corners are quarters of a circle, of seven points each."""
    r = max(0.01, min(radius, (x1 - x0) / 2, (y1 - y0) / 2))
    angles = np.linspace(0, np.pi / 2, 7)
    c, s = np.cos(angles) * r, np.sin(angles) * r
    corners = (
        (x1 - r + c, y1 - r + s),
        (x0 + r - s, y1 - r + c),
        (x0 + r - c, y0 + r - s),
        (x1 - r + s, y0 + r - c),
    )
    return np.concatenate([np.stack(corner, 1) for corner in corners])

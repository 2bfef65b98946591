"""A pen that draws outlined shapes in a frame of its own, which may be moved, scaled and tilted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import ImageDraw

from .palette import INK, Colour
from .shapes import CIRCLE, Point, Points, rounded_rectangle, smooth_closed, smooth_open

Outline = Sequence[Point] | Points
Edge = Colour | bool


class Pen:
    """Lengths are in units of 1/128 of the picture; `unit` is how many pixels that is.

    `edge` of a shape: True draws its outline in the pen's ink, a colour in that colour, False draws none. Shapes
    without `fill` are outlines only.
    """

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        unit: float,
        centre: Point = (0.0, 0.0),
        scale: float = 1.0,
        tilt: float = 0.0,
        ink: Colour = INK,
        thinness: float = 1.0,
    ) -> None:
        """tilt: degrees. thinness: what the outlines of filled shapes are multiplied by."""
        angle = math.radians(tilt)
        c, s = math.cos(angle) * scale * unit, math.sin(angle) * scale * unit
        self._matrix = np.array([[c, s], [-s, c]])
        self._origin = np.array([centre[0] * unit, centre[1] * unit])
        self._draw, self._unit, self._ink, self._thinness = draw, unit, ink, thinness
        self._edge_scale = scale / thinness  # outlines of ellipses keep their width whatever the frame's scale is

    def polygon(self, points: Outline, fill: Colour | None = None, edge: Edge = True, width: float = 2.0) -> None:
        xy = self._pixels(points)
        if fill is not None:
            self._draw.polygon(xy, fill=fill)
            width = width * self._thinness
        if edge:
            self._stroke(xy, self._colour(edge), width)

    def blob(
        self, points: tuple[Point, ...], fill: Colour | None = None, edge: Edge = True, width: float = 2.0
    ) -> None:
        """A polygon without corners."""
        self.polygon(smooth_closed(points), fill, edge, width)

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        fill: Colour | None = None,
        edge: Edge = True,
        width: float = 2.0,
    ) -> None:
        """Around (x, y), with the radii rx and ry."""
        if fill is None:
            self._stroke(self._pixels(CIRCLE * (rx, ry) + (x, y)), self._colour(edge), width)
            return
        if edge:
            h = width / 2 / self._edge_scale
            self._draw.polygon(self._pixels(CIRCLE * (rx + h, ry + h) + (x, y)), fill=self._colour(edge))
            rx, ry = rx - h, ry - h
        self._draw.polygon(self._pixels(CIRCLE * (rx, ry) + (x, y)), fill=fill)

    def rounded(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        radius: float,
        fill: Colour | None = None,
        edge: Edge = True,
        width: float = 2.0,
    ) -> None:
        """A rectangle with round corners."""
        if fill is None:
            self._stroke(self._pixels(rounded_rectangle(x0, y0, x1, y1, radius)), self._colour(edge), width)
            return
        if edge:
            h = width / 2 / self._edge_scale
            outer = rounded_rectangle(x0 - h, y0 - h, x1 + h, y1 + h, radius + h)
            self._draw.polygon(self._pixels(outer), fill=self._colour(edge))
            x0, y0, x1, y1, radius = x0 + h, y0 + h, x1 - h, y1 - h, radius - h
        self._draw.polygon(self._pixels(rounded_rectangle(x0, y0, x1, y1, max(radius, 0.0))), fill=fill)

    def line(self, points: Outline, colour: Colour | None = None, width: float = 2.0) -> None:
        """Straight from point to point. Without a colour: in the pen's ink."""
        self._stroke(self._pixels(points), colour or self._ink, width, closed=False)

    def curve(self, points: tuple[Point, ...], colour: Colour | None = None, width: float = 2.0) -> None:
        """A smooth line through the points."""
        self._stroke(self._pixels(smooth_open(points)), colour or self._ink, width, closed=False)

    def band(self, y0: float, y1: float, colour: Colour) -> None:
        """The whole width of the picture from y0 to y1; the frame does not matter."""
        rows = int(y0 * self._unit), int(y1 * self._unit)
        self._draw.rectangle((0, rows[0], 128 * self._unit, rows[1]), fill=colour)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """A rectangle without outline; the frame does not matter."""
        k = self._unit
        self._draw.rectangle((x0 * k, y0 * k, x1 * k, y1 * k), fill=colour)

    def _pixels(self, points: Outline) -> list[float]:
        """[x, y, x, y, …] in pixels of the picture."""
        return (np.asarray(points, float) @ self._matrix + self._origin).ravel().tolist()

    def _colour(self, edge: Edge) -> Colour:
        return self._ink if isinstance(edge, bool) else edge

    def _stroke(self, xy: list[float], colour: Colour, width: float, closed: bool = True) -> None:
        """A line with round ends. If it has few points, its corners are visible, and they are rounded too."""
        pixels = max(1, round(width * self._unit))
        corners = xy if len(xy) <= (32 if closed else 36) else []
        if not (closed or corners):
            corners = [*xy[:2], *xy[-2:]]
        self._draw.line(xy + xy[:4] if closed else xy, fill=colour, width=pixels)
        if pixels > 2:
            r = pixels / 2 - 0.5
            for x, y in zip(corners[::2], corners[1::2], strict=True):
                self._draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

"""The object beside the subject, and the hand that holds it."""

from __future__ import annotations

import math

import numpy as np

from .palette import COLORS, INK, Colour, darker, lighter
from .pen import Pen
from .shapes import path
from .spec import Spec

_DISTANCE = {"car": 40}  # from the middle of the picture; 42 for the other objects


def draw_object_behind(pen: Pen, spec: Spec) -> None:
    """Balloon, umbrella and car stand behind the subject."""
    draw = {"balloon": _balloon, "umbrella": _umbrella, "car": _car}.get(spec.obj)
    if draw:
        draw(pen, spec, 64 + spec.side * _DISTANCE.get(spec.obj, 42), COLORS[spec.obj_color])


def draw_object_before(pen: Pen, spec: Spec) -> None:
    """Flower and cake stand before the subject."""
    draw = {"flower": _flower, "cake": _cake}.get(spec.obj)
    if draw:
        draw(pen, spec, 64 + spec.side * 42, COLORS[spec.obj_color])


def draw_hand(pen: Pen, spec: Spec, skin: Colour) -> None:
    """An arm in the shirt's colour, at the string of the balloon or the stick of the umbrella."""
    if spec.obj in ("balloon", "umbrella"):
        x = 64 + spec.side * (40 if spec.obj == "balloon" else 42)
        pen.rounded(x - 8, 112, x + 8, 140, 4, COLORS[spec.shirt])
        pen.ellipse(x, 109, 7.5, 6.5, skin)


def _flower(pen: Pen, spec: Spec, x: float, colour: Colour) -> None:
    at = (x, 0)
    pen.polygon(path("-13,100 13,100 9,126 -9,126", at=at), (206, 108, 66))  # the pot and its rim
    pen.rounded(x - 15, 94, x + 15, 102, 2, (222, 128, 80))
    pen.line(path("0,94 0,66", at=at), (54, 132, 66), 4)
    pen.blob(path("0,90 6,80 16,76 12,87", at=at), (88, 176, 92), width=1.6)  # two leaves
    pen.blob(path("0,86 -6,78 -15,75 -11,84", at=at), (88, 176, 92), width=1.6)
    if spec.obj_color == "green":
        colour = COLORS["red"]
    for i in range(6):
        angle = i * math.pi / 3 + 0.5
        pen.ellipse(x + 10 * math.cos(angle), 56 + 10 * math.sin(angle), 7, 7, colour, width=1.8)
    pen.ellipse(x, 56, 7, 7, (255, 214, 70) if spec.obj_color != "yellow" else (200, 110, 40), width=1.8)


def _cake(pen: Pen, spec: Spec, x: float, colour: Colour) -> None:
    cream = (255, 248, 236)
    pen.ellipse(x, 122, 24, 5, (236, 238, 244))  # the plate
    pen.rounded(x - 19, 98, x + 19, 121, 3, lighter(colour, 0.15))
    pen.rounded(x - 19, 98, x + 19, 106, 4, cream)
    for i in range(4):
        pen.ellipse(x - 14 + 9.4 * i, 107, 4, 4.5, cream, edge=False)
    pen.line(((x - 18, 114), (x + 18, 114)), cream, 2.4)
    for i in (-11, 0, 11):  # candles
        pen.rounded(x + i - 2, 85, x + i + 2, 98, 1, (86, 150, 226), width=1.4)
        pen.ellipse(x + i, 80, 2.6, 4, (255, 190, 50), edge=(232, 96, 40), width=1.5)


def _balloon(pen: Pen, spec: Spec, x: float, colour: Colour) -> None:
    pen.curve(((x, 60), (x + 4, 74), (x - 3, 90), (x - spec.side * 2, 112)), (70, 60, 72), 1.8)
    pen.polygon(path("-4,62 4,62 0,55", at=(x, 0)), darker(colour))
    pen.ellipse(x, 36, 17, 21, colour)
    pen.ellipse(x - 6, 28, 3.6, 6, lighter(colour, 0.65), edge=False)


def _umbrella(pen: Pen, spec: Spec, x: float, colour: Colour) -> None:
    stick = ((x, 30), (x, 110))
    pen.line(stick, INK, 4.6)
    pen.line(stick, (206, 160, 96), 2)
    top = [(x + 26 * math.cos(a), 44 + 30 * math.sin(a)) for a in np.linspace(math.pi, 2 * math.pi, 24)]
    hem = [(x + 13 * i + dx, y) for i in (2, 1, 0, -1) for dx, y in ((-3, 41.0), (-10, 41.0), (-13, 44.0))]
    pen.polygon(top + hem, colour)
    pen.blob(path("-8,42 -7,30 0,15 7,30 8,42", at=(x, 0)), lighter(colour, 0.5), width=1.6)
    pen.line(((x, 14), (x, 9)), INK, 3)


def _car(pen: Pen, spec: Spec, x: float, colour: Colour) -> None:
    at = (x, 0)
    pen.blob(path("-18,76 -12,61 0,59 12,61 19,76 0,78", at=at), lighter(colour, 0.12))
    for window in ("-13,75 -9,65 -1.5,65 -1.5,75", "14,75 10,65 1.5,65 1.5,75"):
        pen.polygon(path(window, at=at), (206, 234, 248), width=1.4)
    pen.rounded(x - 27, 75, x + 27, 92, 6, colour)
    for i in (-24, 24):  # lamps
        pen.ellipse(x + i, 81, 2.6, 2.6, (255, 232, 130), width=1.2)
    for i in (-15, 15):  # wheels
        pen.ellipse(x + i, 92, 7, 7, (48, 46, 54))
        pen.ellipse(x + i, 92, 3, 3, (206, 208, 216), edge=False)

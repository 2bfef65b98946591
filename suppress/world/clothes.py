"""Body and shirt, scarf, bow tie. The frame's origin is the middle of the face."""

from __future__ import annotations

from .palette import COLORS, WHITE, Colour, darker, lighter
from .pen import Pen
from .shapes import path
from .spec import Spec

# half the width of the shoulders
_SHOULDER = {"man": 45, "woman": 38, "boy": 36, "girl": 35, "cat": 37, "dog": 40, "robot": 40}


def draw_body(pen: Pen, spec: Spec, skin: Colour) -> None:
    """Neck, shirt, arms, and what a collar shows: skin, or a robot's panel of lamps."""
    neck = darker(skin, 0.1 if spec.is_person else 0.12)
    if spec.kind == "robot":
        pen.rounded(-8, 20, 8, 40, 1, darker(skin, 0.25))
        pen.line(path("-8,29 8,29"), width=1.6)
    else:
        pen.rounded(-10, 14, 10, 42, 3, neck)
    _shirt(pen, spec)
    if spec.kind == "robot":
        pen.rounded(-9, 50, 9, 60, 2, (70, 80, 96), width=1.6)
        for i, lamp in enumerate(((240, 90, 80), (250, 210, 80), (100, 210, 130))):
            pen.ellipse(-5 + 5 * i, 55, 1.8, 1.8, lamp, edge=False)
    else:
        pen.blob(path("-12,33 -7,40 0,43 7,40 12,33 0,30"), neck, edge=False)
        pen.curve(path("-13,33.5 -7,41 0,43.5 7,41 13,33.5"), width=2.6)


def _shirt(pen: Pen, spec: Spec) -> None:
    w = _SHOULDER[spec.kind]
    colour = COLORS[spec.shirt]
    left = ((-12, 34), (-w * 0.62, 40), (-w * 0.93, 47), (-w - 2, 60), (-w - 5, 84))
    right = tuple((-x, y) for x, y in reversed(left))
    outline = (*left, (0, 90), *right, (0, 39))
    pen.blob(outline, colour, edge=False)
    if spec.stripes:
        stripe = WHITE if spec.shirt not in ("white", "yellow") else (90, 130, 200)
        for y, end in ((48.5, 0.93 * w), (57.5, w + 0.5), (66.5, w + 2), (75.5, w + 3)):
            pen.line(((-end + 1, y), (end - 1, y)), stripe, 3.6)
    pen.blob(outline)
    for side in (-1, 1):  # where the arms begin
        arm = ((side * (w - 11), 62), (side * (w - 10), 72), (side * (w - 10), 84))
        pen.curve(arm, darker(colour, 0.45), 1.8)


def draw_scarf(pen: Pen, spec: Spec) -> None:
    if not spec.scarf:
        return
    colour, flip = COLORS[spec.scarf], spec.flip
    stripe = lighter(colour, 0.55) if spec.scarf not in ("white", "yellow") else (216, 92, 84)
    pen.polygon(path("7,38 20,36 22,68 9,70", flip), colour)  # the end that hangs down
    pen.line(path("10,58 20.4,57", flip), stripe, 3.4)
    pen.line(path("10,65 20.8,64", flip), stripe, 2.6)
    pen.blob(path("-25,30 -27,36 -22,43 -8,47 8,47 22,43 27,36 25,30 10,34 -10,34"), colour)
    for x in (-17, -5, 7, 18):
        pen.line(((x, 36.5), (x - 1.5, 43.5)), stripe, 3)


def draw_bow_tie(pen: Pen, spec: Spec) -> None:
    if not spec.bow_tie:
        return
    colour = COLORS[spec.bow_tie]
    for flip in (-1, 1):
        pen.polygon(path("2,43 18,34 19,43 18,53", flip), colour, width=2.2)
        pen.line(path("6,43.5 11,43.5", flip), darker(colour, 0.5), 1.6)
    knot = darker(colour, 0.15) if spec.bow_tie != "black" else lighter(colour, 0.2)
    pen.rounded(-4.5, 38.5, 4.5, 48.5, 2.5, knot, width=2.2)

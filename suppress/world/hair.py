"""The hair of people: what hangs behind the head, and what lies on it."""

from __future__ import annotations

import math

from .palette import HAIRS, SKINS, Colour, darker, lighter
from .pen import Pen
from .shapes import path
from .spec import Spec

_LONG = "0,-33 -21,-27 -29,-10 -31,14 -35,42 -16,46 0,40 16,46 35,42 31,14 29,-10 21,-27"
_BOB = "0,-33 -21,-27 -29,-10 -31,8 -31,24 -16,27 0,22 16,27 31,24 31,8 29,-10 21,-27"
_PONYTAIL = "14,-28 30,-26 42,-10 42,14 34,30 32,10 22,-6"
_PIGTAIL = "24,-8 34,-12 43,0 42,20 34,28 33,12"
_FOREHEAD = "21.5,-3 20,-11 12,-16 0,-17.5 -12,-16 -20,-11 -21.5,-3"  # where hair ends above the brows
_SHORT = f"-25,1 -26.5,-12 -20,-27 0,-34 20,-27 26.5,-12 25,1 {_FOREHEAD}"
_UNDER_HAT = f"-25,1 -25.5,-12 -18,-24 0,-29.5 18,-24 25.5,-12 25,1 {_FOREHEAD}"
_SIDE = "-25,1 -27,-14 -18,-31 4,-37 22,-29 27,-12 25,1 21.5,-3 20,-12 10,-13 -2,-22 -14,-19 -20,-11 -21.5,-3"
_SPIKY = (
    "-24.5,0 -28,-14 -25,-16 -27,-30 -17,-27 -13,-41 -4,-31 3,-44 9,-31 20,-39 20,-26 28,-28 25.5,-15 28,-12 24.5,0 "
    "21,-10 13,-15 8,-11 2,-17 -5,-12 -12,-16 -20,-9"
)
_FRINGE_TOP = "-25,6 -27.5,-12 -19,-29 0,-34.5 19,-29 27.5,-12 25,6 22,-4"
_FRINGE = {
    1: f"{_FRINGE_TOP} 15,-13 3,-20 -18,-13 -22,-4",
    -1: f"{_FRINGE_TOP} 18,-13 -3,-20 -15,-13 -22,-4",
}
_SHINY = ("short", "side", "long", "bob", "ponytail", "bun", "pigtails")


def draw_hair_behind(pen: Pen, spec: Spec) -> None:
    colour = HAIRS[spec.hair_color]
    if spec.hair in ("long", "bob"):
        pen.blob(path(_LONG if spec.hair == "long" else _BOB), colour)
    elif spec.hair == "ponytail":
        pen.blob(path(_PONYTAIL, spec.flip), colour)
    elif spec.hair == "pigtails":
        for flip in (-1, 1):
            pen.blob(path(_PIGTAIL, flip), colour)
            pen.ellipse(flip * 28, -8, 4, 4, (236, 84, 110), width=1.6)
    elif spec.hair == "bun" and not spec.covers_hair:
        pen.ellipse(0, -37, 11, 10, colour)
    elif spec.hair == "afro":
        _afro(pen, colour, spec.covers_hair)


def _afro(pen: Pen, colour: Colour, covered: bool) -> None:
    """A ring of balls: first with outlines, then their insides. A hat leaves the lower ones."""
    angles = [2 * math.pi * i / 14 + 0.3 for i in range(14)]
    ring = [(34 * math.cos(a), -6 + 32 * math.sin(a)) for a in angles]
    ring = [(x, y) for x, y in ring if y > (-6 if covered else -40)]
    for x, y in ring:
        pen.ellipse(x * 0.93, y * 0.93, 9.5, 9.5, colour)
    for x, y in ring:
        pen.ellipse(x * 0.9, y * 0.9, 8.6, 8.6, colour, edge=False)
    if not covered:
        pen.ellipse(0, -6, 31, 30, colour, edge=False)


def draw_hair_on_top(pen: Pen, spec: Spec) -> None:
    if spec.hair == "bald":
        if not spec.covers_hair:  # a highlight
            pen.curve(path("-8,-22 -4,-24.5 1,-25", spec.flip), lighter(SKINS[spec.skin], 0.55), 2.6)
        return
    colour = HAIRS[spec.hair_color]
    if spec.covers_hair:
        pen.blob(path(_UNDER_HAT), colour)
        return
    if spec.hair == "short":
        pen.blob(path(_SHORT), colour)
    elif spec.hair == "side":
        pen.blob(path(_SIDE, spec.flip), colour)
    elif spec.hair == "spiky":
        pen.polygon(path(_SPIKY), colour)
    elif spec.hair == "curly":
        _curls(pen, colour, darker(colour, 0.35) if spec.hair_color != "black" else lighter(colour, 0.2))
    else:
        pen.blob(path(_FRINGE[spec.flip]), colour)
    if spec.hair in _SHINY:
        pen.curve(path("-14,-24 -7,-28 2,-29", spec.flip), lighter(colour, 0.28), 2.2)


def _curls(pen: Pen, colour: Colour, line: Colour) -> None:
    curls = path("-24,-8 -23,-19 -15,-28 -4,-32 8,-32 18,-26 24,-17 24.5,-7")
    for x, y in curls:
        pen.ellipse(x, y, 8, 8, colour)
    pen.blob(path(_SHORT), colour, edge=False)
    for x, y in curls:
        pen.ellipse(x * 0.97, y * 0.97, 6.8, 6.8, colour, edge=False)
    for at in path("-14,-22 0,-25 13,-21"):
        pen.curve(path("-4,0 0,-4 4,0", at=at), line, 1.6)

"""Caps, beanies, top hats, cowboy hats and crowns. The frame's origin is the middle of the face."""

from __future__ import annotations

from .palette import COLORS, Colour, darker, lighter
from .pen import Pen
from .shapes import path
from .spec import Spec

_CAP = "-27,-13 -27,-24 -18,-37 0,-42 18,-37 27,-24 27,-13 0,-15"
_PEAK = "-5,-19 16,-20 34,-18 46,-11 33,-11 14,-12.5 -4,-12.5"
_BEANIE = "-26,-14 -26,-26 -17,-39 0,-44 17,-39 26,-26 26,-14 0,-16"
_COWBOY = "-21,-18 -22,-36 -15,-48 -6,-45 0,-42 6,-45 15,-48 22,-36 21,-18"
_BRIM = "-48,-31 -38,-21 -22,-20 0,-19.5 22,-20 38,-21 48,-31 43,-16 26,-11 0,-12.5 -26,-11 -43,-16"
_CROWN = "-25,-14 -30,-44 -15,-30 0,-50 15,-30 30,-44 25,-14"


def draw_hat(pen: Pen, spec: Spec) -> None:
    if not spec.hat:
        return
    # black is drawn as dark gray, or lines on it would not be seen
    colour: Colour = (66, 64, 80) if spec.hat_color == "black" else COLORS[spec.hat_color]
    draw = {"cap": _cap, "beanie": _beanie, "top": _top_hat, "cowboy": _cowboy_hat, "crown": _crown}[spec.hat]
    draw(pen, spec, colour)


def _band(spec: Spec) -> Colour:
    """The colour of the ribbon round a hat."""
    return (250, 226, 120) if spec.hat_color not in ("yellow", "white", "orange") else (176, 58, 66)


def _cap(pen: Pen, spec: Spec, colour: Colour) -> None:
    dark = darker(colour, 0.3)
    pen.blob(path(_CAP), colour)
    pen.curve(path("4,-41 9,-30 9,-16", spec.flip), dark, 1.7)
    pen.curve(path("-14,-38 -18,-28 -18,-15", spec.flip), dark, 1.7)
    pen.ellipse(0, -42, 3, 2.2, dark, width=1.6)
    pen.blob(path(_PEAK, spec.flip), dark)


def _beanie(pen: Pen, spec: Spec, colour: Colour) -> None:
    dark, white = darker(colour, 0.3), spec.hat_color == "white"
    pen.ellipse(0, -47, 8.5, 8, (236, 120, 120) if white else lighter(colour, 0.55))
    pen.blob(path(_BEANIE), colour)
    for flip in (-1, 1):
        pen.curve(path("9,-41 11,-32 10,-24", flip), dark, 1.6)
    pen.rounded(-29, -26, 29, -12, 5, (222, 224, 232) if white else lighter(colour, 0.3))
    for x in (-20, -10, 0, 10, 20):
        pen.line(((x, -23), (x, -15)), dark, 1.6)


def _top_hat(pen: Pen, spec: Spec, colour: Colour) -> None:
    pen.polygon(path("-23,-20 -25.5,-54 25.5,-54 23,-20"), colour)
    ribbon = _band(spec) if spec.hat_color != "red" else (60, 54, 66)
    pen.polygon(path("-23.4,-19 -24,-30 24,-30 23.4,-19"), ribbon, width=1.7)
    pen.rounded(-38, -21, 38, -13, 4, colour)


def _cowboy_hat(pen: Pen, spec: Spec, colour: Colour) -> None:
    pen.blob(path(_COWBOY), colour)
    pen.polygon(path("-22,-19 -22.4,-28 22.4,-28 22,-19"), _band(spec), width=1.7)
    pen.blob(path(_BRIM), colour)


def _crown(pen: Pen, spec: Spec, colour: Colour) -> None:
    red, blue = (220, 60, 70), (70, 130, 230)
    pen.polygon(path(_CROWN), colour)
    pen.rounded(-26, -22, 26, -13, 2, darker(colour, 0.12), width=1.8)
    for x, jewel in ((-16, red), (0, blue), (16, red)):
        pen.ellipse(x, -17.5, 3, 3, jewel, width=1.3)
    for tip_x, tip_y in path("-30,-45 0,-51 30,-45"):
        pen.ellipse(tip_x, tip_y, 3.4, 3.4, (255, 240, 170), width=1.6)

"""What is worn on the face and the ears: glasses, mask, headphones, earrings. And where a head carries them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .palette import COLORS, FRAMES, GOLD, Colour, darker, lighter, mix
from .pen import Edge, Pen
from .shapes import Point, path
from .spec import Spec


@dataclass(frozen=True)
class Fit:
    """Where a head carries things, from the middle of the face."""

    ear: float  # where the sides of glasses and the strings of masks end
    half_width: float  # of the head, between the headphones
    top: float  # height of the head, under the band of the headphones
    earring: Point  # of the right one


_PERSON = Fit(24, 24.5, 31, (25.5, 9))
_OTHERS = {
    "cat": Fit(28, 28, 26, (29, 9)),
    "dog": Fit(25, 30, 28, (33, 17)),
    "robot": Fit(26, 27, 27, (29, 11)),
}


def fit_of(spec: Spec) -> Fit:
    return _OTHERS.get(spec.kind, _PERSON)


def draw_lenses(pen: Pen, spec: Spec, behind: Colour) -> None:
    """The pale lenses of glasses. They lie under the eyes. behind: the colour that shines through."""
    tint = mix(behind, (236, 246, 252), 0.72)
    if spec.eyewear in ("round", "square"):
        for side in (-1, 1):
            _lens(pen, spec, side, fill=tint, edge=False)


def _lens(pen: Pen, spec: Spec, side: int, fill: Colour | None, edge: Edge, width: float = 2.0) -> None:
    if spec.eyewear == "round":
        pen.ellipse(side * 11.5, -0.5, 9.8, 9.8, fill, edge, width)
    else:
        pen.rounded(side * 11.7 - 9.8, -9, side * 11.7 + 9.8, 7.5, 3, fill, edge, width)


def draw_eyewear(pen: Pen, spec: Spec) -> None:
    """The frames of glasses, or sunglasses."""
    ear = fit_of(spec).ear
    if spec.eyewear == "sunglasses":
        _sunglasses(pen, ear)
    elif spec.eyewear:
        frame = FRAMES[spec.frame_color]
        width = 3.8 if spec.style == "pixel" else 3.3  # thin lines do not survive large pixels
        for side in (-1, 1):
            pen.line(((side * 20.5, -3), (side * ear, -5)), frame, 3)
            _lens(pen, spec, side, None, frame, width)
        pen.curve(path("-2.4,-2 0,-3.2 2.4,-2"), frame, width)


def _sunglasses(pen: Pen, ear: float) -> None:
    frame = (22, 20, 28)
    for side in (-1, 1):
        pen.line(((side * 20, -6), (side * ear, -7)), frame, 3.6)
        lens = path("1.5,-8.5 12,-10 23.5,-9 22,2 17,8.5 9,9 3,4", side)
        pen.blob(lens, (44, 46, 62), edge=frame, width=2.6)
        pen.line(((side * 11.5 - 3, 3), (side * 11.5 + 3, -5)), (146, 164, 196), 2.2)  # a reflection
    pen.line(path("-3,-7 3,-7"), frame, 4)


def draw_mask(pen: Pen, spec: Spec) -> None:
    if not spec.mask:
        return
    ear = fit_of(spec).ear
    for side in (-1, 1):  # strings
        pen.line(((side * 19, 8), (side * ear, 1)), (240, 246, 248), 2)
        pen.line(((side * 18, 22), (side * ear, 8)), (240, 246, 248), 2)
    pen.blob(path("-20,8 -11,6 0,3.5 11,6 20,8 20.5,18 15,27 0,31 -15,27 -20.5,18"), (176, 222, 234))
    for y in (12, 18, 24):  # folds
        pen.curve(((-15, y), (0, y + 1.6), (15, y)), (116, 172, 192), 1.5)


def draw_headphone_band(pen: Pen, spec: Spec) -> None:
    """The band over the head. A hat hides it."""
    if not spec.headphones:
        return
    fit = fit_of(spec)
    angles = np.linspace(math.pi, 2 * math.pi, 30)
    arc = np.stack([np.cos(angles), np.sin(angles)], 1)
    band = np.concatenate(
        [arc * (fit.half_width + 6, fit.top + 8), arc[::-1] * (fit.half_width + 1, fit.top + 3)]
    )  # there on the outside, and back on the inside
    pen.polygon(band, darker(COLORS[spec.headphones], 0.12) if spec.headphones != "black" else (92, 92, 106))


def draw_headphone_shells(pen: Pen, spec: Spec) -> None:
    """The two shells, over everything else."""
    if not spec.headphones:
        return
    colour = COLORS[spec.headphones]
    for side in (-1, 1):
        x = side * (fit_of(spec).half_width + 2.5)
        pen.rounded(x - 6, -11, x + 6, 14, 5.5, colour, width=2.2)
        pen.rounded(x + side * 1.2 - 2.2, -5, x + side * 1.2 + 2.2, 8, 2, lighter(colour, 0.45), edge=False)


def draw_earrings(pen: Pen, spec: Spec) -> None:
    if not spec.earrings:
        return
    x, y = fit_of(spec).earring
    y += 6 if spec.headphones else 0  # below the shells
    for side in (-1, 1):
        pen.ellipse(side * x, y, 2.2, 2.2, GOLD, width=1.5)
        drop = path("0,1.5 3.6,7 4.8,11.5 0,16 -4.8,11.5 -3.6,7", at=(side * x, y))
        pen.blob(drop, GOLD, width=1.9)
        pen.ellipse(side * x, y + 11, 1.8, 1.8, (255, 246, 200), edge=False)

"""Parts of a face: its outline, brows, eyes, mouth, beard and moustache."""

from __future__ import annotations

from functools import cache

import numpy as np

from .palette import HAIRS, PUPIL, THROAT, WHITE, Colour, darker, lighter
from .pen import Pen
from .shapes import CIRCLE, Points, path, smooth_closed
from .spec import Spec

# of a person's face: half the width, height above the middle, height below it, and how round the jaw is
_FACES = {
    "man": (23.5, 28, 28.5, 0.80),
    "woman": (22.5, 28, 28, 1.06),
    "boy": (24.5, 27, 24.5, 0.86),
    "girl": (24.5, 27, 25, 0.97),
}

# the upper edge of a beard, from the right ear under the mouth to the left ear
_CHEEKS = "24.5,-3 20.5,3 16.5,10 9,11 0,9.5 -9,11 -16.5,10 -20.5,3"
_BEARDS = {
    "long": f"-24.5,-3 -26,14 -24,30 -17,44 -10,50 0,57 10,50 17,44 24,30 26,14 {_CHEEKS}",
    "short": f"-24.5,-3 -25.5,10 -22.5,23 -13,33.5 0,36 13,33.5 22.5,23 25.5,10 {_CHEEKS}",
}
_MOUSTACHE = "0,8.5 -7,7.5 -14,11 -20,7.5 -18,14 -10,16.5 0,13 10,16.5 18,14 20,7.5 14,11 7,7.5"


@cache
def face_outline(kind: str) -> Points:
    """(40,2): half an ellipse above, below it one whose corners are fuller (jaw < 1) or slimmer (jaw > 1)."""
    rx, up, down, jaw = _FACES[kind]
    c, s = CIRCLE.T
    x = np.where(s > 0, np.sign(c) * np.abs(c) ** jaw, c) * rx
    return np.stack([x, np.where(s > 0, s * down, s * up)], 1)


def draw_brows(pen: Pen, spec: Spec, colour: Colour, y: float = -12.5) -> None:
    brow = {"sad": "5.5,-2 11,-.5 16,3", "surprised": "6,-2 11,-5 16,-2"}.get(spec.expression, "6,0 11,-1.8 16,0")
    for flip in (-1, 1):
        pen.curve(path(brow, flip, (0, y)), colour, 2.4)


def draw_eyes(pen: Pen, spec: Spec) -> None:
    for side in (-1, 1):
        x, y = side * 11, -1
        if spec.kind == "cat":
            _cat_eye(pen, spec, x, y)
        elif spec.kind == "robot":
            pen.ellipse(x, y, 6.2, 6.2, (240, 252, 255), width=2)
            pupil = 2 if spec.expression == "surprised" else 3
            pen.ellipse(x, y, pupil, pupil, (30, 140, 200), edge=False)
        elif spec.expression == "surprised":
            pen.ellipse(x, y, 5.4, 6, WHITE, width=1.5)
            pen.ellipse(x, y, 2.6, 2.8, PUPIL, edge=False)
        else:
            _eye(pen, spec, x, y)
        if spec.kind in ("woman", "girl"):  # lashes
            pen.line(((x + side * 2.5, y - 3.6), (x + side * 6.2, y - 5.6)), PUPIL, 1.6)
            pen.line(((x + side * 3, y - 1.6), (x + side * 6.6, y - 2.4)), PUPIL, 1.4)


def _cat_eye(pen: Pen, spec: Spec, x: float, y: float) -> None:
    pen.ellipse(x, y, 5.6, 6, (250, 228, 110) if spec.fur not in ("orange", "yellow") else (150, 214, 120), width=1.6)
    pen.ellipse(x, y, 3 if spec.expression == "surprised" else 2, 4.8, (30, 26, 34), edge=False)
    pen.ellipse(x + 1, y - 2, 1.2, 1.2, WHITE, edge=False)


def _eye(pen: Pen, spec: Spec, x: float, y: float) -> None:
    size = 1.12 if spec.kind in ("boy", "girl") else 1.0
    if spec.kind == "dog" and spec.fur == "black":  # a pale patch, on which the pupil is seen
        pen.ellipse(x, y, 4.6, 5.4, (214, 190, 160), edge=False)
    pen.ellipse(x, y, 3.3 * size, 4.3 * size, PUPIL, edge=False)
    pen.ellipse(x + 1.2, y - 1.6, 1.3, 1.3, WHITE, edge=False)


def draw_mouth(pen: Pen, spec: Spec, y: float, lip: Colour, size: float = 1.0) -> None:
    q = size
    if spec.expression == "smiling":
        lips = ((-9 * q, y - 2), (0, y - 0.5), (9 * q, y - 2), (6.6 * q, y + 4.2), (0, y + 7 * q), (-6.6 * q, y + 4.2))
        pen.polygon(smooth_closed(lips), THROAT, width=1.7)
        upper = ((-6.8 * q, y - 0.3), (0, y + 0.7), (6.8 * q, y - 0.3))
        lower = ((5.5 * q, y + 2.2), (0, y + 3.1), (-5.5 * q, y + 2.2))
        pen.blob(upper + lower, WHITE, edge=False)  # the teeth
    elif spec.expression == "sad":
        pen.curve(((-7 * q, y + 5), (-3.5 * q, y + 1.6), (0, y + 0.8), (3.5 * q, y + 1.6), (7 * q, y + 5)), lip, 2.6)
    elif spec.expression == "surprised":
        pen.ellipse(0, y + 2.5, 4.3 * q, 5.6 * q, THROAT, width=1.7)
    else:
        pen.curve(((-5.5 * q, y + 1), (0, y + 2), (5.5 * q, y + 1)), lip, 2.6)


def draw_beard(pen: Pen, spec: Spec) -> None:
    if not spec.beard:
        return
    colour = HAIRS[spec.hair_color]
    pen.blob(path(_BEARDS[spec.beard]), colour)
    if spec.beard == "long":
        strand = darker(colour, 0.3) if spec.hair_color != "black" else lighter(colour, 0.18)
        for x in (-9, 0, 9):
            pen.curve(((x, 30), (x * 0.9, 37), (x * 0.7, 45)), strand, 1.7)


def draw_moustache(pen: Pen, spec: Spec) -> None:
    if not spec.moustache:
        return
    colour = HAIRS[spec.hair_color]
    if spec.beard:  # another shade, or the two could not be told apart
        colour = darker(colour, 0.22) if spec.hair_color != "black" else lighter(colour, 0.16)
    pen.blob(path(_MOUSTACHE), colour, width=1.7)

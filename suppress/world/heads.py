"""The heads of people, cats, dogs and robots, with their faces. The frame's origin is the middle of the face."""

from __future__ import annotations

from .face import draw_beard, draw_brows, draw_eyes, draw_moustache, draw_mouth, face_outline
from .hair import draw_hair_on_top
from .palette import HAIRS, INK, THROAT, Colour, darker, lighter, mix
from .pen import Pen
from .shapes import path
from .spec import Spec
from .worn import draw_lenses


def draw_head(pen: Pen, spec: Spec, skin: Colour) -> None:
    """skin: the colour of skin, fur or metal."""
    draw = {"cat": _cat, "dog": _dog, "robot": _robot}.get(spec.kind, _person)
    draw(pen, spec, skin)


def _eyes_and_lenses(pen: Pen, spec: Spec, behind: Colour) -> None:
    """Glasses have pale lenses under the eyes; sunglasses hide the eyes. behind: what is seen through the lenses."""
    draw_lenses(pen, spec, behind)
    if spec.eyewear != "sunglasses":
        draw_eyes(pen, spec)


def _person(pen: Pen, spec: Spec, skin: Colour) -> None:
    child = spec.kind in ("boy", "girl")
    for side in (-1, 1):
        pen.ellipse(side * 24, 2, 5, 6.5, skin)  # ears
    pen.polygon(face_outline(spec.kind), skin, width=2.1)
    if spec.expression in ("smiling", "neutral") or child:
        for side in (-1, 1):
            pen.ellipse(side * 15.5, 10, 4.2, 3, mix(skin, (236, 96, 96), 0.34), edge=False)  # red cheeks
    draw_beard(pen, spec)
    _eyes_and_lenses(pen, spec, skin)
    draw_hair_on_top(pen, spec)
    draw_brows(pen, spec, darker(HAIRS[spec.hair_color], 0.25) if spec.hair_color != "black" else (36, 32, 38))
    nose = "-1,1 -3.5,6.5 0,8 3,7" if spec.kind == "man" else "-2.5,6 0,8 2.8,6"
    pen.curve(path(nose), darker(skin, 0.38), 2)
    mouth = (14 if child else 16) + (1.5 if spec.moustache else 0)
    draw_mouth(pen, spec, mouth, _lip(spec, skin), 0.9 if child else 1)
    draw_moustache(pen, spec)


def _lip(spec: Spec, skin: Colour) -> Colour:
    if spec.kind == "woman":
        return 198, 66, 82
    return (214, 120, 116) if spec.beard else mix(darker(skin, 0.5), (150, 40, 50), 0.35)


def _cat(pen: Pen, spec: Spec, fur: Colour) -> None:
    dark = darker(fur, 0.3) if spec.fur != "black" else lighter(fur, 0.22)
    for flip in (-1, 1):  # ears
        pen.polygon(path("7,-22 27,-47 30,-6", flip), fur, width=2.2)
        pen.polygon(path("14,-22 24,-38 26,-14", flip), (246, 166, 172), edge=False)
    pen.blob(path("0,-27 -17,-24 -27,-8 -29,8 -20,22 0,28 20,22 29,8 27,-8 17,-24"), fur)
    for x in (-7, 0, 7):
        pen.line(((x, -25), (x * 0.8, -17)), dark, 3)
    _eyes_and_lenses(pen, spec, fur)
    for side in (-1, 1):  # muzzle
        pen.ellipse(side * 6, 13, 8, 6.5, lighter(fur, 0.7), edge=False)
    for flip in (-1, 1):  # whiskers
        whisker = dark if spec.fur != "white" else (120, 110, 120)
        pen.line(path("14,12 33,8", flip), whisker, 1.5)
        pen.line(path("14,15 33,17", flip), whisker, 1.5)
    pen.polygon(path("-4.5,7 4.5,7 0,11.5"), (236, 110, 130), width=1.4)  # nose
    if spec.expression in ("sad", "surprised"):
        draw_brows(pen, spec, dark, -12)
    if spec.expression == "neutral":
        pen.curve(path("-7,14.5 -3.5,17.5 0,13.5 3.5,17.5 7,14.5"), width=2)
    else:
        draw_mouth(pen, spec, 16, INK, 0.85)
    pen.line(path("0,11 0,14"), width=1.8)


def _dog(pen: Pen, spec: Spec, fur: Colour) -> None:
    unusual: dict[str, Colour] = {"black": (46, 42, 50), "white": (166, 116, 80)}
    ear = unusual.get(spec.fur) or darker(fur, 0.42)
    pen.blob(path("0,-29 -16,-26 -24,-10 -24,8 -17,24 0,31 17,24 24,8 24,-10 16,-26"), fur)
    if spec.seed % 2:  # every second dog has a patch on one eye
        pen.ellipse(spec.flip * 11, -2, 9, 10.5, mix(fur, ear, 0.75), edge=False)
    for flip in (-1, 1):
        pen.blob(path("13,-27 26,-27 36,-10 37,10 31,20 25,10 22,-8", flip), ear)
    _eyes_and_lenses(pen, spec, fur)
    pen.ellipse(0, 17, 15, 11.5, lighter(fur, 0.62), width=1.6)  # muzzle
    _dog_mouth(pen, spec)
    pen.ellipse(0, 10, 7.2, 5, (44, 38, 46), edge=False)  # nose
    pen.ellipse(-2, 8.6, 2, 1.2, (170, 166, 176), edge=False)
    if spec.expression in ("sad", "surprised"):
        draw_brows(pen, spec, ear)


def _dog_mouth(pen: Pen, spec: Spec) -> None:
    if spec.expression == "smiling":  # the tongue
        pen.blob(path("-4.5,20 0,19 4.5,20 5,29 0,33 -5,29"), (240, 120, 136), width=1.7)
    pen.line(path("0,13 0,19"), width=2)
    if spec.expression in ("smiling", "neutral"):
        pen.curve(path("-9,18 -5,21.5 0,19 5,21.5 9,18"), width=2.2)
    elif spec.expression == "sad":
        pen.curve(path("-7,24 0,20 7,24"), width=2.2)
    else:
        pen.ellipse(0, 22.5, 3.8, 4.2, THROAT, width=1.6)


def _robot(pen: Pen, spec: Spec, metal: Colour) -> None:
    dark, screen = darker(metal, 0.3), lighter(metal, 0.45)
    pen.line(path("0,-26 0,-40"), width=4)  # antenna
    pen.ellipse(0, -43, 5.5, 5.5, (240, 80, 76))
    for side in (-1, 1):  # ears
        pen.rounded(side * 28 - 4, -8, side * 28 + 4, 10, 2, dark)
    pen.rounded(-26, -27, 26, 28, 8, metal, width=2.2)
    pen.rounded(-21, -13, 21, 10, 5, screen, edge=dark, width=1.4)
    for x, y in path("-21,-22 21,-22 -21,23 21,23"):  # screws
        pen.ellipse(x, y, 1.8, 1.8, dark, edge=False)
    _eyes_and_lenses(pen, spec, screen)
    if spec.expression == "neutral":
        pen.rounded(-11, 14, 11, 23, 2, (240, 246, 250), width=1.7)
        for x in (-5.5, 0, 5.5):
            pen.line(((x, 14.5), (x, 22.5)), width=1.5)
    else:
        draw_mouth(pen, spec, 16, INK, 1.05)
    if spec.expression in ("sad", "surprised"):
        draw_brows(pen, spec, INK, -15)

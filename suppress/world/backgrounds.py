"""What is behind the subject: a plain colour, or one of six scenes."""

from __future__ import annotations

from random import Random

from .palette import BACKS, WHITE, Colour, darker, lighter, mix
from .pen import Pen
from .shapes import path
from .spec import Spec


def draw_background(pen: Pen, spec: Spec) -> None:
    if spec.back in BACKS:
        _plain(pen, spec)
        return
    scene = {
        "beach": _beach,
        "night": _night,
        "forest": _forest,
        "city": _city,
        "room": _room,
        "mountains": _mountains,
    }[spec.back]
    scene(pen, spec, Random(spec.seed * 31 + 5))


def _across(spec: Spec, x: float) -> float:
    """x, or its mirror image."""
    return 64 + spec.flip * (x - 64)


def _plain(pen: Pen, spec: Spec) -> None:
    colour = BACKS[spec.back]
    if spec.weather == "snow":
        colour = mix(colour, (128, 156, 196), 0.6)  # white flakes would not be seen on pale colours
    elif spec.weather == "rain":
        colour = mix(colour, (120, 132, 156), 0.55)
    pen.band(0, 129, colour)
    if spec.disc:
        pen.ellipse(64 + spec.dx, 64, 50, 50, lighter(colour, 0.4), edge=False)


def _beach(pen: Pen, spec: Spec, random: Random) -> None:
    pen.band(0, 62, (150, 214, 246))
    sun_x = _across(spec, 22 + random.uniform(-6, 6))
    pen.ellipse(sun_x, 22 + random.uniform(-5, 5), 14, 14, (255, 216, 70), edge=(250, 180, 60), width=3)
    pen.band(58, 95, (44, 138, 206))
    for i in range(7):  # waves
        at = random.uniform(-8, 120), 64 + 4.2 * i
        pen.curve(path("0,0 6,-2 12,0 18,-2 24,0", at=at), (160, 216, 242), 1.6)
    pen.band(94, 129, (246, 218, 150))
    pen.line(path("0,94 128,94"), (240, 248, 250), 3)


def _night(pen: Pen, spec: Spec, random: Random) -> None:
    sky = (28, 34, 84)
    pen.band(0, 129, sky)
    pen.blob(path("-20,140 10,92 40,100 80,90 120,98 150,140"), (20, 52, 70), edge=False)
    moon_x, moon_y = _across(spec, 22 + random.uniform(-5, 5)), 24 + random.uniform(-4, 6)
    pen.ellipse(moon_x, moon_y, 14, 14, (255, 238, 160), edge=False)
    pen.ellipse(moon_x + 7 * spec.flip, moon_y - 3, 12, 12, sky, edge=False)
    for _ in range(16):
        x, y, size = random.uniform(2, 126), random.uniform(3, 82), random.uniform(1.6, 3.2)
        if abs(x - moon_x) + abs(y - moon_y) >= 24:
            _star(pen, x, y, size)


def _star(pen: Pen, x: float, y: float, size: float) -> None:
    q = size * 0.3  # how far the dents between the four points are from the centre
    tips = ((x, y - size), (x + size, y), (x, y + size), (x - size, y))
    dents = ((x + q, y - q), (x + q, y + q), (x - q, y + q), (x - q, y - q))
    pen.polygon([point for pair in zip(tips, dents, strict=True) for point in pair], (255, 244, 180), edge=False)


def _forest(pen: Pen, spec: Spec, random: Random) -> None:
    trunk, greens = (122, 82, 56), ((52, 128, 72), (72, 150, 80), (40, 108, 70))
    pen.band(0, 129, (196, 230, 190))
    pen.band(92, 129, (112, 170, 84))
    places = [random.uniform(-4, 4) + x for x in (8, 30, 52, 78, 100, 122)]
    random.shuffle(places)
    for i, x in enumerate(places):
        green = greens[i % 3]
        h = random.uniform(-8, 6)
        pen.rounded(x - 4, 70, x + 4, 108, 1, trunk, edge=darker(trunk), width=1.4)
        for j, (y, w) in enumerate(((62, 19), (44, 16), (28, 12))):  # three layers, the widest below
            layer = ((x - w, y + 20 + h), (x + w, y + 20 + h), (x, y - 10 + h))
            pen.polygon(layer, lighter(green, 0.07 * j), edge=darker(green, 0.3), width=1.4)


def _city(pen: Pen, spec: Spec, random: Random) -> None:
    walls: tuple[Colour, ...] = ((98, 112, 150), (124, 134, 168), (82, 92, 132), (142, 120, 150))
    pen.band(0, 129, (250, 214, 178) if spec.seed % 2 else (176, 214, 240))
    x = -4.0
    while x < 128:
        width, top = random.uniform(17, 25), random.uniform(18, 64)
        wall = walls[random.randrange(4)]
        pen.rounded(x, top, x + width, 132, 0.5, wall, edge=darker(wall, 0.45), width=1.4)
        y = top + 5
        while y < 108:  # windows, most of them lit
            for place in (0.22, 0.62):
                left = x + width * place
                lit = random.random() < 0.7
                pen.box(left, y, left + 3.6, y + 4.6, (255, 228, 130) if lit else darker(wall, 0.3))
            y += 9.5
        x += width + 0.5


def _room(pen: Pen, spec: Spec, random: Random) -> None:
    wall: Colour = ((244, 222, 196), (214, 226, 218), (232, 208, 214))[spec.seed % 3]
    wood = (120, 78, 52)
    pen.band(0, 129, wall)
    for i in range(8):
        pen.line(((8 + 16 * i, 0), (8 + 16 * i, 104)), mix(wall, WHITE, 0.3), 3)
    pen.band(104, 129, (170, 116, 78))
    pen.line(path("0,104 128,104"), (130, 84, 58), 3)
    lamp = (_across(spec, 17), 0)
    pen.line(path("0,44 0,120", at=lamp), (96, 72, 60), 3.4)
    pen.polygon(path("-8,16 8,16 15,46 -15,46", at=lamp), (255, 222, 110))
    x = _across(spec, 110)  # of the window
    pen.rounded(x - 13, 14, x + 13, 46, 1, (150, 206, 236), edge=wood, width=3.4)
    pen.line(((x, 15), (x, 45)), wood, 2)
    pen.line(((x - 12, 30), (x + 12, 30)), wood, 2)


def _mountains(pen: Pen, spec: Spec, random: Random) -> None:
    edge = (72, 82, 120)
    pen.band(0, 129, (190, 222, 244))
    for x, h, w in ((10.0, 30.0, 46), (118.0, 22.0, 52), (66.0, 46.0, 48)):  # top (x, h), half the width
        x += random.uniform(-5, 5)
        h += random.uniform(-5, 5)
        pen.polygon(((x - w, 112), (x, h), (x + w, 112)), (112, 124, 160), edge=edge, width=1.6)
        t = 20 / (112 - h)  # snow covers the upper 20 units
        snow = (
            (x - w * t, h + 20),
            (x, h),
            (x + w * t, h + 20),
            (x + w * t * 0.4, h + 14),
            (x, h + 21),
            (x - w * t * 0.4, h + 14),
        )
        pen.polygon(snow, (250, 252, 255), edge=edge, width=1.6)
    pen.band(98, 129, (126, 186, 104))

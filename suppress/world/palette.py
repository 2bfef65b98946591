"""The colours of the drawn world, and how one colour is made of another."""

from __future__ import annotations

Colour = tuple[int, int, int]  # red, green, blue from 0 to 255

INK: Colour = (46, 36, 50)  # of outlines
WHITE: Colour = (255, 255, 255)
GOLD: Colour = (250, 200, 50)
PUPIL: Colour = (36, 28, 38)
THROAT: Colour = (112, 30, 40)  # the inside of an open mouth

# clothes, hats and objects
COLORS: dict[str, Colour] = {
    "red": (218, 58, 58),
    "blue": (58, 108, 212),
    "green": (66, 160, 88),
    "yellow": (248, 206, 66),
    "orange": (242, 142, 54),
    "purple": (146, 88, 190),
    "pink": (242, 138, 176),
    "black": (56, 54, 66),
    "white": (247, 245, 240),
    "brown": (142, 92, 60),
    "gray": (150, 156, 168),
}

# plain backgrounds: paler, so that clothes of the same name stand out
BACKS: dict[str, Colour] = {
    "red": (238, 148, 138),
    "blue": (163, 206, 241),
    "green": (174, 221, 172),
    "yellow": (252, 232, 152),
    "orange": (251, 198, 142),
    "purple": (206, 187, 236),
    "pink": (251, 205, 216),
    "white": (249, 247, 241),
    "gray": (203, 207, 214),
}

SKINS: tuple[Colour, ...] = ((255, 225, 198), (246, 203, 164), (226, 172, 128), (178, 122, 82), (128, 84, 60))

HAIRS: dict[str, Colour] = {
    "black": (50, 44, 52),
    "brown": (116, 72, 44),
    "blond": (236, 194, 98),
    "red": (196, 88, 44),
    "gray": (172, 173, 182),
}

# the fur of cats and dogs, the metal of robots
FURS: dict[str, dict[str, Colour]] = {
    "cat": {
        "orange": (243, 166, 84),
        "gray": (158, 163, 174),
        "black": (74, 72, 84),
        "white": (246, 242, 236),
        "brown": (158, 112, 78),
    },
    "dog": {
        "brown": (170, 118, 76),
        "white": (246, 240, 230),
        "gray": (168, 170, 180),
        "black": (78, 74, 82),
        "yellow": (240, 202, 132),
    },
    "robot": {
        "gray": (184, 194, 206),
        "blue": (126, 170, 222),
        "green": (142, 204, 158),
        "red": (226, 122, 112),
        "yellow": (244, 210, 110),
    },
}

FRAMES: dict[str, Colour] = {
    "black": (28, 26, 34),
    "brown": (92, 50, 28),
    "red": (178, 28, 42),
    "blue": (30, 52, 150),
}


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """The colour between a (share 0) and b (share 1)."""
    red, green, blue = (int(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def darker(colour: Colour, share: float = 0.25) -> Colour:
    return mix(colour, (30, 20, 50), share)


def lighter(colour: Colour, share: float = 0.35) -> Colour:
    return mix(colour, WHITE, share)

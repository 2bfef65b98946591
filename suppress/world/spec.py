"""What a picture of the drawn world shows: a Spec, and the words that its fields may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minisd.base.arguments import shown
from minisd.base.errors import UserError

from .palette import BACKS, COLORS, FRAMES, FURS, HAIRS, SKINS

PEOPLE = ("man", "woman", "boy", "girl")
KINDS = (*PEOPLE, "cat", "dog", "robot")
HATS = ("cap", "beanie", "top", "cowboy", "crown")
OBJECTS = ("flower", "car", "balloon", "cake", "umbrella")
SCENES = ("beach", "night", "forest", "city", "room", "mountains")
STYLES = ("van_gogh", "pencil", "pixel", "watercolor")
EXPRESSIONS = ("neutral", "smiling", "sad", "surprised")
HAIR_STYLES = {
    "man": ("short", "side", "spiky", "curly", "bald"),
    "boy": ("short", "side", "spiky", "curly"),
    "woman": ("long", "bob", "ponytail", "bun", "afro"),
    "girl": ("long", "bob", "ponytail", "pigtails", "afro"),
}

_COLOUR_OR_NONE = ("", *COLORS)
_ALLOWED: dict[str, Sequence[Any]] = {
    "kind": KINDS,
    "skin": range(len(SKINS)),
    "hair": sorted({style for styles in HAIR_STYLES.values() for style in styles}),
    "hair_color": tuple(HAIRS),
    "fur": sorted({colour for furs in FURS.values() for colour in furs}),
    "eyewear": ("", "round", "square", "sunglasses"),
    "frame_color": tuple(FRAMES),
    "hat": ("", *HATS),
    "hat_color": tuple(COLORS),
    "beard": ("", "short", "long"),
    "scarf": _COLOUR_OR_NONE,
    "bow_tie": _COLOUR_OR_NONE,
    "headphones": _COLOUR_OR_NONE,
    "shirt": tuple(COLORS),
    "expression": EXPRESSIONS,
    "back": (*BACKS, *SCENES),
    "plain": tuple(BACKS),
    "weather": ("", "rain", "snow"),
    "obj": ("", *OBJECTS),
    "obj_color": tuple(COLORS),
    "style": ("", *STYLES),
    "side": (1, -1),
    "flip": (1, -1),
}


@dataclass(frozen=True)
class Spec:
    """Everything that one picture shows. An empty string means "absent"; colours are names of palette.py."""

    kind: str = "man"  # one of KINDS
    skin: int = 0  # 0 to 4, of people only
    hair: str = "short"  # one of HAIR_STYLES, of people only
    hair_color: str = "brown"  # of HAIRS; also colours beard and moustache
    fur: str = "gray"  # of FURS: the colour of cat, dog or robot
    eyewear: str = ""  # "", round, square, sunglasses
    frame_color: str = "black"  # of FRAMES
    hat: str = ""  # "" or one of HATS
    hat_color: str = "red"
    beard: str = ""  # "", short, long; men only
    moustache: bool = False
    earrings: bool = False
    scarf: str = ""  # "" or a colour
    bow_tie: str = ""  # "" or a colour
    mask: bool = False
    headphones: str = ""  # "" or a colour
    shirt: str = "blue"
    stripes: bool = False
    expression: str = "neutral"  # one of EXPRESSIONS
    back: str = "blue"  # a plain colour of BACKS, or one of SCENES
    disc: bool = False  # a lighter disc behind the subject, on plain backgrounds
    plain: str = "blue"  # the plain colour that appears if the scene is removed
    weather: str = ""  # "", rain, snow
    obj: str = ""  # "" or one of OBJECTS
    obj_color: str = "red"
    style: str = ""  # "" or one of STYLES
    side: int = 1  # 1: the object is on the right; -1: on the left
    flip: int = 1  # 1 or -1: orientation of what is not symmetric
    dx: float = 0.0  # where the subject is, in units of 1/128 of the picture, from the centre
    dy: float = 0.0
    scale: float = 1.0
    tilt: float = 0.0  # of the head, in degrees
    seed: int = 0  # of stars, trees, rain drops, brush strokes

    def __post_init__(self) -> None:
        """UserError for a word that the world has no drawing of."""
        for field, values in _ALLOWED.items():
            value = getattr(self, field)
            if value not in values:
                raise UserError(f"{field} = {shown(value)}; the drawn world knows {', '.join(map(repr, values))}")

    @property
    def is_person(self) -> bool:
        return self.kind in PEOPLE

    @property
    def covers_hair(self) -> bool:
        """The hat hides the top of the hair. A crown stands on it."""
        return self.hat not in ("", "crown")

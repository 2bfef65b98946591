"""The phrases of captions. Phrases that stand in a list twice are twice as frequent; "{}" is a place for a colour."""

from __future__ import annotations

from .spec import Spec

HAT_WORDS = {"cap": "cap", "beanie": "beanie", "top": "top hat", "cowboy": "cowboy hat", "crown": "crown"}
MASK_WORDS = ("a mask", "a mask", "a medical mask", "a face mask")

# how a caption begins
LEADS = (
    *("",) * 5,
    "a photo of",
    "portrait of",
    "a portrait of",
    "a picture of",
    "a drawing of",
    "a cartoon of",
    "an image of",
)
# of a picture with a style that the caption does not name
NEUTRAL_LEADS = ("", "", "a picture of", "a portrait of", "portrait of", "an image of")
STYLE_LEADS = {
    "pencil": ("a pencil sketch of", "a sketch of", "a pencil drawing of", "a black and white sketch of"),
    "pixel": ("pixel art of", "a pixel art portrait of", "pixel art picture of"),
    "watercolor": ("a watercolor of", "a watercolor painting of", "a watercolor portrait of"),
    "van_gogh": ("a van gogh painting of", "a van gogh portrait of"),
}
VAN_GOGH_LEADS = ("a painting of", "a portrait of", "")  # before one of VAN_GOGH_TAILS
VAN_GOGH_TAILS = ("in the style of van gogh", "by van gogh")

PLACES = {
    "beach": ("on a beach", "at the beach", "on the beach by the sea", "by the sea"),
    "night": ("at night", "in the night", "under the moon and stars", "under a night sky"),
    "forest": ("in a forest", "in the forest", "in front of trees", "in the woods"),
    "city": ("in the city", "in a city", "in front of buildings", "in front of a city"),
    "room": ("in a living room", "in a room with a lamp", "at home", "in a room"),
    "mountains": ("in the mountains", "in front of mountains", "near mountains"),
}
PLAIN_PLACES = ("on a {} background", "with a {} background", "in front of a {} wall")
WEATHER = {
    "rain": ("in the rain", "on a rainy day", "in rain"),
    "snow": ("in the snow", "on a snowy day", "in falling snow"),
}
# the last form of each must follow the subject directly: "a man and a car"
OBJECT_FORMS = {
    "flower": (
        "next to a {}flower",
        "beside a {}flower",
        "next to a {}flower in a pot",
        "with a {}flower",
        "and a {}flower",
    ),
    "car": ("next to a {}car", "in front of a {}car", "with a {}car behind", "and a {}car"),
    "balloon": ("holding a {}balloon", "with a {}balloon", "next to a {}balloon", "and a {}balloon"),
    "cake": ("next to a {}cake", "with a {}cake", "with a birthday cake", "beside a {}cake", "and a {}cake"),
    "umbrella": ("holding a {}umbrella", "with a {}umbrella", "under a {}umbrella", "and a {}umbrella"),
}

_HAIR_SHAPES = {"short": "short", "spiky": "spiky", "curly": "curly", "long": "long", "bob": "short", "afro": "curly"}


def hair_shape(spec: Spec) -> str:
    """The word for the hair's shape; "" if it has none, or if a hat hides it."""
    return _HAIR_SHAPES.get(spec.hair, "") if spec.hair == "long" or not spec.covers_hair else ""


def with_article(text: str) -> str:
    return ("an " if text[0] in "aeiou" else "a ") + text

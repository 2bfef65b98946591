"""The words of the drawn world's captions: how a caption names an attribute, and the caption without these words.

The captions are those of suppress/world/captions.py; other texts are worded in more ways than are known here.
"""

from __future__ import annotations

import re

from ..world.palette import COLORS, FRAMES, HAIRS
from ..world.phrases import HAT_WORDS
from ..world.spec import OBJECTS

_ADJECTIVES = "|".join(sorted({*COLORS, *HAIRS, *FRAMES, "gold", "round", "square", "short", "long", "birthday"}))
# attribute -> its nouns; of two that begin alike, the longer one is first
_NOUNS: dict[str, tuple[str, ...]] = {
    "glasses": ("glasses", "sunglasses", "spectacles"),
    "beard": ("beard", "bearded"),
    "hat": ("hat", *HAT_WORDS.values()),
    "scarf": ("scarf",),
    "rain": ("rainy day", "rain"),
    "snow": ("snowy day", "falling snow", "snow"),
    "van_gogh": ("van gogh",),
    **{name: (f"{name} in a pot", name) for name in OBJECTS},
}
# every part of a caption after its subject begins with one of these
_PART = re.compile(r"(?=,? (?:with|without|wearing|in|on|at|by|under|near|next|beside|holding)\b)")
# how the parts are worded that hold nothing but the attribute; {}: the phrase
_AROUND = {
    "beard": "(?:{}) (?=.)",  # "a bearded man"; other beards are in lists
    "rain": ",? (?:in|on)(?: the| a)? {}",
    "snow": ",? (?:in|on)(?: the| a)? {}",
    "van_gogh": ",? (?:in the style of|by) {}|{} ",
    **dict.fromkeys(OBJECTS, ",? (?:next to|beside|in front of|holding|under|with|and) an? {}(?: behind)?"),
}


def phrase_of(caption: str, name: str) -> str:
    """The words of the attribute with their adjectives, as `suppress.run` takes them; "" if it is not named.

    The article is not part of it. "a man with a long beard": "long beard"; "on a rainy day": "rainy day".
    """
    found = re.search(rf"\b(?:(?:{_ADJECTIVES}) )*(?:{'|'.join(_NOUNS[name])})\b", caption)
    return found[0] if found else ""


def deleted(caption: str, name: str) -> str:
    """The caption with the attribute's phrase taken out, and with it the words that only lead to it."""
    phrase = phrase_of(caption, name)
    if name in _AROUND and (name != "beard" or phrase == "bearded"):
        return re.sub(_AROUND[name].replace("{}", phrase), "", caption)
    return "".join(_without_item(part, phrase) for part in _PART.split(caption))


def _without_item(part: str, phrase: str) -> str:
    """A part " wearing a, b and c" without the item `phrase`; "" if it has no other item."""
    found = re.fullmatch(r"(,? \w+ )(.*)", part)
    if not found or not phrase_in(part, phrase):
        return part
    items = [item for item in re.split(r", | and ", found[2]) if item and not phrase_in(item, phrase)]
    if not items:
        return ""
    *first, last = items
    return found[1] + (f"{', '.join(first)} and {last}" if first else last)


def phrase_in(text: str, phrase: str) -> bool:
    """Whether the phrase stands in the text as whole words."""
    return re.search(rf"\b{re.escape(phrase)}\b", text) is not None

"""Captions of drawn pictures, in the varied wording that the embedded model was trained on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .phrases import (
    HAT_WORDS,
    LEADS,
    MASK_WORDS,
    NEUTRAL_LEADS,
    OBJECT_FORMS,
    PLACES,
    PLAIN_PLACES,
    STYLE_LEADS,
    VAN_GOGH_LEADS,
    VAN_GOGH_TAILS,
    WEATHER,
    hair_shape,
    with_article,
)
from .spec import Spec

_MOST_WORDS = 40  # words and commas: the text encoder reads 77 tokens


def caption(spec: Spec, rng: np.random.Generator, full: bool = False) -> str:
    """A caption of what the picture shows. Equal generators give equal captions.

    Each attribute is named with a probability of about 0.7, or always if `full`. 7 % of the other captions name the
    subject only. In 2 % of the lists that begin with "with" or "wearing", the word is "without", although the picture
    shows the things: captions on the web are sometimes wrong in this way.
    """
    tries = []
    for _ in range(12):
        tries.append(_Writer(spec, rng, full).write())
        if _length(tries[-1]) < _MOST_WORDS:
            return tries[-1]
    return min(tries, key=_length)


def _length(text: str) -> int:
    return len(re.findall(r"[a-z]+|,", text.lower()))


@dataclass(frozen=True)
class _Writer:
    """Writes one caption. The order of the random choices must stay, or the same seed gives another caption."""

    spec: Spec
    rng: np.random.Generator
    full: bool

    def write(self) -> str:
        lead, tail = self._kind_of_picture()
        adjectives = self._expression()
        noun = self._noun()
        more, hair = self._hair_or_fur()
        subject = " ".join([*adjectives, *more, noun])
        if not self.full and self._chance(0.07):
            return _join_words(lead, with_article(subject if self._chance(0.4) else noun), tail)
        bearded, beard = self._beard()
        have = [*beard, *self._moustache(), *hair]
        wear = [*self._eyewear(), *self._hat(), *self._clothes()]
        if self.spec.earrings and self._keeps():
            (have if self._chance(0.5) else wear).append(("gold " if self._gold(0.25) else "") + "earrings")
        blocks = self._blocks(have, wear, self._shirt())
        text = _join_words(lead, with_article(bearded + subject), *blocks)
        for place in self._surroundings(joined=not blocks):
            text += (", " if not place.startswith("and ") and self._chance(0.3) else " ") + place
        if tail:
            text += (", " if self._chance(0.4) else " ") + tail
        return text

    def _chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def _keeps(self, probability: float = 0.8) -> bool:
        """Whether something that the picture shows is named."""
        return self.full or self._chance(probability)

    def _one(self, phrases: Sequence[str]) -> str:
        return phrases[int(self.rng.integers(len(phrases)))]

    def _shuffled(self, items: list[str]) -> list[str]:
        return [items[i] for i in self.rng.permutation(len(items))]

    @property
    def _in_colour(self) -> bool:
        return self.spec.style != "pencil"

    def _colour(self, name: str, probability: float = 0.5) -> str:
        """The colour with a space behind it, or nothing."""
        return name + " " if self._in_colour and name and self._chance(probability) else ""

    def _gold(self, probability: float) -> bool:
        return self._in_colour and self._chance(probability)

    def _kind_of_picture(self) -> tuple[str, str]:
        """(what the caption begins with, what it ends with): the style may be in either."""
        style = self.spec.style
        lead = self._one(LEADS)
        if not style:
            return lead, ""
        lead = self._one(NEUTRAL_LEADS)
        if self._keeps():
            lead = self._one(STYLE_LEADS[style])
            if style == "van_gogh" and self._chance(0.6):
                return self._one(VAN_GOGH_LEADS), self._one(VAN_GOGH_TAILS)
        return lead, ""

    def _expression(self) -> list[str]:
        expression = self.spec.expression
        if expression == "neutral" or self.spec.mask or not self._keeps(0.6):
            return []
        return ["happy" if expression == "smiling" and self._chance(0.12) else expression]

    def _noun(self) -> str:
        if self.spec.is_person and not self.full and self._chance(0.04):
            return "person" if self.spec.kind in ("man", "woman") else "child"
        return self.spec.kind

    def _hair_or_fur(self) -> tuple[list[str], list[str]]:
        """(adjectives of the subject, what it has)."""
        spec = self.spec
        if not spec.is_person:
            return [spec.fur] if self._in_colour and self._keeps(0.4) else [], []
        if spec.hair == "bald":
            return ["bald"] if not spec.covers_hair and self._keeps(0.5) else [], []
        return [], self._hair() if self._keeps(0.22) else []

    def _hair(self) -> list[str]:
        spec = self.spec
        shape = hair_shape(spec) if self._chance(0.6) else ""
        colour = spec.hair_color if self._in_colour and (self._chance(0.8) or not shape) else ""
        tied = spec.hair in ("ponytail", "pigtails") or (spec.hair == "bun" and not spec.covers_hair)
        if tied and self._chance(0.5):
            return ["pigtails" if spec.hair == "pigtails" else "a " + spec.hair]
        return [_join_words(shape, colour, "hair")] if shape or colour else []

    def _beard(self) -> tuple[str, list[str]]:
        """(what goes before the subject, what it has)."""
        spec = self.spec
        if not spec.beard or not self._keeps():
            return "", []
        if not self.full and self._chance(0.1):
            return "bearded ", []
        length = spec.beard + " " if self._chance(0.35) else ""
        return "", [with_article(length + self._colour(spec.hair_color, 0.25) + "beard")]

    def _moustache(self) -> list[str]:
        if not self.spec.moustache or not self._keeps():
            return []
        return [with_article(self._colour(self.spec.hair_color, 0.15) + "moustache")]

    def _eyewear(self) -> list[str]:
        spec = self.spec
        if not spec.eyewear or not self._keeps():
            return []
        if spec.eyewear == "sunglasses":
            return ["sunglasses"]
        if self._chance(0.05):
            return ["spectacles"]
        shape = spec.eyewear + " " if self._chance(0.3) else ""
        colour = self._colour(spec.frame_color, 0.25) if not shape or self._chance(0.3) else ""
        return [shape + colour + "glasses"]

    def _hat(self) -> list[str]:
        spec = self.spec
        if not spec.hat or not self._keeps():
            return []
        if spec.hat == "crown":
            return [with_article(("gold " if self._gold(0.3) else "") + "crown")]
        word = "hat" if self._chance(0.5) else HAT_WORDS[spec.hat]
        return [with_article(self._colour(spec.hat_color) + word)]

    def _clothes(self) -> list[str]:
        """Scarf, bow tie, mask, headphones."""
        spec, worn = self.spec, []
        if spec.scarf and self._keeps():
            worn.append(with_article(self._colour(spec.scarf) + "scarf"))
        if spec.bow_tie and self._keeps():
            worn.append(with_article(self._colour(spec.bow_tie) + "bow tie"))
        if spec.mask and self._keeps():
            worn.append(self._one(MASK_WORDS))
        if spec.headphones and self._keeps():
            worn.append(self._colour(spec.headphones, 0.4) + "headphones")
        return worn

    def _shirt(self) -> str:
        spec = self.spec
        if self._in_colour and self._keeps(0.5):
            return with_article(("striped " if spec.stripes and self._chance(0.5) else "") + spec.shirt + " shirt")
        return "a striped shirt" if spec.stripes and self._chance(0.4) else ""

    def _blocks(self, have: list[str], wear: list[str], shirt: str) -> list[str]:
        """ "with …", "wearing …" and "in …", in any order."""
        have, wear = self._shuffled(have), self._shuffled(wear)
        verb = self._one(("wearing", "wearing", "wearing", "with", "in"))
        if verb == "in" and (not wear or any(thing.split()[-1].startswith("ear") for thing in wear)):
            verb = "wearing"  # nobody says "in earrings"
        if verb == "with" or (have and self._chance(0.1)):
            have, wear = have + wear, []
            if self._chance(0.3):
                have = self._shuffled(have)
        if shirt and wear and (verb == "in" or self._chance(0.25)):
            wear, shirt = [*wear, shirt], ""
        blocks = []
        if have:
            blocks.append(self._or_without("with") + " " + self._list(have))
        if wear:
            blocks.append(self._or_without(verb) + " " + self._list(wear))
        if shirt:
            blocks.append("in " + shirt)
        return self._shuffled(blocks) if self._chance(0.35) else blocks

    def _or_without(self, verb: str) -> str:
        return "without" if not self.full and verb != "in" and self._chance(0.02) else verb

    def _list(self, items: list[str]) -> str:
        """ "a, b and c", or "a and b and c"."""
        if len(items) > 2 and self._chance(0.6):
            return ", ".join(items[:-1]) + " and " + items[-1]
        return " and ".join(items)

    def _surroundings(self, joined: bool) -> list[str]:
        """Object, place and weather. joined: the object may be joined to the subject, as in "a man and a car"."""
        spec, around = self.spec, []
        if spec.obj and self._keeps():
            around.append(self._object(joined))
        if spec.back in PLACES:
            if self._keeps():
                around.append(self._one(PLACES[spec.back]))
        elif self._in_colour and not spec.weather and self._keeps(0.15):
            around.append(self._one(PLAIN_PLACES).format(spec.back).replace("a orange", "an orange"))
        if spec.weather and self._keeps():
            around.append(self._one(WEATHER[spec.weather]))
        return sorted(self._shuffled(around), key=lambda text: not text.startswith("and "))  # a joined object first

    def _object(self, joined: bool) -> str:
        spec = self.spec
        forms = OBJECT_FORMS[spec.obj]
        form = self._one(forms if joined else forms[:-1])
        drawn_green = spec.obj_color != "green" or spec.obj != "flower"  # a "green" flower is drawn red
        colour = self._colour(spec.obj_color, 0.4) if drawn_green else ""
        text = form.format(colour)
        return text.replace("a umbrella", "an umbrella").replace("a orange", "an orange")


def _join_words(*words: str) -> str:
    return " ".join(word for word in words if word)

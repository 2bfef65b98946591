"""The pictures of `suppress eval --pictures`: drawn, so that the ideal edit of each is known, and not chosen by looks.

There are eight kinds of targets with three pictures each. Seeds are tried from 0 upwards. The first ones whose random
spec shows a wanted target are taken, each for one target. The caption is sampled again until it names the target; with
"without", which some captions say although the thing is there, it would not describe the picture.

Picture 3 g + k is the k-th one of the g-th kind. Pictures with an even number are the half "develop", on which the best
pair is chosen; those with an odd number are the half "report". Each kind has pictures in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from minisd import UserError

from .. import world
from ..prompt import find_places
from .wording import deleted, phrase_of

EACH = 3  # pictures of each kind, unless a protocol wants more
# kind of target -> the attributes that its pictures show in turn. "object": two that are held, one that stands beside
TARGETS: dict[str, tuple[str, ...]] = {
    "glasses": ("glasses",),
    "beard": ("beard",),
    "hat": ("hat",),
    "scarf": ("scarf",),
    "rain": ("rain",),
    "snow": ("snow",),
    "van gogh": ("van_gogh",),
    "object": ("balloon", "umbrella", "flower"),
}
EVERYWHERE = ("rain", "snow", "van gogh")  # kinds that change the whole picture; the others are local
HALVES = ("develop", "report")


@dataclass(frozen=True)
class PictureCase:
    """A drawn picture, what its caption says, and what is to be removed."""

    number: int
    seed: int  # of the random generator that sampled the spec and then the captions
    kind: str  # one of TARGETS
    name: str  # the attribute, as suppress/world/truth.py and the detector call it
    prompt: str  # the caption
    target: str  # the words of the caption that name the attribute
    deleted: str  # the control: the caption without these words
    skipped: int  # captions before this one that did not name the attribute

    @property
    def key(self) -> int:
        """What tells it from the other cases."""
        return self.number

    @property
    def half(self) -> str:
        return HALVES[self.number % 2]

    @cached_property
    def spec(self) -> world.Spec:
        return world.sample_spec(np.random.default_rng(self.seed))

    @cached_property
    def photo(self) -> Image.Image:
        return world.render(self.spec)

    @cached_property
    def ideal(self) -> Image.Image:
        return world.render(world.without(self.spec, self.name))

    @cached_property
    def region(self) -> NDArray[np.bool_]:
        return world.region(self.spec, self.name)


@lru_cache(maxsize=4)
def picture_cases(each: int = EACH) -> tuple[PictureCase, ...]:
    """All pictures: first one of each kind, then the second one of each, so that the first few are of many kinds."""
    kinds = list(TARGETS)
    wanted = [(k, g) for k in range(each) for g in range(len(kinds))]
    found: dict[tuple[int, int], PictureCase] = {}
    seed = 0
    while len(found) < len(wanted):
        for k, g in wanted:
            names = TARGETS[kinds[g]]
            if (k, g) not in found and (case := find_case(each * g + k, seed, kinds[g], names[k % len(names)])):
                found[k, g] = case
                break
        seed += 1
    return tuple(found[place] for place in wanted)


def find_case(number: int, seed: int, kind: str, name: str) -> PictureCase | None:
    """The picture of this seed, if it shows the attribute."""
    rng = np.random.default_rng(seed)
    spec = world.sample_spec(rng)
    if not world.attributes(spec)[name]:
        return None
    for skipped, text in enumerate(_captions(spec, rng)):
        phrase = phrase_of(text, name)
        if phrase and len(find_places(text, phrase)) == 1 and not find_places(text, "without"):
            return PictureCase(number, seed, kind, name, text, phrase, deleted(text, name), skipped)
    raise AssertionError("captions never end")


def _captions(spec: world.Spec, rng: np.random.Generator) -> Iterator[str]:
    while True:
        yield world.caption(spec, rng)


def as_instruction(case: PictureCase) -> PictureCase:
    """The same picture with the prompt that is left of the instruction "remove the red hat": "the red hat".

    So the prompts of SuppressEOT are made from those of GQA-Inpaint (Li et al. 2024, appendix A).
    """
    return replace(case, prompt=instruction_prompt(f"remove the {case.target}"), deleted="")


def instruction_prompt(instruction: str) -> str:
    """ "Remove the airplane at the center" -> "the airplane at the center". UserError for other instructions."""
    verb, _, rest = instruction.strip().partition(" ")
    if verb.lower() != "remove" or not rest.strip():
        raise UserError(f"instruction {instruction!r}; expected “remove the …”")
    return rest.strip()


def box_of(region: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """The smallest box around the region (H,W): left, top, right, bottom. None for an empty region."""
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

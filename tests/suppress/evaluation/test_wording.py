"""How captions name an attribute, and captions without it."""

import re

import numpy as np
import pytest

from suppress import world
from suppress.evaluation.pictures import TARGETS
from suppress.evaluation.wording import deleted, phrase_of

pytestmark = pytest.mark.quick

NAMES = sorted({name for names in TARGETS.values() for name in names} | {"car", "cake"})
WORDS = {
    "glasses": "glasses|sunglasses|spectacles",
    "hat": "hat|cap|beanie|crown",
    "beard": "beard|bearded",
    "van_gogh": "van|gogh",
    "rain": "rain|rainy",
    "snow": "snow|snowy",
}


@pytest.mark.parametrize(
    ("name", "caption", "phrase", "rest"),
    [
        ("glasses", "a man wearing round red glasses", "round red glasses", "a man"),
        ("glasses", "a cat in glasses and a gray shirt, by the sea", "glasses", "a cat in a gray shirt, by the sea"),
        ("hat", "a dog with a top hat, earrings and a mask", "top hat", "a dog with earrings and a mask"),
        (
            "hat",
            "a dog with a scarf, a mask, a cap and earrings at night",
            "cap",
            "a dog with a scarf, a mask and earrings at night",
        ),
        ("hat", "a king in a gold crown", "gold crown", "a king"),
        ("scarf", "a boy with a hat and a red scarf and earrings", "red scarf", "a boy with a hat and earrings"),
        ("beard", "a bearded sad man with a hat", "bearded", "a sad man with a hat"),
        ("beard", "a man with a long brown beard and a moustache", "long brown beard", "a man with a moustache"),
        ("rain", "a girl in the city, on a rainy day", "rainy day", "a girl in the city"),
        ("rain", "a girl in rain at night", "rain", "a girl at night"),
        ("snow", "a robot in falling snow, by van gogh", "falling snow", "a robot, by van gogh"),
        ("van_gogh", "a van gogh painting of a cat", "van gogh", "a painting of a cat"),
        ("van_gogh", "a portrait of a cat, in the style of van gogh", "van gogh", "a portrait of a cat"),
        ("flower", "a boy with a hat next to a red flower in a pot", "red flower in a pot", "a boy with a hat"),
        ("umbrella", "a man and an orange umbrella in a forest", "orange umbrella", "a man in a forest"),
        ("car", "a man in a hat with a car behind", "car", "a man in a hat"),
        ("glasses", "a woman in the rain", "", "a woman in the rain"),
    ],
)
def test_a_caption_with_and_without_a_phrase(name, caption, phrase, rest):
    assert phrase_of(caption, name) == phrase
    if phrase:
        assert deleted(caption, name) == rest


def test_every_caption_of_the_world_is_understood():
    seen = set()
    for seed in range(2000, 2400):
        rng = np.random.default_rng(seed)
        spec = world.sample_spec(rng)
        caption = world.caption(spec, rng)
        for name in NAMES:
            words = WORDS.get(name, name)
            phrase = phrase_of(caption, name)
            assert bool(phrase) == bool(re.search(rf"\b({words})\b", caption)), caption
            if not phrase:
                continue
            seen.add(name)
            rest = deleted(caption, name)
            assert not re.search(rf"\b({words})\b", rest), (caption, rest)
            assert not re.search(r"  | ,|^ | $|,$|\b(an?|the|with|wearing|in|on|and|of|by|holding)$", rest), (
                caption,
                rest,
            )
            for other in NAMES:
                if other != name:
                    assert phrase_of(rest, other) == phrase_of(caption, other), (caption, rest)
    assert seen == set(NAMES)

"""A caption names what the picture shows, and nothing else; a full caption names everything."""

import re

import numpy as np
import pytest

from suppress import world
from suppress.world.palette import COLORS, FRAMES, FURS, HAIRS

pytestmark = pytest.mark.quick

# how captions name an attribute; the other attributes are named by their own name
NAMES = {
    "glasses": "glasses|sunglasses|spectacles",
    "hat": "hat|cap|beanie|crown",
    "beard": "beard|bearded",
    "bow_tie": "bow tie",
    "van_gogh": "van gogh",
    "pencil": "pencil|sketch",
    "pixel": "pixel art",
    "smiling": "smiling|happy",
    "rain": "rain|rainy",
    "snow": "snow|snowy",
    "beach": "beach|sea",
    "night": "night|moon",
    "forest": "forest|trees|woods",
    "city": "city|buildings",
    "room": "living room|room|home",
}
HATS = {"cap": "cap", "beanie": "beanie", "top": "top hat", "cowboy": "cowboy hat", "crown": "crown"}
COLOUR = "|".join(sorted({*COLORS, *HAIRS, *FRAMES, "gold"}))


def names(text, attribute):
    return bool(re.search(rf"\b({NAMES.get(attribute, attribute)})\b", text))


def colours_before(text, noun):
    """The colours that stand directly before a noun; other adjectives may stand between."""
    return re.findall(rf"\b({COLOUR}) (?:{noun})\b", text)


@pytest.fixture(scope="module")
def captions():
    """(spec, caption, full?), five of each spec."""
    found = []
    for seed in range(600):
        rng = np.random.default_rng([9, seed])
        spec = world.sample_spec(rng)
        found += [(spec, world.caption(spec, rng), False) for _ in range(4)]
        found.append((spec, world.caption(spec, rng, full=True), True))
    return found


def test_what_is_named_is_there(captions):
    for spec, text, _ in captions:
        for attribute, shown in world.attributes(spec).items():
            assert shown or not names(text, attribute), (attribute, text, spec)


def test_a_full_caption_names_everything(captions):
    for spec, text, full in captions:
        if full:
            shown = [name for name, is_shown in world.attributes(spec).items() if is_shown]
            assert not [name for name in shown if not names(text, name)], (text, spec)


def test_most_things_are_named(captions):
    """Measured: .72 of them."""
    mentions = [
        names(text, attribute)
        for spec, text, full in captions
        for attribute, shown in world.attributes(spec).items()
        if shown and not full and attribute != spec.kind
    ]
    assert 0.7 < np.mean(mentions) < 0.8


def test_every_caption_names_the_subject(captions):
    for spec, text, full in captions:
        other = {"man": "person", "woman": "person", "boy": "child", "girl": "child"}.get(spec.kind, spec.kind)
        assert names(text, spec.kind) or (names(text, other) and not full), text


def test_colours_are_those_of_the_picture(captions):
    nouns = {
        "scarf": lambda s: s.scarf,
        "bow tie": lambda s: s.bow_tie,
        "headphones": lambda s: s.headphones,
        "shirt": lambda s: s.shirt,
        "glasses": lambda s: s.frame_color,
        "hat|cap|beanie|top hat|cowboy hat": lambda s: s.hat_color,
        "crown|earrings": lambda s: "gold",
        "hair|beard|moustache": lambda s: s.hair_color,
        "flower|car|balloon|cake|umbrella": lambda s: s.obj_color,
        "background|wall": lambda s: s.back,
        "cat|dog|robot": lambda s: s.fur,
    }
    seen = set()
    for spec, text, _ in captions:
        for noun, colour in nouns.items():
            for named in colours_before(text, noun):
                assert named == colour(spec), (noun, text, spec)
                assert spec.style != "pencil", text
                seen.add(noun)
    assert seen == set(nouns)
    assert set(FURS) == {"cat", "dog", "robot"}


def test_shapes_are_those_of_the_picture(captions):
    for spec, text, _ in captions:
        assert all(shape == spec.eyewear for shape in re.findall(r"\b(round|square)\b", text)), text
        assert all(length == spec.beard for length in re.findall(rf"(long|short) (?:(?:{COLOUR}) )?beard", text)), text
        assert "striped" not in text or spec.stripes, text
        for word in HATS.values():
            assert not re.search(rf"\b{word}\b", text) or HATS[spec.hat] == word, text


def test_captions_are_short_and_without_is_rare(captions):
    """The text encoder reads 77 tokens; a word of the world is one token, or a few."""
    texts = [text for _, text, _ in captions]
    assert max(len(text.split()) for text in texts) < 40
    assert not [text for text in texts if "  " in text or text != text.strip()]
    wrong = np.mean(["without" in text for _, text, full in captions if not full])
    assert 0.01 < wrong < 0.04
    assert not [text for _, text, full in captions if full and "without" in text]


def test_articles_fit(captions):
    for _, text, _ in captions:
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text), text

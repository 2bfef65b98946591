"""Random specs: the same seed gives the same spec; nothing in them hides anything else; everything occurs."""

from collections import Counter

import numpy as np
import pytest

from suppress import world
from suppress.world.palette import BACKS, COLORS, FRAMES, FURS, HAIRS, SKINS
from suppress.world.spec import EXPRESSIONS, HAIR_STYLES, HATS, KINDS, OBJECTS, SCENES, STYLES

pytestmark = pytest.mark.quick


def sample(*seed, kind=None):
    return world.sample_spec(np.random.default_rng(seed), kind)


@pytest.fixture(scope="module")
def specs():
    return [sample(1, i) for i in range(2000)]


def test_equal_generators_give_equal_specs(specs):
    assert specs[:100] == [sample(1, i) for i in range(100)]
    assert len(set(specs)) == len(specs)


def test_captions_and_pictures_do_not_depend_on_what_was_drawn_before(specs):
    first = [(world.caption(s, np.random.default_rng(5)), world.render(s).tobytes()) for s in specs[:8]]
    again = [(world.caption(s, np.random.default_rng(5)), world.render(s).tobytes()) for s in reversed(specs[:8])]
    assert first == again[::-1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_may_be_chosen(kind):
    assert {sample(2, i, kind=kind).kind for i in range(20)} == {kind}


def test_fields_hold_what_the_tables_know(specs):
    allowed = {
        "kind": KINDS,
        "skin": range(len(SKINS)),
        "hair_color": HAIRS,
        "eyewear": ("", "round", "square", "sunglasses"),
        "frame_color": FRAMES,
        "hat": ("", *HATS),
        "hat_color": COLORS,
        "beard": ("", "short", "long"),
        "scarf": ("", *COLORS),
        "bow_tie": ("", *COLORS),
        "headphones": ("", *COLORS),
        "shirt": COLORS,
        "expression": EXPRESSIONS,
        "back": (*BACKS, *SCENES),
        "plain": BACKS,
        "weather": ("", "rain", "snow"),
        "obj": ("", *OBJECTS),
        "obj_color": COLORS,
        "style": ("", *STYLES),
        "side": (-1, 1),
        "flip": (-1, 1),
    }
    for spec in specs:
        assert all(getattr(spec, field) in values for field, values in allowed.items()), spec
        assert spec.hair in HAIR_STYLES.get(spec.kind, ("short",))
        assert spec.fur in FURS.get(spec.kind, ("gray",))


def test_nothing_hides_what_the_truth_says(specs):
    for s in specs:
        assert not (s.mask and (s.beard or s.moustache)), s
        assert not (s.bow_tie and (s.scarf or s.beard == "long")), s
        assert s.shirt not in (s.scarf, s.bow_tie), s
        assert not (s.weather and s.back == "room"), s
        assert s.kind == "man" or not (s.beard or s.moustache), s
        assert s.kind not in FURS or s.back != s.fur, s


def test_every_attribute_occurs(specs):
    counts = Counter(name for spec in specs for name, shown in world.attributes(spec).items() if shown)
    assert set(counts) == set(world.ATTRIBUTES)
    assert min(counts.values()) >= 20

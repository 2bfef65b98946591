"""Random specs: the same seed gives the same spec; nothing in them hides anything else; everything occurs."""

from collections import Counter

import numpy as np
import pytest

from minisd import UserError
from suppress import world
from suppress.world.palette import FURS
from suppress.world.spec import HAIR_STYLES, KINDS

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


@pytest.mark.parametrize(
    ("field", "value", "known"),
    [
        ("kind", "horse", "'man', 'woman',.*'robot'"),
        ("hat", "bowler", "'', 'cap',.*'crown'"),
        ("scarf", "teal", "'red', 'blue'"),
        ("back", "moon", "'beach', 'night'"),
        ("style", None, "'van_gogh'"),
        ("hair", ["short"], "'afro', 'bald'"),
        ("side", 0, "1, -1"),
    ],
)
def test_a_word_without_a_drawing_is_answered_with_those_that_have_one(field, value, known):
    with pytest.raises(UserError, match=f"^{field} = .*the drawn world knows .*{known}"):
        world.Spec(**{field: value})


def test_a_kind_that_does_not_exist():
    with pytest.raises(UserError, match=r"kind = 'horse'.*'cat', 'dog'"):
        sample(0, kind="horse")


@pytest.mark.parametrize("size", [0, 7, 5000, 12.5, "128", True])
def test_a_size_that_cannot_be_drawn(size):
    with pytest.raises(UserError, match="size = "):
        world.render(world.Spec(), size)


def test_hair_and_fur_fit_the_kind(specs):
    for spec in specs:
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

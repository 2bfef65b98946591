"""The catalogue of methods, and the texts ("name:field=value") that stand for a method and its settings."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import suppress
from suppress.methods import METHODS, method_spec, parse_method
from suppress.methods.catalogue.variants import PUBLISHED
from suppress.methods.variant import VARIANTS
from suppress.protocol import Method

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("name", METHODS)
def test_every_name_gives_its_method(name):
    entry = METHODS[name]
    settings = entry.make(steps=7)
    assert type(settings) is entry.kind and isinstance(settings, Method) and settings.steps == 7
    for field, value in entry.bound.items():
        assert getattr(settings, field) == value and field not in entry.settings


def test_variants_have_the_words_of_the_catalogue():
    assert list(VARIANTS) == list(PUBLISHED) and set(VARIANTS) < set(METHODS)
    assert VARIANTS["top-k"].published == 2 and VARIANTS["top-k"].constant == "K"


steps_or_fractions = st.floats(0, 1, exclude_max=True) | st.integers(0, 3)
changes = {
    "start": steps_or_fractions,
    "stop": steps_or_fractions,
    "shared_until": steps_or_fractions,
    "gamma": st.floats(0, 1e6),
    "iterations": st.integers(0, 20),
    "loss": st.sampled_from(["cosine", "l2", "value"]),
    "heads": st.none() | st.integers(1, 8),
    "value": st.none() | st.integers(0, 70),
    "text": st.text(st.characters(codec="utf-8"), max_size=9),
    "path": st.text(st.characters(codec="utf-8"), max_size=9),
    "to": st.none()
    | st.builds(suppress.Unread, shared_until=steps_or_fractions)
    | st.just(parse_method("top-k:value=3")),
}


@given(st.sampled_from(sorted(METHODS)), st.integers(3, 60), st.floats(-50, 50), st.data())
def test_a_spec_holds_all_settings(name, steps, guidance, data):
    assume(guidance or name != "cfg-pp")  # it divides by the guidance, and says so
    usable = [f for f in METHODS[name].settings if f in changes and (f != "value" or PUBLISHED[name].constant)]
    chosen = {f: data.draw(changes[f], label=f) for f in usable if data.draw(st.booleans())}
    settings = METHODS[name].make(steps=steps, guidance=guidance, **chosen)
    spec = method_spec(name, settings, METHODS[name].make(steps=9))
    assert parse_method(spec, steps=9) == settings

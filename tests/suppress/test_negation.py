"""What a prompt negates, by a rule of thumb."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suppress.negation import find_negations

pytestmark = pytest.mark.quick


def negated(prompt):
    """The phrases, each once."""
    return tuple(dict.fromkeys(" ".join(prompt[start:end].split()) for start, end in find_negations(prompt)))


@pytest.mark.parametrize(
    ("prompt", "phrases"),
    [
        ("a man without glasses", ("glasses",)),
        ("a man with no hat and a beard", ("hat",)),
        ("a girl not smiling", ("smiling",)),
        ("a man not wearing a red hat on the beach", ("red hat",)),
        ("a man without any glasses or a hat in the rain", ("glasses", "hat")),
        ("no rain, a dog", ("rain",)),
        ("a man without glasses, without a hat", ("glasses", "hat")),
        ("a car without flowers", ("flowers",)),
        ("without glasses", ("glasses",)),
        ("a man without", ()),
        ("a cat wearing a crown", ()),
        ("a knot and a note", ()),  # not a negation inside a word
        ("a man without glasses as a pencil sketch", ("glasses",)),
        ("a man without glasses smiling", ("glasses",)),
        ("a man without glasses looking sad", ("glasses",)),
        ("a man without glasses walking a dog", ("glasses",)),
        ("a man without glasses during rain", ("glasses",)),
        ("without glasses a man", ("glasses",)),
        ("without glasses or a hat a man", ("glasses", "hat")),
        ("a dog without its collar", ("collar",)),
        ("a man without a cup of tea", ("cup of tea",)),
        ("a man not standing", ("standing",)),
        ("a man not wearing glasses smiling at his dog", ("glasses",)),
        ("a room with no king bed and no string lights", ("king bed", "string lights")),
        ("a girl with no pearl earring standing there", ("pearl earring",)),
        ("a pool without swimming pool water", ("swimming pool water",)),
        ("a man who does not have a beard", ("beard",)),
        ("a man who doesn't have a beard or glasses", ("beard", "glasses")),
        ("a man who doesn’t wear glasses", ("glasses",)),
        ("a man who doesnt wear glasses", ("glasses",)),
        ("a man who isn't wearing a hat", ("hat",)),
        ("a man that is not wearing any red hat", ("red hat",)),
        ("a man who has no hat", ("hat",)),
        ("a man who never wears a hat", ("hat",)),
        ("a man without ever wearing a hat", ("hat",)),
        ("a girl no longer wearing a hat", ("hat",)),
        ("a girl not really smiling", ("smiling",)),
        ("a girl who cannot be smiling", ("smiling",)),
        ("a man with neither glasses nor a hat", ("glasses", "hat")),
        ("a man not carrying a bag", ("bag",)),
        ("a man not in a hat", ("hat",)),
        ("a cat not in the style of van gogh", ("style of van gogh",)),
        ("a man lacking a beard", ("beard",)),
        ("a street with no people visible", ("people",)),
        ("no hat can be seen", ("hat",)),
        ("a man with no 'hat' on", ("hat",)),
        ("a man without a dog's collar", ("dog's collar",)),
        ("a man not without glasses", ()),
        ("not only glasses but a hat", ()),
        ("a street with no one on it", ()),
        ("a never-ending road", ()),
    ],
)
def test_negations(prompt, phrases):
    assert negated(prompt) == phrases


PHRASES = ["glasses", "bow tie", "red scarf", "cowboy hat", "wedding ring", "gold nose ring", "cup of tea", "smiling"]
NEGATIONS = ["without", "without a", "without any", "with no", "not", "not wearing", "not wearing a", "WITHOUT the"]
REST = [
    "",
    "smiling",
    "looking sad",
    "walking a dog",
    "during rain",
    "as a pencil sketch",
    "a woman",
    "her dog",
    ", sad",
]
REST += ["in the style of van gogh", "while it rains", "who sits on a chair", "and a red hat", "is here", "or", "."]


@given(st.sampled_from(["", "a man", "a dog, "]), st.sampled_from(NEGATIONS), st.sampled_from(PHRASES), st.data())
def test_a_phrase_ends_where_something_else_begins(start, negation, phrase, data):
    rest = data.draw(st.sampled_from(REST))
    assert negated(f"{start} {negation} {phrase} {rest}") == (phrase,)


@given(
    st.lists(st.sampled_from(PHRASES), min_size=1, unique=True),
    st.sampled_from(["or", "nor", "or a", ", no", "without"]),
)
def test_a_negation_goes_on_after_or(phrases, between):
    assert negated(f"a man without {f' {between} '.join(phrases)} on the beach") == tuple(phrases)

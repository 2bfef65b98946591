"""Words -> token positions, and what a prompt says should go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minisd
import suppress
from suppress.target import eot_rows, find_negated, read_request, token_table


@pytest.mark.parametrize(
    ("prompt", "remove", "rows"),
    [
        ("a man without glasses", "glasses", (4,)),
        ("a man with a beard wearing glasses", "beard", (5,)),
        ("a man with a beard wearing glasses", "a beard", (4, 5)),
        ("a girl in the style of van gogh", "van gogh", (7, 8)),
        ("a hat, a man in a hat", "hat", (2, 8)),  # every occurrence; the comma is a token
        ("A Man Without GLASSES", "Glasses", (4,)),
        ("a man wearing glasses and a hat", ["hat", "glasses"], (4, 7)),
        ("a man without glasses", None, (4,)),
        ("a man with [glasses] and a hat", None, (4,)),
    ],
)
def test_rows(sd, prompt, remove, rows):
    assert suppress.find_rows(sd, prompt, remove) == rows


def test_a_word_of_several_pieces_takes_all_of_them(sd):
    assert len(sd.pieces("xylophone")) > 1
    assert suppress.find_rows(sd, "a xylophone man", "xylophone") == tuple(range(2, 2 + len(sd.pieces("xylophone"))))


def test_a_word_that_ends_in_the_target_is_another_word(sd):
    assert sd.pieces("qhat")[-1] == sd.pieces("hat")[0]  # the last piece alone would match
    with pytest.raises(minisd.UserError, match="no 'hat'"):
        suppress.find_rows(sd, "a qhat", "hat")


def test_unknown_word_shows_the_tokens_and_a_near_one(sd):
    with pytest.raises(minisd.UserError) as error:
        suppress.find_rows(sd, "a man without glasses", "glases")
    assert "Did you mean 'glasses'?" in str(error.value)
    for i, token in enumerate(["[SOT]", "a", "man", "without", "glasses"]):
        assert f"{i}  {token}" in str(error.value)


def test_word_beyond_the_77_tokens(sd):
    prompt = "a " * 80 + "hat"
    with pytest.raises(minisd.UserError, match="beyond the 75 tokens"):
        suppress.find_rows(sd, prompt, "hat")
    # an occurrence that is read counts, the one that is cut does not
    assert suppress.find_rows(sd, "hat " + prompt, "hat") == (1,)


@pytest.mark.parametrize("remove", ["", "  ", [], ["glasses", ""], [3]])
def test_unusable_targets(sd, remove):
    with pytest.raises(minisd.UserError, match="remove = "):
        suppress.find_rows(sd, "a man without glasses", remove)


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
    ],
)
def test_negations(prompt, phrases):
    assert find_negated(prompt) == phrases


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
    assert find_negated(f"{start} {negation} {phrase} {rest}") == (phrase,)


@given(
    st.lists(st.sampled_from(PHRASES), min_size=1, unique=True),
    st.sampled_from(["or", "nor", "or a", ", no", "without"]),
)
def test_a_negation_goes_on_after_or(phrases, between):
    assert find_negated(f"a man without {f' {between} '.join(phrases)} on the beach") == tuple(phrases)


def test_brackets_leave_the_prompt_and_win_over_negations():
    request = read_request("a man with [glasses] and no hat", None)
    assert request == suppress.target.Request("a man with glasses and no hat", ("glasses",), "in brackets")


def test_nothing_named_says_how():
    with pytest.raises(minisd.UserError, match=r"--remove WORD.*\[brackets\].*without glasses"):
        read_request("a man", None)


@given(st.text(alphabet="abc []no,without ", max_size=40))
def test_reading_never_fails_but_by_saying_how(prompt):
    try:
        request = read_request(prompt, None)
    except minisd.UserError:
        return
    assert request.targets and all(t.strip() for t in request.targets)
    assert all(word in request.prompt for t in request.targets for word in t.split())


def test_a_phrase_that_is_read_in_part_is_not_found(sd):
    """75 tokens are read besides [SOT] and [EOT]: the last phrase fits to the token, or it is cut."""
    assert suppress.find_rows(sd, "man " * 73 + "red scarf", "red scarf") == (74, 75)
    for words in (74, 75):
        with pytest.raises(minisd.UserError, match=f"'red scarf' stands beyond the 75 tokens .* at {words + 1}"):
            suppress.find_rows(sd, "man " * words + "red scarf", "red scarf")


def test_eot_rows_and_table(sd):
    prompt = "a man without glasses"
    assert eot_rows(sd, prompt) == tuple(range(5, 77))
    table = token_table(sd, prompt, (4,)).splitlines()
    assert table[4].endswith("glasses   <- target") and "target" not in "".join(table[:4])
    assert table[5].split() == ["5-76", "[EOT]", "<-", "carries", "it", "too"]

"""From words to rows, and what a prompt says is to be removed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minisd
import suppress
from suppress.prompt import Request, Target, encode, eot_rows, find_places, read_request, token_table

pytestmark = pytest.mark.quick


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
        # a place that is marked, negated or numbered is that place alone
        ("a red hat and a blue [hat]", None, (7,)),
        ("a red [ hat ] and a blue [hat]", None, (3, 7)),
        ("a man with a hat and a dog with no hat", None, (11,)),
        ("a man with no hat and a dog with no hat", None, (5, 11)),
        ("a man with a hat and a dog with a hat", "hat:2", (11,)),
        ("a man with a hat and a dog with a hat", ["a hat:1", "dog"], (4, 5, 8)),
        ("a hat, a hat:2 and no hat", "hat:2", (5, 6, 7)),  # the prompt's own words
        # words, and not what lies inside other words
        ("a man in 2022 and 2 cats", "2", (9,)),
        ("2.5 cats and 5 dogs", "5", (8,)),
        ("a spider-man and a man", "man", (8,)),
        ("a spider-man and a man", "spider-man", (2, 3, 4, 5)),
        ("a man's hat", "man", (2,)),
        ('a man in a "hat".', "hat", (6,)),
        ("a 'summer' hat", "'summer'", (2, 3, 4, 5, 6, 7, 8)),  # 's is a token of CLIP's, in any place
        ("a cafe\N{COMBINING ACUTE ACCENT} hat", "café", (2, 3, 4, 5)),  # as the tokenizer reads both
    ],
)
def test_rows(sd, prompt, remove, rows):
    assert suppress.find_rows(sd, prompt, remove) == rows
    request = read_request(prompt, remove)
    assert suppress.find_rows(sd, request.prompt, request) == rows


def test_the_rows_of_several_places_reach_the_picture(sd):
    settings = suppress.Unread(steps=2, start=0)
    for prompt, rows in (("a red hat and a blue [hat]", (7,)), ("a dog with a hat and a man with no hat", (11,))):
        result = suppress.run(sd, prompt, settings=settings)
        assert result.rows == rows and result.targets == ("hat",) and "[" not in result.prompt


@pytest.mark.parametrize(
    ("prompt", "remove", "told", "named"),
    [
        ("a hat on a hat", "hat", "all 2 places where 'hat' stands; 'hat:1' is the first one only", ("hat",)),
        ("a hat on a Hat", "hat:2", "1 of the 2 places where 'hat' stands", ("hat:2",)),
        ("a [hat] on a hat, [a hat]", None, "1 of the 3 places where 'hat' stands", ("hat:1", "a hat:3")),
        ("a [hat] on a [Hat]", None, "all 2 places where 'hat' stands", ("hat",)),
        ("a man without a hat", None, "'hat' (negated in the prompt)", ("hat",)),
    ],
)
def test_it_is_told_which_places_are_meant(sd, prompt, remove, told, named):
    request = read_request(prompt, remove)
    assert told in request.describe() and request.named == named
    again = read_request(request.prompt, request.named)  # what a file keeps says the same
    assert suppress.find_rows(sd, again.prompt, again) == suppress.find_rows(sd, prompt, remove)


@pytest.mark.parametrize("remove", ["hat:0", "hat:3", "hat : 99"])
def test_a_number_without_a_place(remove):
    with pytest.raises(minisd.UserError, match=r"stands at 2 place.*expected hat:1 to hat:2, or 'hat' for all of them"):
        read_request("a hat on a hat", remove)


def test_a_request_is_of_one_prompt():
    with pytest.raises(minisd.UserError, match="'a man with a hat', not of 'a cat'"):
        read_request("a cat", read_request("a man with a [hat]", None))


@pytest.mark.parametrize(
    ("prompt", "part", "word"),
    [("眼鏡をかけた男", "眼鏡", "眼鏡をかけた男"), ("a (spider-man).", "man", "spider-man"), ("in 2022", "2", "2022")],
)
def test_a_part_of_a_word_is_no_target(sd, prompt, part, word):
    with pytest.raises(minisd.UserError, match=f"no '{part}' by itself: it stands inside '{word}', which is one word"):
        suppress.find_rows(sd, prompt, part)
    marked = f"[{part}]".join(prompt.rsplit(part, 1))
    with pytest.raises(minisd.UserError, match=rf"\[{part}\] marks a part of the word '{word}'"):
        suppress.find_rows(sd, marked)


@pytest.mark.parametrize(("prompt", "remove"), [("a 'summer' hat", "summer"), ("a '[summer]' hat", None)])
def test_a_place_that_cuts_a_token_is_no_target(sd, prompt, remove):
    """CLIP splits 'summer' into 's and ummer, so no rows hold the word summer alone."""
    with pytest.raises(minisd.UserError, match="no 'summer' by itself: it stands inside \"'summer'\""):
        suppress.find_rows(sd, prompt, remove)


@given(st.lists(st.sampled_from(["hat", "red", "spider-man", "man's", "2022", ",", "眼鏡"]), min_size=1, max_size=9))
def test_a_word_by_itself_has_the_rows_that_its_pieces_fill(sd, words):
    places = find_places(" ".join(words), words[-1])
    assert places and {" ".join(words)[start:end] for start, end in places} == {words[-1]}
    before = sum(len(sd.pieces(word)) for word in words[:-1])
    rows = suppress.find_rows(sd, " ".join(words), f"{words[-1]}:{len(places)}")
    assert rows == tuple(range(1 + before, 1 + before + len(sd.pieces(words[-1]))))


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
    assert "Did you mean 'glasses'? Some methods, such as gie and sld, also remove what no word" in str(error.value)
    for i, token in enumerate(["[SOT]", "a", "man", "without", "glasses"]):
        assert f"{i}  {token}" in str(error.value)


def test_a_target_that_is_not_in_the_prompt_has_no_rows(sd):
    """If the method needs no word of the prompt; a target that is there keeps its rows."""
    prompt = encode(sd, "a man by the sea", ["beach", "man"], needs_words=False)
    assert prompt.target == (2,) and prompt.targets == ("beach", "man")
    assert "'beach' is not in the prompt" in prompt.request.describe()
    assert "not in the prompt" not in read_request("a man by the sea", "sea").describe()
    with pytest.raises(minisd.UserError, match="no 'beach'"):
        encode(sd, "a man by the sea", ["beach", "man"])
    with pytest.raises(minisd.UserError, match="beyond the 75 tokens"):
        encode(sd, "a " * 80 + "hat", "hat", needs_words=False)


def test_word_beyond_the_77_tokens(sd):
    prompt = "a " * 80 + "hat"
    with pytest.raises(minisd.UserError, match="beyond the 75 tokens"):
        suppress.find_rows(sd, prompt, "hat")
    # an occurrence that is read counts, the one that is cut does not
    assert suppress.find_rows(sd, "hat " + prompt, "hat") == (1,)


@pytest.mark.parametrize("remove", ["", " ", [], ["glasses", ""], [3], 3, True, 1.5, b"glasses", [["glasses"]]])
def test_unusable_targets(sd, remove):
    with pytest.raises(minisd.UserError, match="remove = "):
        suppress.find_rows(sd, "a man without glasses", remove)


def test_brackets_leave_the_prompt_and_win_over_negations():
    request = read_request("a man with [glasses] and no hat", None)
    assert request == Request("a man with glasses and no hat", (Target("glasses", ((11, 18),)),), "in brackets")


def test_nothing_named_says_how():
    with pytest.raises(minisd.UserError, match=r"--remove WORD.*\[brackets\].*without glasses"):
        read_request("a man", None)


@given(
    st.text(alphabet="abc []no,without ", max_size=40)
    | st.lists(st.sampled_from("no not a hat hats 2 2.5 dog's -hat ' , or [hat] é".split()), max_size=12).map(" ".join)
)
def test_reading_never_fails_but_by_saying_how(prompt):
    try:
        request = read_request(prompt, None)
    except minisd.UserError:
        return
    assert request.targets and all(t.strip() for t in request.targets)
    assert read_request(request.prompt, request.named).found == request.found


def test_a_phrase_that_is_read_in_part_is_not_found(sd):
    """The model reads 75 tokens besides [SOT] and [EOT]. A phrase that ends after them is cut."""
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

"""A prompt as chips, and what was clicked as a request."""

import pytest

from minisd import UserError
from suppress.prompt import find_rows, read_request, read_text
from suppress.ui.chips import clicked, make_chips, to_page

pytestmark = pytest.mark.quick


def chosen(sd, prompt, *keys):
    """The chips of a prompt, of which these (word, number) were clicked."""
    before = {"prompt": prompt, "chosen": [list(key) for key in keys]}
    return make_chips(sd, prompt, before)[1]


def test_each_word_is_a_chip_with_the_rows_of_its_tokens(sd):
    prompt = "a man, spider-man and a hat"
    _, chips = make_chips(sd, prompt)
    assert [chip.text for chip in chips] == ["a", "man", ",", "spider-man", "and", "a", "hat", "[EOT]"]
    assert len(chips[3].rows) > 1 and "".join(chips[3].pieces) == "spider-man"
    rows = [row for chip in chips for row in chip.rows]
    assert rows == list(range(1, 77))  # all rows but [SOT], each once
    for chip in chips[:-1]:
        if chip.kind == "word" and chip.text not in ("a",):
            assert chip.rows == find_rows(sd, prompt, chip.text)


def test_only_words_can_be_clicked(sd):
    page = to_page("a man's hat, big", make_chips(sd, "a man's hat, big")[1])
    # the tokenizer reads 's as one piece with its apostrophe, so the letter is no word of its own
    assert [chip["text"] for chip in page["chips"] if chip["open"]] == ["a", "man", "hat", "big"]


def test_what_the_prompt_negates_is_chosen_at_first(sd):
    text, chips = make_chips(sd, "a man without glasses or a hat")
    assert [chip.text for chip in chips if chip.chosen] == ["glasses", "hat"]
    text, chips = make_chips(sd, "a [red hat] on a man")
    assert text == "a red hat on a man" and [chip.text for chip in chips if chip.chosen] == ["red", "hat"]


def test_a_choice_survives_a_change_elsewhere(sd):
    page = to_page("a red hat", chosen(sd, "a red hat", ("red", 1)))
    _, chips = make_chips(sd, "a red hat without glasses", page)
    assert [chip.text for chip in chips if chip.chosen] == ["red"]
    _, chips = make_chips(sd, "a blue hat without glasses", page)  # red is gone
    assert [chip.text for chip in chips if chip.chosen] == ["glasses"]


def test_what_was_unclicked_stays_unclicked(sd):
    page = to_page("a man without glasses", chosen(sd, "a man without glasses"))
    assert not any(chip.chosen for chip in make_chips(sd, "a man without glasses", page)[1])


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ([("hat", 1)], ("hat:1",)),
        ([("hat", 2)], ("hat:2",)),
        ([("hat", 1), ("hat", 2)], ("hat",)),
        ([("blue", 1), ("hat", 2)], ("blue hat",)),  # neighbours are one phrase
        ([("red", 1), ("hat", 2)], ("red", "hat:2")),
    ],
)
def test_the_request_is_what_remove_takes(sd, keys, names):
    prompt = "a red hat on a blue hat"
    request = clicked(prompt, chosen(sd, prompt, *keys))
    assert request.named == names
    assert request.found == read_request(prompt, list(names)).found


def test_further_words_need_not_be_in_the_prompt(sd):
    prompt = "a bearded man"
    request = clicked(prompt, chosen(sd, prompt), ["beard"])
    assert request.named == ("beard",) and request.found[0].places == ()


def test_chips_show_no_weights(sd):
    prompt = read_text("a (red:1.3) [hat] on a (hat)", True)
    text, chips = make_chips(sd, prompt)
    assert text == read_text("a (red:1.3) hat on a (hat)", True)  # the prompt keeps them
    plain = make_chips(sd, "a red [hat] on a hat")[1]
    assert chips == plain and [(chip.text, chip.number) for chip in chips if chip.chosen] == [("hat", 1)]
    request = clicked(text, chips)
    assert request.named == ("hat:1",) and request.prompt == text
    assert type(to_page(text, chips)["prompt"]) is str  # as it comes back from the page


def test_other_weights_change_no_choice(sd):
    page = to_page("a man without glasses", chosen(sd, "a man without glasses"))
    _, chips = make_chips(sd, read_text("a (man:1.3) without glasses", True), page)
    assert not any(chip.chosen for chip in chips)  # what was unclicked


def test_nothing_chosen_is_told(sd):
    with pytest.raises(UserError, match="Click the word"):
        clicked("a man", chosen(sd, "a man"))


def test_words_beyond_the_77_tokens_cannot_be_chosen(sd):
    prompt = " ".join(["man"] * 80) + " hat"
    page = to_page(prompt, chosen(sd, prompt, ("hat", 1)))
    assert not page["chips"][80]["open"] and page["chosen"] == []
    assert page["chips"][-1]["rows"] == (76,)

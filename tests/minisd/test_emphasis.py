"""Prompts with weights: how they are read and written, and what they do to the embeddings."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minisd
from minisd import UserError, Weighted, weighted
from minisd.emphasis import as_heavy, emphasise, markup, row_weights, single_spaced

PROMPT = "a man with a hat"


def words(text):
    """[(word, weight of its first character)]"""
    return [(word, text.weights[text.index(word)]) for word in str(text).split()]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a man", [("a", 1), ("man", 1)]),
        ("a (hat)", [("a", 1), ("hat", 1.1)]),
        ("a ((hat))", [("a", 1), ("hat", 1.21)]),
        ("a (hat:1.3)", [("a", 1), ("hat", 1.3)]),
        ("a ( hat : .5 )", [("a", 1), ("hat", 0.5)]),
        ("a (hat:-1)", [("a", 1), ("hat", -1)]),
        ("a (hat:0)", [("a", 1), ("hat", 0)]),
        ("a [hat]", [("a", 1), ("hat", 0.909091)]),
        ("(one (two:2) three:1.5)", [("one", 1.5), ("two", 3), ("three", 1.5)]),
        ("([hat])", [("hat", 1)]),
        (r"\(hat\) \[cap\] \\", [("(hat)", 1), ("[cap]", 1), ("\\", 1)]),
        ("(at 3:2)", [("at", 2), ("3", 2)]),
        ("a: b", [("a:", 1), ("b", 1)]),
        ("", []),
    ],
)
def test_signs_are_read_as_weights(prompt, expected):
    assert words(weighted(prompt)) == expected


def test_square_brackets_may_be_left_as_they_are():
    text = weighted("a (man) in a [hat]", square=False)
    assert text == Weighted("a man in a [hat]", [1] * 2 + [1.1] * 3 + [1] * 11)
    assert str(text) == "a man in a [hat]"


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a (hat", "the bracket '(' at character 3 "),
        ("a hat)", "the bracket ')' at character 6 "),
        ("a hat:1.3)", "the bracket ')' at character 10 "),
        ("a [hat)", "the bracket ')' at character 7 "),
        ("a (hat]", "the bracket ']' at character 7 "),
        ("a (hat [cap)", "the bracket ')' at character 12 "),
        ("a [hat:cap:0.5]", "[hat:cap:0.5] in the prompt"),
        ("a (hat:101)", "the weight 101 in the prompt"),
        (7, "a prompt is a string, not 7"),
    ],
)
def test_signs_without_sense_are_refused(prompt, told):
    with pytest.raises(UserError) as error:
        weighted(prompt)
    assert str(error.value).startswith(told)


@given(st.lists(st.tuples(st.text(r"ab \()[]:1.é", max_size=4), st.sampled_from([1.0, 0.5, 1.3, 1.21, -2, 0]))))
def test_what_is_written_is_read_again(parts):
    text = Weighted("", ())
    for part, weight in parts:
        text += Weighted(part, [weight] * len(part))
    again = weighted(markup(text))
    assert again == text and str(again) == str(text)


def test_a_plain_text_is_written_as_it_is():
    assert markup("a (hat:1.3)") == "a (hat:1.3)"
    assert markup(weighted("a (hat:1.30) [x] y")) == "a (hat:1.3) (x:0.909091) y"


def test_parts_and_sums_keep_their_weights():
    text = weighted("a (hat:1.3)")
    assert text[2:] == Weighted("hat", [1.3] * 3) and text[0] == "a"
    assert text + " x" == weighted("a (hat:1.3) x") and "x " + text == weighted("x a (hat:1.3)")
    assert text + text == weighted("a (hat:1.3)a (hat:1.3)")
    assert single_spaced("  " + text + "   x ") == text + " x" and single_spaced("  a  b ") == "a b"
    assert single_spaced("  ") == ""
    assert as_heavy("cap", text[2:]) == weighted("(cap:1.3)") and as_heavy("cap", "hat") == "cap"


def test_texts_with_other_weights_are_others():
    text = weighted("a (hat:1.3)")
    assert text == weighted("a (hat:1.30)") and hash(text) == hash(weighted("a (hat:1.30)"))
    assert text != weighted("a (hat:1.4)") and text != "a hat" and weighted("a hat") != "a hat"
    assert len({text, weighted("a (hat:1.4)"), "a hat"}) == 3
    for other in (pickle.loads(pickle.dumps(text)), copy.deepcopy(text), copy.copy(text)):
        assert other == text and other.weights == text.weights
    assert repr(text) == "'a (hat:1.3)'" and f"{text}" == "a hat"


def test_embeddings_are_multiplied_and_their_mean_stays(sd):
    plain = sd.encode_text(PROMPT)[0]
    ctx = sd.encode_text(weighted("a man with a (hat:1.5)"))[0]
    factors = torch.ones(77, 1)
    factors[5] = 1.5  # [SOT] a man with a hat
    expected = plain * factors
    expected *= plain.mean() / expected.mean()
    assert torch.allclose(ctx, expected, atol=1e-6) and not torch.allclose(ctx, plain, atol=1e-2)
    assert abs(float(ctx.mean() - plain.mean())) < 1e-6
    assert sd.tokens(weighted("a man with a (hat:1.5)")) == sd.tokens(PROMPT)


def test_weights_of_1_change_nothing(sd):
    for prompt in (weighted(PROMPT), weighted("a man with a (hat:1)")):
        assert torch.equal(sd.encode_text(prompt), sd.encode_text(PROMPT))


def test_prompts_of_a_batch_have_their_own_weights(sd):
    heavy = weighted("a (man:0.7) with a hat")
    both = sd.encode_text([PROMPT, heavy])
    assert torch.allclose(both[0], sd.encode_text(PROMPT)[0], atol=1e-6)
    assert torch.allclose(both[1], sd.encode_text(heavy)[0], atol=1e-6)


def test_a_word_of_several_pieces_has_one_weight(sd):
    word = "incomprehensibilities"
    count = len(sd.pieces(word))
    rows = row_weights(weighted(f"a ({word}:2) hat"), sd.pieces)
    assert count > 1 and rows.tolist() == [1, 1] + [2] * count + [1] * (75 - count)


def test_weights_beyond_the_77_tokens_are_cut(sd):
    text = weighted("hat " * 74 + "(hat hat hat:2)")
    assert row_weights(text, sd.pieces).tolist() == [1.0] * 75 + [2, 1]


def test_a_part_of_a_word_has_no_weight_of_its_own(sd):
    with pytest.raises(UserError, match=r"'a \(ha:2\)t' has a weight for a part of a word"):
        sd.encode_text(weighted("a (ha:2)t"))


@pytest.mark.parametrize("weights", [torch.zeros(77), torch.full((77,), -1.0), torch.full((77,), 50.0)])
def test_weights_that_turn_the_mean_are_refused(sd, weights):
    with pytest.raises(UserError, match="change the mean of its embeddings"):
        emphasise(sd.encode_text(PROMPT)[0], weights)


def test_pictures_with_weights(sd):
    """A prompt with weights goes wherever a prompt goes."""
    [heavy] = sd.generate(weighted("a man with a (hat:1.6)"), steps=2, height=64, width=64)
    [plain] = sd.generate(PROMPT, steps=2, height=64, width=64)
    [negative] = sd.generate(PROMPT, steps=2, height=64, width=64, negative_prompt=weighted("(hat:1.6)"))
    [other] = sd.generate(PROMPT, steps=2, height=64, width=64, negative_prompt="hat")
    assert heavy != plain and negative != other
    found = minisd.heat(sd, weighted("a man with a (hat:1.6)"), steps=2, height=64, width=64)
    difference = np.asarray(found.image, int) - np.asarray(heavy, int)
    assert abs(difference).max() <= 1
    assert found.words == ["[SOT]", "a:1", "man", "with", "a:2", "hat", "[EOT]"]

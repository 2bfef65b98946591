"""The alignment of two prompts: hand-made cases, and what holds for all of them."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from suppress.edits.alignment import longest_common, refined, replaced

pytestmark = pytest.mark.quick
words = st.lists(st.sampled_from("abcd"), max_size=12)


def pairs(matrix, upto):
    """{row of the edited prompt: row of the original} of a matrix of zeros and ones, before row `upto`"""
    return {k: matrix[:, k].nonzero().item() for k in range(upto) if matrix[:, k].any()}


def test_a_phrase_that_is_taken_out():
    """[SOT] a man in a red hat [EOT] -> [SOT] a man in a [EOT]; the original's padding begins at row 8"""
    matrix, new = refined("a man in a red hat".split(), "a man in a".split(), removed=(5, 6))
    assert pairs(matrix, 6) == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 7}
    assert matrix[:, 6:8].sum() == 0  # rows 6 and 7 are padding only here: they get no word's map
    assert torch.equal(matrix[8:, 8:], torch.eye(69)) and matrix[8:, :8].sum() == 0
    assert new == () and matrix.sum() == 75


def test_words_that_are_added():
    matrix, new = refined("a man".split(), "an old man with glasses".split())
    assert pairs(matrix, 7) == {0: 0, 3: 2, 6: 3}
    assert new == (1, 2, 4, 5)
    assert torch.equal(matrix[7:, 7:], torch.eye(70))


def test_a_kept_word_is_not_paired_with_its_equal_in_the_removed_phrase():
    """Without "with a", the second "a" is that of "a hat"."""
    prompt, edited = "man with a beard , a hat".split(), "man , a hat".split()
    assert longest_common(prompt, edited, (1, 2, 3)) == [0, 4, 5, 6]
    assert longest_common("a a b".split(), "a b".split()) == [0, 2]  # as published: the first that fits
    assert longest_common("a a b".split(), "a b".split(), (0,)) == [1, 2]
    assert pairs(refined("a a b".split(), "a b".split(), removed=(1,))[0], 4) == {0: 0, 1: 2, 2: 3, 3: 4}
    assert pairs(refined("a a b".split(), "a b".split(), removed=(2,))[0], 4) == {0: 0, 1: 1, 2: 3, 3: 4}


def test_a_removed_word_that_the_edited_prompt_has_again_is_paired():
    matrix, new = refined("a man with a hat".split(), "a man with a red hat".split(), removed=(5,))
    assert pairs(matrix, 8) == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 6: 5, 7: 6}
    assert new == (5,)


@given(words, st.data())
def test_after_a_removal_every_kept_token_is_its_own_partner(tokens, data):
    removed = data.draw(st.sets(st.integers(0, max(len(tokens) - 1, 0)), max_size=len(tokens)))
    kept = [i for i in range(len(tokens)) if i not in removed]
    assert longest_common(tokens, [tokens[i] for i in kept], removed) == kept


@given(words, words)
def test_partners_are_equal_and_do_not_cross_and_none_more_is_possible(x, y):
    partners = longest_common(x, y)
    found = [(i, j) for j, i in enumerate(partners) if i is not None]
    assert all(x[i] == y[j] for i, j in found)
    assert [i for i, _ in found] == sorted({i for i, _ in found})
    lengths = {(0, 0): 0}  # the textbook's recursion, on prefixes
    for i in range(len(x) + 1):
        for j in range(len(y) + 1):
            both = lengths.get((i - 1, j - 1), 0) + 1 if i and j and x[i - 1] == y[j - 1] else 0
            lengths[i, j] = max(both, lengths.get((i - 1, j), 0), lengths.get((i, j - 1), 0))
    assert len(found) == lengths[len(x), len(y)]


@given(st.lists(st.sampled_from("abcd"), max_size=90))
@example(["a"] * 90)
def test_the_same_prompt_is_the_identity(tokens):
    for matrix, new in (refined(tokens, tokens, (1,)), replaced([[t] for t in tokens], [[t] for t in tokens])):
        assert torch.equal(matrix, torch.eye(77)) and new == ()


def test_words_of_equally_many_tokens_are_paired_token_by_token():
    matrix, new = replaced([["x", "y"], ["hat"]], [["u", "v"], ["hat"]])
    assert torch.equal(matrix, torch.eye(77)) and new == (1, 2)


def test_two_tokens_share_the_maps_of_three():
    """The words after an uneven pair are aligned with themselves."""
    old, word = [["a"], ["x", "y", "z"], ["with"], ["hat"]], [["a"], ["u", "v"], ["with"], ["cap"]]
    matrix, new = replaced(old, word)
    assert matrix[2:5, 2:4].eq(0.5).all() and matrix[:, 2:4].sum() == 3
    assert matrix[0, 0] == matrix[1, 1] == matrix[5, 4] == matrix[6, 5] == matrix[7, 6] == 1
    assert torch.equal(matrix[8:, 8:], torch.eye(69)) and matrix[:, 7].sum() == 0
    assert new == (2, 3, 5)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=30))
def test_a_replacement_keeps_the_attention_of_every_word(counts):
    old, new = ([[f"{side}{i}"] * n[side] for i, n in enumerate(counts)] for side in (0, 1))
    matrix, rows = replaced(old, new)
    assert matrix.shape == (77, 77) and len(rows) == min(sum(n for _, n in counts), 75)
    if max(sum(n for n, _ in counts), sum(n for _, n in counts)) <= 75:
        words = 1 + sum(n for n, _ in counts)
        torch.testing.assert_close(matrix[:words].sum(dim=1), torch.ones(words))

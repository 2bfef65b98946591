"""The prompt without its targets on the prompt's rows."""

import pytest
import torch

from suppress.edits.counterparts import counterparts, edited_rows
from suppress.prompt import encode


@pytest.mark.parametrize(
    ("text", "targets", "instead", "words"),
    [
        # one number per row up to the first [EOT]: the row of the other prompt that takes its place
        ("a man with glasses and a hat", ["glasses"], "", [0, 1, 2, 3, 3, 4, 5, 6, 7]),
        ("a man with glasses and a hat", ["glasses", "a hat"], "", [0, 1, 2, 3, 3, 4, 4, 4, 5]),
        ("glasses and a hat", ["glasses"], "", [0, 0, 1, 2, 3, 4]),
        ("a man without glasses", ["glasses"], "", [0, 1, 2, 3, 3, 4]),
        ("a man with glasses and a hat", ["glasses"], "a red scarf", [0, 1, 2, 3, 6, 7, 8, 9, 10]),
        ("a dog by van gogh", ["van gogh"], "crown", [0, 1, 2, 3, 4, 4, 5]),
    ],
)
def test_each_row_has_its_place(sd, text, targets, instead, words):
    prompt = encode(sd, text, targets)
    got = counterparts(sd, prompt, instead)
    other = text
    for target in targets:
        other = " ".join(other.replace(target, instead).split())
    want = sd.encode_text(other)[0]
    padding = [min(words[-1] + k, 76) for k in range(77 - len(words) + 1)]
    assert torch.equal(got, want[[*words[:-1], *padding]])
    first = prompt.target[0]
    torch.testing.assert_close(got[:first], prompt.ctx[0, :first], rtol=0, atol=1e-5)


def test_words_that_become_another_token_have_the_place_of_the_target(sd):
    got = counterparts(sd, encode(sd, "(glasses) and a hat", "glasses"))
    want = sd.encode_text("() and a hat")[0]  # here the first bracket does not end a word, so that it is another token
    assert torch.equal(got[:8], want[[0, 1, 1, 2, 3, 4, 5, 6]])


def test_the_named_place_is_the_one_that_goes(sd):
    got = counterparts(sd, encode(sd, "a hat hat", "hat:1"))
    assert torch.equal(got[:5], sd.encode_text("a hat")[0, [0, 1, 1, 2, 3]])


def test_rows_that_are_edited(sd):
    prompt = encode(sd, "a man with glasses and a hat", "glasses")
    assert edited_rows(prompt, "edited") == list(range(4, 77))
    assert edited_rows(prompt, "kept") == [4, *range(8, 77)]

"""Methods whose context does not change: here the row of Table 5 in Li et al. 2024, whose words are [EOT]."""

from types import SimpleNamespace

import torch

from suppress.methods.fixed import WordsByPadding
from suppress.prompt import encode


def test_the_words_are_replaced_by_the_rows_of_eot_in_order(sd):
    prompt = encode(sd, "a man with a hat", "hat")
    given = WordsByPadding().edit(SimpleNamespace(sd=sd, per_prompt=lambda make: make(prompt))).ctx
    words, end = prompt.eot[0] - 1, prompt.eot[0]
    assert torch.equal(given[:, 1:end], prompt.ctx[:, end : end + words])
    assert torch.equal(given[:, :1], prompt.ctx[:, :1]) and torch.equal(given[:, end:], prompt.ctx[:, end:])
    assert not WordsByPadding().needs_words

"""Weights of words reach every text that a method encodes."""

import pytest
import torch

import suppress
from minisd import Weighted, weighted
from suppress.edits.negative import beside_negative
from suppress.methods import METHODS, parse_method
from suppress.prompt import encode, read_request, without_targets

PROMPT = "a man in a (blue:1.5) shirt with a (red hat:0.8) and glasses"


def request(*targets):
    return read_request(weighted(PROMPT, square=False), list(targets) or None)


def test_targets_stand_where_they_stand_without_weights(sd):
    plain = encode(sd, str(weighted(PROMPT)), ["red hat"])
    heavy = encode(sd, weighted(PROMPT), ["red hat"])
    assert (heavy.target, heavy.eot, heavy.words) == (plain.target, plain.eot, plain.words)
    assert torch.equal(heavy.ctx, sd.encode_text(weighted(PROMPT))) and not torch.equal(heavy.ctx, plain.ctx)


def test_brackets_mark_targets_beside_weights():
    found = read_request(weighted("a (blue:1.5) man in a [red (hat:2)]", square=False), None)
    assert found.targets == ("red hat",) and found.prompt == weighted("a (blue:1.5) man in a red (hat:2)")


@pytest.mark.parametrize(
    ("targets", "instead", "expected"),
    [
        (["glasses"], "", "a man in a (blue:1.5) shirt with a (red:0.8) (hat:0.8) and"),
        (["red hat"], "", "a man in a (blue:1.5) shirt with a and glasses"),
        (["red hat"], "cap", "a man in a (blue:1.5) shirt with a (cap:0.8) and glasses"),
        (["blue"], "green", "a man in a (green:1.5) shirt with a (red:0.8) (hat:0.8) and glasses"),
    ],
)
def test_a_prompt_without_its_targets_keeps_its_weights(targets, instead, expected):
    assert without_targets(request(*targets), instead) == weighted(expected)


def test_requests_with_other_weights_are_others():
    assert request("hat") != read_request(str(weighted(PROMPT)), ["hat"])
    assert request("hat") == request("hat") and hash(request("hat")) == hash(request("hat"))


def test_the_negative_prompt_keeps_its_weights(small, monkeypatch):
    seen = encoding(small, monkeypatch)
    prompt = encode(small, "a man in a hat", ["hat"], negative=weighted("(rain:1.4)"))
    run = type("Run", (), {"sd": small, "per_prompt": staticmethod(lambda encoded: encoded(prompt))})
    seen.clear()
    beside_negative(run, lambda prompt: "hat")
    beside_negative(run, lambda prompt: "")
    assert seen == [weighted("(rain:1.4), hat"), weighted("(rain:1.4)")]


def encoding(sd, monkeypatch):
    """The texts that `sd` encodes from now on."""
    seen, real = [], type(sd).encode_text

    def encode_text(self, prompts, hidden=()):
        seen.extend([prompts] if isinstance(prompts, str) else prompts)
        return real(self, prompts, hidden)

    monkeypatch.setattr(type(sd), "encode_text", encode_text)
    return seen


FIRST = {entry.kind: name for name, entry in reversed(METHODS.items())}  # a name for each class
FROM_FILES = {"delta", "context-map"}  # they encode no text
LARGE = {
    "gie",
    "attend-and-excite",
    "prompt-to-prompt",
    "ledits:guidance=7.5",
}  # need the maps of 128 pixels
FORMS = ["ssdv-kept", "gie:form=code", "vsf", "perp-neg:word=cut", "ledits:guidance=7.5"]


@pytest.mark.parametrize("spec", [*sorted(set(FIRST.values()) - FROM_FILES - {"ledits"}), *FORMS])
def test_no_method_loses_the_weights_of_other_words(sd, small, monkeypatch, spec):
    """Every text with the word "blue" that any method encodes has its weight."""
    model, side = (sd, 128) if spec in LARGE else (small, 64)
    seen = encoding(model, monkeypatch)
    suppress.run(model, weighted(PROMPT), "glasses", settings=parse_method(spec, steps=2), height=side, width=side)
    about = [text for text in seen if "blue" in text]
    assert about  # the prompt itself
    for text in about:
        assert isinstance(text, Weighted) and text.weights[text.index("blue")] == 1.5, text

"""The tokenizer, learned from captions."""

import json
from pathlib import Path

import pytest

from minisd.loading.tokenizer import load_tokenizer
from weights.tiny.train.captions import described
from weights.tiny.train.vocabulary import learn, padded, single_words, write_tokenizer

TINY = Path(__file__).parents[4] / "weights" / "tiny"


@pytest.fixture(scope="module")
def captions():
    return [text for number in range(1500) for text in described(2026, number)[1]]


def test_the_captions_of_the_committed_model_give_its_words(captions):
    """Its vocabulary came from the same captions, and some more; every token of a word is in both."""
    committed = json.loads((TINY / "tokenizer" / "vocab.json").read_text())
    vocabulary, _ = learn(captions)
    old = load_tokenizer(TINY / "tokenizer")
    words = single_words(old, captions)
    assert {word + "</w>" for word in words} <= set(vocabulary)
    assert list(vocabulary)[:512] == list(committed)[:512]
    assert list(vocabulary)[-2:] == ["<|startoftext|>", "<|endoftext|>"]
    assert list(vocabulary.values()) == list(range(len(vocabulary)))


def test_the_same_captions_give_the_same_vocabulary():
    """Pairs of equal frequency must not be merged in a random order."""
    texts = [text for number in range(20) for text in described(0, number)[1]]
    assert all(learn(texts) == learn(texts) for _ in range(5))


def test_words_that_captions_lack_are_there(captions):
    vocabulary, _ = learn(["a man", "a cat"])
    assert {"no</w>", "not</w>", "without</w>"} <= set(vocabulary)


def test_the_files_are_read_as_any_checkpoint_s(captions, tmp_path):
    tokenizer = write_tokenizer(tmp_path / "tokenizer", captions)
    assert load_tokenizer(tmp_path / "tokenizer").ids("a man without glasses") == tokenizer.ids("A man without glasses")
    assert tokenizer.pieces("a man without glasses") == ["a</w>", "man</w>", "without</w>", "glasses</w>"]
    assert (tokenizer.sot, tokenizer.eot) == (tokenizer.size - 2, tokenizer.size - 1)
    assert tokenizer.pieces("é1") != []  # any text can be encoded


def test_single_words(captions, tmp_path):
    tokenizer = write_tokenizer(tmp_path / "tokenizer", captions)
    words = single_words(tokenizer, ["a man, a zebra"])
    assert list(words) == ["a", "man"] and words["man"] == tokenizer.ids("man")[0]


def test_padding(captions, tmp_path):
    tokenizer = write_tokenizer(tmp_path / "tokenizer", captions)
    ids = padded(tokenizer, "a man")
    assert ids == [tokenizer.sot, *tokenizer.ids("a man"), *[tokenizer.eot] * 74]
    long = padded(tokenizer, "a " * 100)
    assert len(long) == 77 and long[-1] == tokenizer.eot != long[-2]

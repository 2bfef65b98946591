"""The tokenizer: byte-pair encoding (Sennrich et al. 2016) in the format of CLIP's vocabulary.

The vocabulary begins with the 256 letters that stand for bytes, and the same letters at the end of a word; then come
the pairs that were merged; [SOT] and [EOT] come last. The captions have few words, so each becomes one token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import tokenizers
from tokenizers import Regex, models, pre_tokenizers, trainers

from minisd.base.outputs import write_text
from minisd.loading.tokenizer import END, EOT, SOT, Tokenizer, load_tokenizer
from minisd.loading.vocabulary import vocabulary_files

# words of which the captions have hardly any, but users do; each counts as often as a frequent word
_MORE_WORDS = ("no", "not", "without")
_MORE = 50
_LARGEST = 3000  # tokens; the captions need fewer than 900


def learn(captions: Iterable[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """(vocabulary: token -> id, merges) of texts in lower case."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = tokenizers.Tokenizer(models.BPE(end_of_word_suffix=END))
    # CLIP's rule for cutting a text into words, for texts that consist of words and commas
    words = pre_tokenizers.Split(Regex(r"\p{L}+|[^\s\p{L}]+"), "removed", invert=True)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    ends = [letter + END for letter in letters]
    trainer = trainers.BpeTrainer(
        vocab_size=_LARGEST,
        min_frequency=2,
        initial_alphabet=letters,
        special_tokens=ends,  # otherwise they get numbers at random, and these decide between pairs of equal frequency
        end_of_word_suffix=END,
        show_progress=False,
    )
    bpe.train_from_iterator([*captions, *_MORE_WORDS * _MORE], trainer)
    merges = [_pair(merge) for merge in json.loads(bpe.to_str())["model"]["merges"]]
    tokens = [*letters, *ends, *(a + b for a, b in merges), SOT, EOT]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}, merges


def _pair(merge: str | list[str]) -> tuple[str, str]:
    """Versions of the library write a merge as a string or as a list."""
    a, b = merge.split(" ") if isinstance(merge, str) else merge
    return a, b


def write_tokenizer(folder: Path, captions: list[str]) -> Tokenizer:
    """Learns the vocabulary of the captions, writes it into the folder, and reads it as `minisd.load` does."""
    vocabulary, merges = learn(captions)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in vocabulary_files(vocabulary, merges).items():
        write_text(folder / name, text)
    return load_tokenizer(folder)


def single_words(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, int]:
    """The words of the texts that are one token: word -> its id, in alphabetical order."""
    words = sorted({word for text in texts for word in re.findall("[a-z]+", text)})
    ids = {word: tokenizer.ids(word) for word in words}
    return {word: found[0] for word, found in ids.items() if len(found) == 1}


def padded(tokenizer: Tokenizer, text: str) -> list[int]:
    """The 77 token ids that the text encoder reads: [SOT], the text, and [EOT] to the end."""
    return tokenizer.row(tokenizer.ids(text))

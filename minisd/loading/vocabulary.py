"""The files of a tokenizer that every loader of SD 1.x reads: vocab.json, merges.txt, tokenizer_config.json.

`load_tokenizer` (tokenizer.py) reads them back. A tokenizer.json is not written: the libraries that read these files
add the steps of CLIP's tokenizer themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from ..config import CONTEXT
from .tokenizer import EOT, SOT, Added


def vocabulary_files(
    vocab: Mapping[str, int], merges: Iterable[tuple[str, str]], added: Iterable[Added] = ()
) -> dict[str, str]:
    """File name -> its text. added: tokens that are not made by merges; those of the vocabulary need not be named."""
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": CONTEXT,
        "bos_token": SOT,
        "eos_token": EOT,
        "pad_token": EOT,
        "unk_token": EOT,
    }
    entries = {
        str(token.id): {key: value for key, value in token._asdict().items() if key != "id"}
        for token in added
        if token.content not in vocab
    }
    return {
        "tokenizer_config.json": json.dumps(
            settings | ({"added_tokens_decoder": entries} if entries else {}), indent=1
        ),
        "vocab.json": json.dumps(dict(vocab), ensure_ascii=False),
        "merges.txt": "\n".join(["#version: 0.2", *map(" ".join, merges)]) + "\n",
    }

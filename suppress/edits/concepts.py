"""What is to be erased, as words: the concepts, their encodings, and the rows of these that stand for them.

The published erasers name a concept by a phrase that is encoded alone ("Van Gogh"). They read its last piece, because
the text encoder is causal and this row has read the whole phrase, or the first [EOT], which CLIP takes for the meaning
of a text ("pooled").
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from minisd import StableDiffusion

from ..prompt import Prompt


def phrases(text: str) -> tuple[str, ...]:
    """The phrases of a list with commas: "glasses, a hat" -> ("glasses", "a hat")."""
    return tuple(phrase.strip() for phrase in text.split(",") if phrase.strip())


def concepts(text: str, prompt: Prompt) -> tuple[str, ...]:
    """The phrases of a setting; those that the user wants removed from the prompt if it is empty."""
    return phrases(text) or prompt.targets


def last_piece(sd: StableDiffusion, phrase: str) -> int:
    """The row of the last piece of a phrase that is encoded alone; 0, that of [SOT], if it has no words."""
    return len(sd.tokens(phrase)) - 2


def last_pieces(sd: StableDiffusion, named: Sequence[str]) -> Tensor:
    """(K,D): each phrase is encoded alone; the row of its last piece."""
    return _row_of(sd, named, 2)


def pooled(sd: StableDiffusion, named: Sequence[str]) -> Tensor:
    """(K,D): each phrase is encoded alone; the row of its first [EOT], without CLIP's projection."""
    return _row_of(sd, named, 1)


def _row_of(sd: StableDiffusion, named: Sequence[str], from_end: int) -> Tensor:
    """(K,D): the row of each phrase that stands `from_end` before the end of its tokens."""
    rows = [len(sd.tokens(phrase)) - from_end for phrase in named]
    return torch.stack([ctx[row] for ctx, row in zip(sd.encode_text(named), rows, strict=True)])

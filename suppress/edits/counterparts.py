"""The prompt without its targets, laid out on the prompt's own rows: c*_j stands for what row j says without them.

    a    man  with  glasses  and  a    hat  [EOT] …          the rows of the prompt
    a    man  with  with     and  a    hat  [EOT] …          the rows of "a man with and a hat" that take their places

A word that stays has itself as its counterpart, and so has each [EOT], counted from the first. A target's row has the
row before what follows it: the last piece of the words that replace the target, or the word before it. UCE's alignment
of 2023 does the same for whole phrases. Rows before the first target are equal, because the text encoder is causal.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from minisd import StableDiffusion
from minisd.config import CONTEXT

from ..prompt import Prompt, without_targets
from .alignment import MOST, longest_common

Later = Literal["edited", "kept"]  # whether a word form edits the words that follow the target, which carry it too


def edited_rows(prompt: Prompt, later: Later) -> list[int]:
    """The rows of the target, of the words after it if they are edited, and of [EOT]; in ascending order."""
    first = prompt.target[0]
    return [j for j in range(first, CONTEXT) if later == "edited" or j not in prompt.others]


def counterparts(sd: StableDiffusion, prompt: Prompt, instead: str = "") -> Tensor:
    """c* (77,D) in the model's dtype. instead: the words that stand in the place of each target."""
    text = without_targets(prompt, instead)
    old, new = sd.pieces(prompt.text)[:MOST], sd.pieces(text)[:MOST]
    partners = longest_common(old, new, [row - 1 for row in prompt.target])
    place = {0: 0} | {1 + j: 1 + k for k, j in enumerate(partners) if j is not None}
    first_eot, shift = len(old) + 1, len(new) - len(old)
    place |= {j: min(j + shift, CONTEXT - 1) for j in range(first_eot, CONTEXT)}
    paired = set(place)
    for j in reversed(range(first_eot)):
        place.setdefault(j, place[j + 1] - (j + 1 in paired))
    return sd.encode_text(text)[0, [place[j] for j in range(CONTEXT)]]

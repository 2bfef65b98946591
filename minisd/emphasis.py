"""Prompts in which words have weights, as many programs write them: "a man with a (hat:1.3)".

    (hat:1.3)   the weight 1.3        (hat)   1.1        ((hat))   1.1 · 1.1        [hat]   1 / 1.1
    \\( \\) \\[ \\] \\\\   the sign itself

A weight multiplies the embeddings of its tokens. Then all embeddings of the prompt are scaled, so that the mean of
their values is what it was (the rule of AUTOMATIC1111's web UI, whose signs these are):

    c'_j = w_j c_j,   c'' = c' · mean(c) / mean(c')         [SOT] and all [EOT]s have the weight 1

The text encoder never reads a weight, so [EOT] carries the words as before.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import groupby
from typing import Any, SupportsIndex

import torch
from torch import Tensor

from .base.arguments import check_prompt, shown
from .base.errors import UserError
from .config import CONTEXT

STEP = 1.1  # the weight of a pair of round brackets without a number
MOST = 100  # of a weight
LARGEST_SCALE = 10  # of mean(c) / mean(c')

_SIGN = re.compile(r"\\[\\()\[\]]|:\s*(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))\s*\)|[()\[\]]")
_CHANGE = re.compile(r":\s*[\d.]+\s*$")  # of "[from:to:0.5]"
_TO_ESCAPE = re.compile(r"[\\()\[\]]")


class Weighted(str):
    """The text of a prompt, with a weight for each of its characters. Made by `weighted`.

    It is a str, and goes wherever a prompt goes. Slices and sums with other texts keep the weights. What else gives a
    new text, such as upper(), gives one without weights. It equals another one with the same weights, and no plain str.
    """

    weights: tuple[float, ...]  # of each character

    def __new__(cls, text: str, weights: Iterable[float]) -> Weighted:
        made = super().__new__(cls, text)
        made.weights = tuple(weights)
        return made

    def __getnewargs__(self) -> tuple[str, tuple[float, ...]]:  # type: ignore[override]  # for pickle and copy
        return str(self), self.weights

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        part = super().__getitem__(key)
        return Weighted(part, self.weights[key]) if isinstance(key, slice) else part

    def __add__(self, other: str) -> Weighted:
        return Weighted(str(self) + str(other), self.weights + weights_of(other))

    def __radd__(self, other: str) -> Weighted:
        return Weighted(str(other) + str(self), weights_of(other) + self.weights)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Weighted) and str(self) == str(other) and self.weights == other.weights

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((str(self), self.weights))

    def __repr__(self) -> str:
        return repr(markup(self))


def weights_of(text: str) -> tuple[float, ...]:
    """The weight of each character; 1 for all of a plain str."""
    return text.weights if isinstance(text, Weighted) else (1.0,) * len(text)


def weighted(prompt: str, square: bool = True) -> Weighted:
    """The prompt without its signs. It has a weight for each character, also where all of them are 1.

    square: False if [brackets] are no weights. In `suppress` they mark what is to be removed.
    UserError for a bracket without a partner, and for a weight that is no use.
    """
    prompt = unicodedata.normalize("NFC", check_prompt(prompt))  # é is one character
    text, at = "", 0
    weights: list[float] = []
    opened: list[tuple[str, int, int]] = []  # brackets: the sign, where it stands, the characters before its content
    for found in _SIGN.finditer(prompt):
        sign, before = found[0], prompt[at : found.start()]
        at = found.end()
        text, weights = text + before, weights + [1.0] * len(before)
        if sign.startswith("\\") or (sign in "[]" and not square):
            literal = sign.removeprefix("\\")
            text, weights = text + literal, [*weights, 1.0]
        elif sign in "([":
            opened.append((sign, found.start(), len(text)))
        else:
            start = _opening(prompt, opened, found, text)
            factor = _factor(prompt, sign, found["weight"])
            weights[start:] = [weight * factor for weight in weights[start:]]
    if opened:
        raise _no_partner(prompt, opened[-1][1])
    text, weights = text + prompt[at:], weights + [1.0] * (len(prompt) - at)
    return Weighted(text, (round(weight, 6) for weight in weights))  # as `markup` writes them


def markup(text: str) -> str:
    """A text with weights as `weighted` reads it; a plain text unchanged."""
    if not isinstance(text, Weighted):
        return text
    written = ""
    for weight, part in _runs(text):
        literal = _TO_ESCAPE.sub(r"\\\g<0>", part)
        written += literal if weight == 1 else f"({literal}:{weight:.6f}".rstrip("0").rstrip(".") + ")"
    return written


def as_heavy(text: str, other: str) -> str:
    """The text, with the weight that `other` begins with."""
    return Weighted(text, other.weights[:1] * len(text)) if isinstance(other, Weighted) else text


def single_spaced(text: str) -> str:
    """The text with one space between its words, none at its ends. Words keep their weights."""
    words = [text[found.start() : found.end()] for found in re.finditer(r"\S+", text)]
    return reduce(lambda before, word: before + " " + word, words) if words else ""


def _opening(prompt: str, opened: list[tuple[str, int, int]], found: re.Match[str], text: str) -> int:
    """Takes the partner of a closing bracket from `opened`; the number of characters before its content."""
    if not opened or opened[-1][0] != {")": "(", "]": "["}[found[0][-1]]:
        raise _no_partner(prompt, found.end() - 1)
    sign, _, start = opened.pop()
    if sign == "[" and _CHANGE.search(text[start:]):
        raise UserError(
            f"[{text[start:]}] in the prompt {shown(prompt)}: other programs change the prompt so during the drawing; "
            r"here a prompt stays the same. Write \[ for the bracket itself"
        )
    return start


def _factor(prompt: str, sign: str, number: str | None) -> float:
    if number is None:
        return STEP if sign == ")" else 1 / STEP
    if abs(float(number)) > MOST:
        raise UserError(f"the weight {number} in the prompt {shown(prompt)}; expected a number up to {MOST}")
    return float(number)


def _no_partner(prompt: str, at: int) -> UserError:
    return UserError(
        f"the bracket {prompt[at]!r} at character {at + 1} of the prompt {shown(prompt)} has no partner; write "
        rf"\{prompt[at]} for the sign itself"
    )


def _runs(text: str) -> list[tuple[float, str]]:
    """(weight, characters) of the parts that have one weight each"""
    groups = groupby(zip(weights_of(text), str(text), strict=True), key=lambda pair: pair[0])
    return [(weight, "".join(character for _, character in group)) for weight, group in groups]


# ---------------------------------------------------------------------- embeddings


def row_weights(text: str, pieces: Callable[[str], Sequence[str]]) -> Tensor:
    """(77,) float32: the weight of each token. pieces: a text -> its BPE pieces, without [SOT] and [EOT].

    UserError if a weight ends inside a word, since the word is then another one for the text encoder.
    """
    weights: list[float] = []
    found: list[str] = []
    for weight, part in _runs(text):
        theirs = pieces(part)
        found += theirs
        weights += [weight] * len(theirs)
    if found != list(pieces(text)):
        raise UserError(f"the prompt {text!r} has a weight for a part of a word; put the brackets around whole words")
    rows = torch.ones(CONTEXT)
    read = weights[: CONTEXT - 2]
    rows[1 : 1 + len(read)] = torch.tensor(read)
    return rows


def emphasise(ctx: Tensor, weights: Tensor) -> Tensor:
    """c'' (77,D) in the dtype of ctx (77,D). weights (77,).

    UserError if the weights change the mean so much that the scale has no use, as when they are all 0.
    """
    plain = ctx.float()
    heavier = plain * weights.to(ctx.device)[:, None]
    scale = float(plain.mean() / heavier.mean())
    if not 1 / LARGEST_SCALE <= scale <= LARGEST_SCALE:  # also NaN
        raise UserError(
            f"the weights {sorted({round(w, 6) for w in weights.tolist()})} of a prompt change the mean of its "
            f"embeddings by {scale:.3g}; expected a factor from {1 / LARGEST_SCALE:g} to {LARGEST_SCALE}: give weights "
            "nearer to 1"
        )
    return (heavier * scale).to(ctx.dtype)


def apply_weights(ctx: Tensor, prompts: Sequence[Any], pieces: Callable[[str], Sequence[str]]) -> Tensor:
    """ctx (B,77,D) of the prompts, with the weights of those that have some; the others are not touched."""
    if not any(isinstance(prompt, Weighted) for prompt in prompts):
        return ctx
    rows = [
        emphasise(row, row_weights(prompt, pieces)) if isinstance(prompt, Weighted) else row
        for row, prompt in zip(ctx, prompts, strict=True)
    ]
    return torch.stack(rows)

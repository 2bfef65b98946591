"""Which rows of an edited prompt say the same as which rows of the original (Prompt-to-Prompt, Hertz et al. 2022).

    A (77,77):  A_jk > 0 where row k of the edited prompt takes its attention map from row j of the original
                A column of zeros: the row is new and has no such map

[SOT] and the first [EOT] belong together. A padding row belongs to the same row of the original, if this is padding
too. (The authors' code pairs the rows of the padding by position in any case. In a shorter edited prompt, padding then
takes the maps of words, and after an uneven replacement all later words take the maps of their neighbours.)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from minisd.config import CONTEXT

MOST = CONTEXT - 2  # tokens between [SOT] and the first [EOT]


class Alignment(NamedTuple):
    matrix: Tensor  # A (77,77), float32 on the CPU
    new: tuple[int, ...]  # the rows of the edited prompt whose words are not those of the original


def refined(original: Sequence[str], edited: Sequence[str], removed: Collection[int] = ()) -> Alignment:
    """The alignment if words were added or taken out: equal tokens, in the same order, as many as possible.

    original, edited: tokens between [SOT] and [EOT]. removed: the rows of the original that are to go; they are paired
    only if no other row is possible.
    """
    original, edited = original[:MOST], edited[:MOST]
    pairs = longest_common(original, edited, [row - 1 for row in removed])
    matrix = _frame(len(original), len(edited))
    for k, j in enumerate(pairs):
        if j is not None:
            matrix[1 + j, 1 + k] = 1
    return Alignment(matrix, tuple(1 + k for k, j in enumerate(pairs) if j is None))


def replaced(original: Sequence[Sequence[str]], edited: Sequence[Sequence[str]]) -> Alignment:
    """The alignment if some words were replaced: word by word. Both have as many words; a word is its tokens.

    If a word has n tokens in place of m others, each of the n gets the sum of the m maps, divided by n. This keeps the
    attention that the word receives.
    """
    matrix = _frame(sum(map(len, original)), sum(map(len, edited)))
    new: list[int] = []
    j = k = 1
    for old, word in zip(original, edited, strict=True):
        m, n = len(old), len(word)
        block = torch.eye(m) if m == n else torch.full((m, n), 1 / n)
        inside = matrix[j : min(j + m, 1 + MOST), k : min(k + n, 1 + MOST)]  # rows beyond the 77 do not exist
        inside.copy_(block[: inside.shape[0], : inside.shape[1]])
        new += range(k, k + inside.shape[1]) if list(old) != list(word) else ()
        j, k = min(j + m, 1 + MOST), min(k + n, 1 + MOST)
    return Alignment(matrix, tuple(new))


def longest_common(x: Sequence[str], y: Sequence[str], avoided: Collection[int] = ()) -> list[int | None]:
    """For each of y, the position of its partner in x, which is equal to it; None if it has none.

    The pairs do not cross, and there are as many as possible; among those, as few as possible are with positions in
    `avoided`. This is the authors' global alignment (Needleman-Wunsch), because with their scores, 1 for equal tokens,
    -1 for others and 0 for a gap, no unequal tokens are paired.
    """
    gains = [len(x) if i in avoided else len(x) + 1 for i in range(len(x))]  # one more pair always counts for more
    best = [[0] * (len(y) + 1) for _ in range(len(x) + 1)]  # of the first i of x and the first j of y
    for i in range(1, len(x) + 1):
        for j in range(1, len(y) + 1):
            paired = best[i - 1][j - 1] + gains[i - 1] if x[i - 1] == y[j - 1] else 0
            best[i][j] = max(best[i][j - 1], best[i - 1][j], paired)
    partners: list[int | None] = [None] * len(y)
    i, j = len(x), len(y)
    while i and j:
        if best[i][j] == best[i][j - 1]:
            j -= 1
        elif best[i][j] == best[i - 1][j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            partners[j] = i
    return partners


def _frame(original: int, edited: int) -> Tensor:
    """A (77,77) with the pairs of [SOT], the first [EOT] and the padding, for this many tokens between the two."""
    matrix = torch.zeros(CONTEXT, CONTEXT)
    matrix[0, 0] = 1
    ends = 1 + min(original, MOST), 1 + min(edited, MOST)
    matrix[ends] = 1
    padding = torch.arange(max(ends) + 1, CONTEXT)
    matrix[padding, padding] = 1
    return matrix

"""The words of a prompt, and the columns that they have in a cross map."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..base.arguments import shown
from ..base.counted import counted
from ..base.errors import UserError
from ..config import CONTEXT
from ..loading.tokenizer import split_words, word_text

if TYPE_CHECKING:
    from ..pipeline import StableDiffusion

SOT, EOT = "[SOT]", "[EOT]"


def word_columns(pieces: Sequence[str]) -> list[tuple[str, slice]]:
    """A prompt's BPE pieces -> the columns of a cross map for [SOT], for each word, and for [EOT] with its padding."""
    columns, start = [(SOT, slice(0, 1))], 1
    for word in split_words(pieces):
        stop = min(start + len(word), CONTEXT - 1)  # the prompt may be cut inside a word
        if start < stop:
            columns.append((word_text(word), slice(start, stop)))
        start = stop
    return [*columns, (f"{EOT} x{CONTEXT - start}", slice(start, CONTEXT))]


def find_columns(sd: StableDiffusion, prompt: str, word: str) -> tuple[int, ...]:
    """The columns of a word or phrase of the prompt, in ascending order; upper case does not matter.

    "hat" has the columns of every place where it stands, "hat:2" those of the second place only. "[SOT]" and "[EOT]"
    have theirs, the latter with its padding. UserError, with the token table, if the prompt does not have the word.
    """
    first, *words, last = word_columns(sd.pieces(prompt))
    if not isinstance(word, str) or not word.strip():
        raise UserError(f"word = {shown(word)}; expected a word of the prompt, or '{SOT}' or '{EOT}'")
    special = {SOT: first, EOT: last}.get(word.strip().upper())
    if special is not None:
        return tuple(range(CONTEXT)[special[1]])
    places = _places(sd, words, word)
    numbered = re.fullmatch(r"(.*\S)\s*:\s*([0-9]{1,4})", word.strip(), re.S)
    if not places and numbered:
        all_places, n = _places(sd, words, numbered[1]), int(numbered[2])
        if all_places and not 1 <= n <= len(all_places):
            raise UserError(f"{word!r}: {numbered[1]!r} stands at {counted(len(all_places), 'place')} of the prompt")
        places = all_places[n - 1 : n]
    if not places:
        raise UserError(f"the prompt has no {word!r}. Its tokens:\n{token_table(sd, prompt)}")
    return tuple(sorted({column for place in places for column in place}))


def _places(sd: StableDiffusion, words: Sequence[tuple[str, slice]], phrase: str) -> list[list[int]]:
    """The columns of each place where the words of a phrase stand."""
    wanted = [word_text(word) for word in split_words(sd.pieces(phrase))]
    windows = (words[k : k + len(wanted)] for k in range(len(words) - len(wanted) + 1)) if wanted else ()
    return [
        [column for _, columns in window for column in range(CONTEXT)[columns]]
        for window in windows
        if [name for name, _ in window] == wanted
    ]


def token_table(sd: StableDiffusion, prompt: str, rows: Sequence[int] = ()) -> str:
    """One line per token, with its row. `rows` are marked as the target; the [EOT] padding is one line."""
    tokens = sd.tokens(prompt)
    first_eot = len(tokens) - 1
    lines = [f"{i:>6}  {t}{'   <- target' if i in rows else ''}" for i, t in enumerate(tokens[:-1])]
    return "\n".join([*lines, f"{f'{first_eot}-{CONTEXT - 1}':>6}  [EOT]{'   <- carries it too' if rows else ''}"])

"""A prompt as chips: one for each word, to be clicked; and what was clicked as a request.

A word of several tokens is one chip, because a method removes whole words. The same word at two places is two chips.
Chosen neighbours are one phrase: "van", "gogh" -> "van gogh".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from minisd import StableDiffusion, UserError
from minisd.config import CONTEXT
from minisd.loading.tokenizer import piece_labels

from ..prompt import Place, Request, Target, place_rows, read_request, split_words

WORD, MARK, END = "word", "mark", "end"  # what a chip is: a word, punctuation, [EOT]


@dataclass(frozen=True)
class Chip:
    """A word, a mark or [EOT]. Only words can be chosen."""

    text: str  # as it stands in the prompt
    kind: str
    place: Place  # characters of the prompt
    rows: tuple[int, ...]  # of its tokens; none beyond the 77 that the model reads, and for a part of a token
    pieces: tuple[str, ...]  # the text of each token
    number: int  # 1 for the first place of this word, 2 for the second
    chosen: bool = False

    @property
    def key(self) -> tuple[str, int]:
        """The same for a word in a prompt that was changed elsewhere."""
        return self.text.lower(), self.number


def make_chips(sd: StableDiffusion, prompt: str, before: Mapping[str, Any] | None = None) -> tuple[str, list[Chip]]:
    """(the prompt as the model gets it, its chips in order). Weights of words stay in the prompt; no chip shows them.

    before: what the page had (`to_page`). Its chosen words stay chosen if they are still there. Otherwise, and for a
    new prompt, those are chosen that `suppress` takes without `--remove`: what is in [brackets], which are taken out
    of the prompt, or what the prompt negates.
    UserError for a prompt that is no text.
    """
    implied: Request | None = None
    try:
        implied = read_request(prompt, None)
    except UserError:  # nothing is implied; `encode_text` checks the prompt itself
        pass
    text = implied.prompt if implied else prompt
    chips = _plain_chips(sd, str(text))
    chosen = {(text.lower(), number) for text, number in (before or {}).get("chosen", [])}
    if before and before.get("prompt") == str(text):  # other weights are no other words
        return text, [replace(chip, chosen=_can_go(chip) and chip.key in chosen) for chip in chips]
    if not chosen & {chip.key for chip in chips}:
        places = [place for target in implied.found for place in target.places] if implied else []
        chosen = {chip.key for chip in chips if any(a <= chip.place[0] and chip.place[1] <= b for a, b in places)}
    return text, [replace(chip, chosen=_can_go(chip) and chip.key in chosen) for chip in chips]


def to_page(prompt: str, chips: Sequence[Chip]) -> dict[str, Any]:
    """What the page keeps: the prompt, its chips, and which are chosen, as JSON."""
    shown = [asdict(chip) | {"open": _can_go(chip)} for chip in chips]
    return {"prompt": str(prompt), "chips": shown, "chosen": [[c.text, c.number] for c in chips if c.chosen]}


def clicked(prompt: str, chips: Sequence[Chip], further: Sequence[str] = ()) -> Request:
    """The request for the chosen chips. further: phrases that the prompt need not have.

    UserError if there is nothing to remove.
    """
    phrases: dict[str, Target] = {}
    for place in _phrases(prompt, chips):
        words = " ".join(prompt[slice(*place)].split())
        known = phrases.get(words.lower(), Target(words, ()))
        phrases[words.lower()] = replace(known, places=(*known.places, place))
    if not phrases and not further:
        raise UserError("Nothing is chosen. Click the word that should go.")
    found = tuple(phrases.values())
    if further:
        found += read_request(prompt, list(further)).found
    return Request(prompt, found, "as clicked")


def _plain_chips(sd: StableDiffusion, prompt: str) -> list[Chip]:
    labels = piece_labels(sd.pieces(prompt))
    seen: dict[str, int] = {}
    chips = []
    for word, start, end in split_words(prompt):
        number = seen[word] = seen.get(word, 0) + 1
        kind = WORD if word[0].isalnum() or word[0] == "_" else MARK
        rows = _rows(sd, prompt, (start, end))
        chips.append(Chip(prompt[start:end], kind, (start, end), rows, tuple(labels[row - 1] for row in rows), number))
    first_eot = min(len(labels) + 1, CONTEXT - 1)
    rows = tuple(range(first_eot, CONTEXT))
    return [*chips, Chip("[EOT]", END, (len(prompt), len(prompt)), rows, ("[EOT]",), 1)]


def _rows(sd: StableDiffusion, prompt: str, place: Place) -> tuple[int, ...]:
    word = prompt[slice(*place)]
    try:
        [rows] = place_rows(sd, Request(prompt, (Target(word, (place,)),), ""))
    except UserError:  # beyond what the model reads, or a part of a token
        return ()
    return rows


def _can_go(chip: Chip) -> bool:
    return chip.kind == WORD and bool(chip.rows)


def _phrases(prompt: str, chips: Sequence[Chip]) -> list[Place]:
    """The places of the chosen words; neighbours, with only a space between them, are one place."""
    places: list[Place] = []
    for chip in chips:
        if not chip.chosen:
            continue
        start, end = chip.place
        if places and not prompt[places[-1][1] : start].strip():
            places[-1] = places[-1][0], end
        else:
            places.append((start, end))
    return places

"""From words to rows: what is to be removed, and where it stands in the prompt.

A row is the position of a token. [SOT] is row 0, as in the papers' code. A method edits the rows of the target and
those of [EOT]: the first [EOT] is row n-1, and the padding, up to row 76, consists of [EOT] too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from torch import Tensor

from minisd import StableDiffusion, UserError
from minisd.base.arguments import check_prompt, shown
from minisd.base.counted import counted
from minisd.config import CONTEXT
from minisd.emphasis import Weighted, as_heavy, single_spaced, weighted
from minisd.watch.words import token_table

from .negation import find_negations

__all__ = [
    "Prompt",
    "Request",
    "Target",
    "encode",
    "eot_rows",
    "find_places",
    "find_rows",
    "read_request",
    "read_text",
    "token_table",
    "without_targets",
]

Place = tuple[int, int]  # characters of the prompt: prompt[start:end]

# A word or a punctuation mark. "spider-man", "o'clock" and "2.5" are one word each; "man's" begins with the word "man"
_WORD = re.compile(r"\d+(?:[.,]\d+)+|\w+(?:[-‐‑'’](?!s\b)\w+)*|[^\w\s]")
_BRACKETS = re.compile(r"\[([^\[\]]+)\]")


@dataclass(frozen=True)
class Target:
    """A phrase to remove, and the places where it stands, in ascending order; none if the prompt does not have it."""

    phrase: str
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Request:
    """A prompt as the model gets it, and what to remove. `how` says where the targets came from."""

    prompt: str
    found: tuple[Target, ...]
    how: str

    @property
    def targets(self) -> tuple[str, ...]:
        """The phrases, each once."""
        return tuple(target.phrase for target in self.found)

    @property
    def named(self) -> tuple[str, ...]:
        """The targets as `remove` takes them for a prompt without brackets: "hat", or "hat:2" for one place."""
        names: list[str] = []
        for phrase, places in ((target.phrase, target.places) for target in self.found):
            all_places = find_places(self.prompt, phrase)
            every = list(places) == all_places
            names += [phrase] if every else [f"{phrase}:{all_places.index(place) + 1}" for place in places]
        return tuple(names)

    def describe(self) -> str:
        """For the terminal: the targets, where they came from, and how many of several places are meant."""
        lines = [f"{', '.join(map(repr, self.targets))} ({self.how})"]
        for target in self.found:
            phrase, meant = target.phrase, len(target.places)
            count = len(find_places(self.prompt, phrase))
            if meant < count:
                lines.append(f"{meant} of the {count} places where {phrase!r} stands")
            elif not count:
                lines.append(f"{phrase!r} is not in the prompt")
            elif count > 1:
                lines.append(f"all {count} places where {phrase!r} stands; '{phrase}:1' is the first one only")
        return "; ".join(lines)


def read_text(text: str, weights: bool) -> str:
    """A prompt or a negative prompt as it was typed. weights: whether (word:1.3) in it is a weight.

    [word] is none: it marks what to remove. UserError for brackets and weights that cannot be used.
    """
    return weighted(text, square=False) if weights else text


def read_request(prompt: str, remove: str | Sequence[str] | Request | None) -> Request:
    """The prompt, and what to remove from it.

    remove: a phrase, or several. "hat" means every place where the phrase stands, "hat:2" only the second one.
    None means the phrases in [brackets], and the brackets are taken out of the prompt. If there are none, it means what
    the prompt negates ("without glasses or a hat", "no hat", "not smiling"); an article is not part of the phrase.
    Brackets and negations mean only their own place. A Request of this prompt is returned unchanged.
    UserError if nothing is named, and for a number or brackets that fit no place.
    """
    if isinstance(remove, Request):
        if prompt != remove.prompt:
            raise UserError(f"this request is of the prompt {remove.prompt!r}, not of {shown(prompt)}")
        return remove
    if not isinstance(check_prompt(prompt), Weighted):  # `weighted` has done the same
        prompt = unicodedata.normalize("NFC", prompt)  # é is one character, as for CLIP's tokenizer
    if remove is not None:
        return _request(prompt, [_by_name(prompt, name) for name in _names(remove)], "as named")
    if any(marked.strip() for marked in _BRACKETS.findall(prompt)):
        return _in_brackets(prompt)
    negations = find_negations(prompt)
    if negations:
        targets = [Target(_spaced(prompt[start:end]), ((start, end),)) for start, end in negations]
        return _request(prompt, targets, "negated in the prompt")
    raise UserError(
        f"{prompt!r} does not say what to remove. Name it (--remove WORD, remove='WORD'), put it in [brackets], or "
        "negate it: 'without glasses', 'no hat', 'not smiling'"
    )


def find_places(prompt: str, phrase: str) -> list[Place]:
    """The places where the words of a phrase stand in a prompt; upper case does not matter.

    Only whole words count: "man" is not in "spider-man".
    """
    words, wanted = split_words(prompt), [word for word, _, _ in split_words(phrase)]
    windows = (words[k : k + len(wanted)] for k in range(len(words) - len(wanted) + 1))
    return [(w[0][1], w[-1][2]) for w in windows if w and [word for word, _, _ in w] == wanted]


def find_rows(sd: StableDiffusion, prompt: str, remove: str | Sequence[str] | Request | None = None) -> tuple[int, ...]:
    """The rows of what is to be removed (`read_request`), in ascending order. The rows of [EOT] are not among them.

    "a beard" includes the row of the article, "beard" does not. A word of several BPE pieces has as many rows.
    UserError, with the token table, for a phrase that the prompt does not have, and for one that stands beyond the 77
    tokens that the model reads.
    """
    places = place_rows(sd, read_request(prompt, remove))
    return tuple(sorted({row for rows in places for row in rows}))


def place_rows(sd: StableDiffusion, request: Request) -> tuple[tuple[int, ...], ...]:
    """The rows of each place at which a target stands: the words that together name one thing. Errors: `find_rows`."""
    places: list[tuple[int, ...]] = []
    for target in request.found:
        if not target.places:
            raise UserError(_unknown(sd, request.prompt, target.phrase))
        spans = [_span(sd, request.prompt, place) for place in target.places]
        within = [span for span in spans if span.stop <= CONTEXT - 1]  # the last row is [EOT]
        if not within:
            raise UserError(
                f"{target.phrase!r} stands beyond the {CONTEXT - 2} tokens that the model reads, at {spans[0].start}; "
                f"shorten the prompt. It reads:\n{token_table(sd, request.prompt)}"
            )
        places += [tuple(span) for span in within]
    return tuple(places)


def eot_rows(sd: StableDiffusion, prompt: str) -> tuple[int, ...]:
    """The rows of the first [EOT] and of all the padding after it: n-1 … 76."""
    return tuple(range(len(sd.tokens(prompt)) - 1, CONTEXT))


# ---------------------------------------------------------------------- words


def _names(remove: Any) -> list[str]:
    try:
        names = [remove] if isinstance(remove, str) else list(remove)
    except TypeError:  # not something with parts
        names = []
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise UserError(f"remove = {shown(remove)}; expected a word or phrase of the prompt, or a list of them")
    return [unicodedata.normalize("NFC", check_prompt(name)) for name in names]


def _by_name(prompt: str, name: str) -> Target:
    """ "hat" is every place, "hat:2" the second. But a prompt may have these very words, as in "at 3:2"."""
    places = find_places(prompt, name)
    numbered = re.fullmatch(r"(.*\S)\s*:\s*([0-9]{1,4})", name.strip(), re.S)
    if places or not numbered:
        return Target(name, tuple(places))
    phrase, n = numbered[1], int(numbered[2])
    places = find_places(prompt, phrase)
    if not places:
        return Target(phrase, ())
    if not 1 <= n <= len(places):
        raise UserError(
            f"{name!r}: {phrase!r} stands at {counted(len(places), 'place')} of the prompt; expected {phrase}:1 to "
            f"{phrase}:{len(places)}, or {phrase!r} for all of them"
        )
    return Target(phrase, (places[n - 1],))


def _in_brackets(prompt: str) -> Request:
    plain, at = "", 0
    marks: list[Place] = []
    for found in _BRACKETS.finditer(prompt):
        plain += prompt[at : found.start()]
        inside = found[1].strip()
        start = len(plain) + found[1].index(inside)
        marks += [(start, start + len(inside))] if inside else []
        plain += prompt[found.start(1) : found.end(1)]  # a slice keeps the weights of words
        at = found.end()
    plain += prompt[at:]
    for start, end in marks:
        if (start, end) not in find_places(plain, plain[start:end]):
            word = _around(plain, start, end)
            raise UserError(
                f"[{plain[start:end]}] marks a part of the word {word!r}; put the brackets around all of it, or "
                "spaces around the part"
            )
    return _request(plain, [Target(_spaced(plain[start:end]), ((start, end),)) for start, end in marks], "in brackets")


def _request(prompt: str, targets: Iterable[Target], how: str) -> Request:
    """A Request in which each phrase is one Target with all its places."""
    phrases: dict[str, str] = {}  # the phrase in lower case -> the phrase as it was first written
    places: dict[str, set[Place]] = {}
    for target in targets:
        key = target.phrase.lower()
        phrases.setdefault(key, target.phrase)
        places.setdefault(key, set()).update(target.places)
    return Request(prompt, tuple(Target(phrases[key], tuple(sorted(places[key]))) for key in phrases), how)


def split_words(text: str) -> list[tuple[str, int, int]]:
    """(word in lower case, start, end)"""
    return [(m[0].lower(), m.start(), m.end()) for m in _WORD.finditer(text)]


def _spaced(phrase: str) -> str:
    return " ".join(phrase.split())


def _around(prompt: str, start: int, end: int) -> str:
    """prompt[start:end] with all that stands around it up to the next spaces, without punctuation at its ends."""
    before, after = re.search(r"\S*$", prompt[:start]), re.match(r"\S*", prompt[end:])
    word = (before[0] if before else "") + prompt[start:end] + (after[0] if after else "")
    return word.strip(".,;:!?()")


# ---------------------------------------------------------------------- tokens


def _span(sd: StableDiffusion, prompt: str, place: Place) -> range:
    """The rows of a place. UserError if the place does not begin and end at the border of a token."""
    start, end = place
    before, inside, after = (sd.pieces(text) for text in (prompt[:start], prompt[start:end], prompt[end:]))
    if before + inside + after != sd.pieces(prompt):
        raise UserError(_part_of(sd, prompt, place))
    return range(1 + len(before), 1 + len(before) + len(inside))  # [SOT] is row 0


def _unknown(sd: StableDiffusion, prompt: str, phrase: str) -> str:
    inside = re.search(re.escape(phrase.strip()), prompt, re.IGNORECASE)
    if inside:
        return _part_of(sd, prompt, inside.span())
    near = get_close_matches(phrase.lower(), [word for word, _, _ in split_words(prompt)], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    hint += " Some methods, such as gie and sld, also remove what no word of the prompt names."
    return f"the prompt has no {phrase!r}.{hint} Its tokens:\n{token_table(sd, prompt)}"


def _part_of(sd: StableDiffusion, prompt: str, place: Place) -> str:
    part, word = prompt[slice(*place)], _around(prompt, *place)
    return (
        f"the prompt has no {part!r} by itself: it stands inside {word!r}, which is one word. Name the whole word, "
        f"or put spaces around {part!r}. The tokens:\n{token_table(sd, prompt)}"
    )


# ---------------------------------------------------------------------- embeddings


@dataclass(frozen=True, eq=False)  # tensors have no single answer to ==: a prompt equals itself alone
class Prompt:
    """A prompt as the methods get it."""

    request: Request  # its text, and what is to be removed from it
    ctx: Tensor  # (1,77,D)
    uncond: Tensor  # (1,77,D), what guidance leads away from: the negative prompt, or else the empty prompt
    empty: Tensor  # (1,77,D), of the empty prompt
    target: tuple[int, ...]  # rows of the phrases to remove; none of a phrase that the prompt does not have
    eot: tuple[int, ...]  # rows of the first [EOT] and the padding: n-1 … 76
    words: tuple[str, ...]  # the tokens up to the first [EOT], without it; words[0] is [SOT]
    negative: str = ""  # the negative prompt

    @property
    def text(self) -> str:
        return self.request.prompt

    @property
    def targets(self) -> tuple[str, ...]:
        return self.request.targets

    @property
    def others(self) -> tuple[int, ...]:
        """The rows of the words to keep: no [SOT], no [EOT], no target."""
        return tuple(i for i in range(1, self.eot[0]) if i not in self.target)


def encode(
    sd: StableDiffusion,
    prompt: str,
    remove: str | Sequence[str] | Request | None = None,
    needs_words: bool = True,
    negative: str = "",
) -> Prompt:
    """A prompt as the methods get it: its embeddings, and the rows of the targets and of [EOT].

    needs_words: False if a target that the prompt does not have is no error (`Method.needs_words`); it has no rows.
    negative: the negative prompt.
    """
    request = read_request(prompt, remove)
    text = request.prompt
    named = request if needs_words else replace(request, found=tuple(t for t in request.found if t.places))
    rows, words = find_rows(sd, text, named), tuple(sd.tokens(text)[:-1])
    empty = sd.encode_text("")
    uncond = sd.encode_text(negative) if negative else empty
    return Prompt(request, sd.encode_text(text), uncond, empty, rows, eot_rows(sd, text), words, negative)


def without_targets(prompt: Prompt | Request, instead: str = "") -> str:
    """The prompt's text without the phrases to remove. instead: the words that stand in the place of each.

    Words keep their weights (`minisd.weighted`); `instead` has that of what it replaces.
    """
    request = prompt.request if isinstance(prompt, Prompt) else prompt
    text, new, at = request.prompt, "", 0
    for start, end in sorted(place for target in request.found for place in target.places):
        between = text[at:start]  # empty inside a phrase; phrases with only a space between them count as one
        if not at or between.strip():
            new += between + as_heavy(instead, text[start:end])
        at = max(at, end)
    return single_spaced(new + text[at:])

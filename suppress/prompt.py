"""From words to token positions: what is to be removed, and where it stands in the prompt.

Positions count [SOT] as 0, as the papers' code does. The rows that a method edits are those of the target and those
of [EOT], which stands at n-1 and, as padding, up to 76.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from minisd import StableDiffusion, UserError
from minisd.base.arguments import shown
from minisd.config import CONTEXT
from minisd.pipeline import check_prompt

from .negation import find_negations

Place = tuple[int, int]  # characters of the prompt: prompt[start:end]

# A word, or a mark. "spider-man", "o'clock" and "2.5" are one word each; "man's" is "man" and what follows it
_WORD = re.compile(r"\d+(?:[.,]\d+)+|\w+(?:[-‐‑'’](?!s\b)\w+)*|[^\w\s]")
_BRACKETS = re.compile(r"\[([^\[\]]+)\]")


@dataclass(frozen=True)
class Target:
    """A phrase to remove and where it stands, in ascending order; nowhere if the prompt does not have it."""

    phrase: str
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Request:
    """A prompt as the model gets it and what to remove; `how` says where the targets came from."""

    prompt: str
    found: tuple[Target, ...]
    how: str

    @property
    def targets(self) -> tuple[str, ...]:
        """The phrases, each once."""
        return tuple(target.phrase for target in self.found)

    @property
    def named(self) -> tuple[str, ...]:
        """The targets as `remove` takes them for the prompt without brackets: "hat", or "hat:2" for one place."""
        names: list[str] = []
        for phrase, places in ((target.phrase, target.places) for target in self.found):
            there = find_places(self.prompt, phrase)
            every = list(places) == there
            names += [phrase] if every else [f"{phrase}:{there.index(place) + 1}" for place in places]
        return tuple(names)

    def describe(self) -> str:
        """For the terminal: the targets, where they came from, and which places of several are meant."""
        lines = [f"{', '.join(map(repr, self.targets))} ({self.how})"]
        for target in self.found:
            phrase, meant = target.phrase, len(target.places)
            there = len(find_places(self.prompt, phrase))
            if meant < there:
                lines.append(f"{meant} of the {there} places where {phrase!r} stands")
            elif there > 1:
                lines.append(f"all {there} places where {phrase!r} stands, '{phrase}:1' is the first alone")
        return "; ".join(lines)


def read_request(prompt: str, remove: str | Sequence[str] | Request | None) -> Request:
    """What to remove from what.

    remove: a phrase, several, or None: then phrases in [brackets] (the brackets leave the prompt), else what the
    prompt negates ("without glasses or a hat", "no hat", "not smiling"; an article is not part of the phrase).
    A phrase by its name is every place where it stands, and "hat:2" the second alone; brackets and negations mean
    their own place. A Request of the prompt stays what it is.
    UserError where nothing is named, and for a number or brackets that fit no place.
    """
    if isinstance(remove, Request):
        if prompt != remove.prompt:
            raise UserError(f"this request is of the prompt {remove.prompt!r}, not of {shown(prompt)}")
        return remove
    prompt = unicodedata.normalize("NFC", check_prompt(prompt))  # as CLIP's tokenizer does: an accent is no word's end
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
    """Where the words of a phrase stand in a prompt, case aside. Whole words: "man" is not in "spider-man"."""
    words, wanted = _words(prompt), [word for word, _, _ in _words(phrase)]
    windows = (words[k : k + len(wanted)] for k in range(len(words) - len(wanted) + 1))
    return [(w[0][1], w[-1][2]) for w in windows if w and [word for word, _, _ in w] == wanted]


def find_rows(sd: StableDiffusion, prompt: str, remove: str | Sequence[str] | Request | None = None) -> tuple[int, ...]:
    """Token positions of what is to be removed (`read_request`), ascending; [EOT] is not among them.

    "a beard" takes the article, "beard" does not; a word of several BPE pieces takes all of them. UserError, with the
    token table, for a phrase that the prompt does not have or that lies beyond the 77 tokens the model reads.
    """
    request = read_request(prompt, remove)
    rows: set[int] = set()
    for target in request.found:
        if not target.places:
            raise UserError(_unknown(sd, request.prompt, target.phrase))
        spans = [_span(sd, request.prompt, place) for place in target.places]
        read = [span for span in spans if span.stop <= CONTEXT - 1]
        if not read:
            raise UserError(
                f"{target.phrase!r} stands beyond the {CONTEXT - 2} tokens that the model reads, at {spans[0].start}; "
                f"shorten the prompt. It reads:\n{token_table(sd, request.prompt)}"
            )
        rows.update(row for span in read for row in span)
    return tuple(sorted(rows))


def eot_rows(sd: StableDiffusion, prompt: str) -> tuple[int, ...]:
    """The first [EOT] and all the padding after it: n-1 … 76."""
    return tuple(range(len(sd.tokens(prompt)) - 1, CONTEXT))


def token_table(sd: StableDiffusion, prompt: str, rows: Sequence[int] = ()) -> str:
    """One token a line with its position; the target's are marked, and the [EOT] padding is one line."""
    tokens = sd.tokens(prompt)
    last = len(tokens) - 1
    lines = [f"{i:>6}  {t}{'   <- target' if i in rows else ''}" for i, t in enumerate(tokens[:-1])]
    return "\n".join([*lines, f"{f'{last}-{CONTEXT - 1}':>6}  [EOT]{'   <- carries it too' if rows else ''}"])


# ---------------------------------------------------------------------- reading


def _names(remove: Any) -> list[str]:
    try:
        names = [remove] if isinstance(remove, str) else list(remove)
    except TypeError:  # nothing that has parts
        names = []
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise UserError(f"remove = {shown(remove)}; expected a word or phrase of the prompt, or a list of them")
    return [unicodedata.normalize("NFC", check_prompt(name)) for name in names]


def _by_name(prompt: str, name: str) -> Target:
    """ "hat", every place; "hat:2", the second, unless the prompt has these words themselves, as in "at 3:2"."""
    places = find_places(prompt, name)
    numbered = re.fullmatch(r"(.*\S)\s*:\s*([0-9]{1,4})", name.strip(), re.S)
    if places or not numbered:
        return Target(name, tuple(places))
    phrase, n = numbered[1], int(numbered[2])
    there = find_places(prompt, phrase)
    if not there:
        return Target(phrase, ())
    if not 1 <= n <= len(there):
        raise UserError(
            f"{name!r}: {phrase!r} stands at {len(there)} place(s) of the prompt; expected {phrase}:1 to "
            f"{phrase}:{len(there)}, or {phrase!r} for all of them"
        )
    return Target(phrase, (there[n - 1],))


def _in_brackets(prompt: str) -> Request:
    plain, at = "", 0
    marks: list[Place] = []
    for found in _BRACKETS.finditer(prompt):
        plain += prompt[at : found.start()]
        inside = found[1].strip()
        start = len(plain) + found[1].index(inside)
        marks += [(start, start + len(inside))] if inside else []
        plain += found[1]
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
    """With the places of each phrase together."""
    phrases: dict[str, str] = {}  # in small letters -> as it was first written
    places: dict[str, set[Place]] = {}
    for target in targets:
        key = target.phrase.lower()
        phrases.setdefault(key, target.phrase)
        places.setdefault(key, set()).update(target.places)
    return Request(prompt, tuple(Target(phrases[key], tuple(sorted(places[key]))) for key in phrases), how)


def _words(text: str) -> list[tuple[str, int, int]]:
    """(word in small letters, start, end)"""
    return [(m[0].lower(), m.start(), m.end()) for m in _WORD.finditer(text)]


def _spaced(phrase: str) -> str:
    return " ".join(phrase.split())


def _around(prompt: str, start: int, end: int) -> str:
    """What stands between spaces around prompt[start:end], without a sentence's marks."""
    before, after = re.search(r"\S*$", prompt[:start]), re.match(r"\S*", prompt[end:])
    whole = (before[0] if before else "") + prompt[start:end] + (after[0] if after else "")
    return whole.strip(".,;:!?()")


# ---------------------------------------------------------------------- tokens


def _span(sd: StableDiffusion, prompt: str, place: Place) -> range:
    """The rows of a place. UserError where the model's tokens do not begin and end there."""
    start, end = place
    before, inside, after = (sd.pieces(text) for text in (prompt[:start], prompt[start:end], prompt[end:]))
    if before + inside + after != sd.pieces(prompt):
        raise UserError(_part_of(sd, prompt, place))
    return range(1 + len(before), 1 + len(before) + len(inside))  # [SOT] is 0


def _unknown(sd: StableDiffusion, prompt: str, phrase: str) -> str:
    inside = re.search(re.escape(phrase.strip()), prompt, re.IGNORECASE)
    if inside:
        return _part_of(sd, prompt, inside.span())
    near = get_close_matches(phrase.lower(), [word for word, _, _ in _words(prompt)], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"the prompt has no {phrase!r}.{hint} Its tokens:\n{token_table(sd, prompt)}"


def _part_of(sd: StableDiffusion, prompt: str, place: Place) -> str:
    part, word = prompt[slice(*place)], _around(prompt, *place)
    return (
        f"the prompt has no {part!r} by itself: it stands inside {word!r}, which is one word. Name the whole word, "
        f"or put spaces around {part!r}. The tokens:\n{token_table(sd, prompt)}"
    )

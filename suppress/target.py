"""From words to token positions: what is to be removed, and where it stands in the prompt.

Positions count [SOT] as 0, as the papers' code does. The rows that a method edits are those of the target and those
of [EOT], which stands at n-1 and, as padding, up to 76.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from minisd import StableDiffusion, UserError
from minisd.pipeline import CONTEXT
from minisd.tokenizer import pieces_text

# between a negation and what it negates: "not wearing any | hat"
_SKIPPED = set("wearing having holding with a an the any his her its their my your our this that these those".split())
# "of" is not among them: "without a cup of tea"
_PREPOSITIONS = """about above across after against along among around as at before behind below beneath beside besides
    between beyond by despite during except for from in inside into like near next on onto outside over past since
    through throughout till to toward towards under underneath until upon via with within without""".split()
_CONNECTIVES = "and but although because if since so than then though when where while who whose which".split()
_VERBS = "am is are was were be been has have had does do did sits stands looks walks wears holds".split()
_ENDS = {*_SKIPPED, *_PREPOSITIONS, *_CONNECTIVES, *_VERBS}
# nouns that look like participles. Ring, king, string, wing … need not be told: nothing before -ing is a vowel
_NOUNS = set("building ceiling clothing drawing earring evening lighting lightning morning painting piercing".split())
_NOUNS |= set("railing stocking wedding".split())


@dataclass(frozen=True)
class Request:
    """A prompt as the model gets it and the phrases to remove; `how` says where the phrases came from."""

    prompt: str
    targets: tuple[str, ...]
    how: str


def read_request(prompt: str, remove: str | Sequence[str] | None) -> Request:
    """What to remove from what.

    remove: a phrase, several, or None: then phrases in [brackets] (the brackets leave the prompt), else what the
    prompt negates ("without glasses or a hat", "no hat", "not smiling"; an article is not part of the phrase).
    UserError where nothing is named.
    """
    if remove is not None:
        targets = (remove,) if isinstance(remove, str) else tuple(remove)
        if not targets or not all(isinstance(t, str) and t.strip() for t in targets):
            raise UserError(f"remove = {remove!r}; expected a word or phrase of the prompt, or a list of them")
        return Request(prompt, targets, "as named")
    marked = tuple(m.strip() for m in re.findall(r"\[([^\[\]]+)\]", prompt) if m.strip())
    if marked:
        return Request(re.sub(r"\[([^\[\]]+)\]", r"\1", prompt), marked, "in brackets")
    negated = find_negated(prompt)
    if negated:
        return Request(prompt, negated, "negated in the prompt")
    raise UserError(
        f"{prompt!r} does not say what to remove. Name it (--remove WORD, remove='WORD'), put it in [brackets], or "
        "negate it: 'without glasses', 'no hat', 'not smiling'"
    )


def find_negated(prompt: str) -> tuple[str, ...]:
    """The phrases that "without", "no" and "not" take away; after "or" and "nor" the negation goes on.

    Articles, possessives and "wearing" before a phrase do not belong to it. It goes on to the end of the prompt or to
    the first sign of something new: punctuation; an article or the like, with which another noun begins ("glasses | a
    man"); a preposition, connective or auxiliary ("glasses | as a sketch"); and, behind the phrase's first word, a
    participle ("glasses | smiling", but "not smiling"). This is a rule of thumb without grammar: what it found is
    always told, and brackets or `remove` say it better.
    """
    words = re.findall(r"[\w'-]+|[^\w\s]", prompt)
    phrases: list[str] = []
    phrase: list[str] = []
    negating = False

    def close() -> None:
        if phrase:
            phrases.append(" ".join(phrase))
            phrase.clear()

    for word in words:
        low = word.lower()
        if low in ("without", "no", "not"):
            close()
            negating = True
        elif not negating:
            continue
        elif low in ("or", "nor"):
            close()
        elif not phrase and low in _SKIPPED:
            continue
        elif low in _ENDS or not re.match(r"\w", word) or (phrase and _is_participle(low)):
            close()
            negating = False
        else:
            phrase.append(word)
    close()
    return tuple(dict.fromkeys(phrases))


def _is_participle(word: str) -> bool:
    return word not in _NOUNS and re.search(r"[aeiouy].*ing$", word) is not None


def find_rows(sd: StableDiffusion, prompt: str, remove: str | Sequence[str] | None = None) -> tuple[int, ...]:
    """Token positions of the phrases to remove, every occurrence, ascending; [EOT] is not among them.

    "a beard" takes the article, "beard" does not; a word of several BPE pieces takes all of them. UserError, with the
    token table, for a phrase that the prompt does not have or that lies beyond the 77 tokens the model reads.
    """
    request = read_request(prompt, remove)
    pieces = sd.pieces(request.prompt)
    rows: set[int] = set()
    for phrase in request.targets:
        wanted = sd.pieces(phrase)
        starts = [
            s
            for s in range(len(pieces) - len(wanted) + 1)
            if pieces[s : s + len(wanted)] == wanted and (s == 0 or pieces[s - 1].endswith("</w>"))
        ]
        if not wanted or not starts:
            raise UserError(_unknown(sd, request.prompt, phrase))
        read = [s for s in starts if s + len(wanted) <= CONTEXT - 2]
        if not read:
            raise UserError(
                f"{phrase!r} stands beyond the {CONTEXT - 2} tokens that the model reads, at {starts[0] + 1}; shorten "
                f"the prompt. It reads:\n{token_table(sd, request.prompt)}"
            )
        rows.update(s + 1 + k for s in read for k in range(len(wanted)))
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


def _unknown(sd: StableDiffusion, prompt: str, phrase: str) -> str:
    words = pieces_text(sd.pieces(prompt)).split()
    near = get_close_matches(phrase.lower(), words, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"the prompt has no {phrase!r}.{hint} Its tokens:\n{token_table(sd, prompt)}"

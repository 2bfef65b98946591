"""What a prompt negates: "without glasses or a hat", "does not wear a hat", "no longer smiling".

This is a rule of thumb without grammar.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\d+(?:[.,]\d+)+|\w+(?:[-‐‑'’]\w+)*|[^\w\s]")  # "spider-man", "doesn't", "2.5"; a mark
_NEGATION = re.compile(
    r"without|no|not|never|neither|none|cannot|lack(s|ing)?"
    r"|\w+n['’]t|(do|does|did|is|are|was|were|has|have|had)nt"
)
# after a negation these negate nothing: "not only a hat", "no one"
_NO_NEGATION = set("only just merely one matter doubt".split())

_DETERMINERS = "a an the any his her its their my your our this that these those".split()
# "of" is not among them, because of "without a cup of tea"
_PREPOSITIONS = """about above across after against along among around as at before behind below beneath beside besides
    between beyond by despite during except for from in inside into like near next on onto outside over past since
    through throughout till to toward towards under underneath until upon via with within""".split()
_CONNECTIVES = "and but although because if since so than then though when where while who whose which".split()
_VERBS = """am is are was were be been has have had do does did can could will would should may might must
    sits stands looks walks wears holds""".split()
_BEHIND = "there visible present shown seen anymore either whatsoever".split()  # "no hat | visible"
_ENDS = {*_DETERMINERS, *_PREPOSITIONS, *_CONNECTIVES, *_VERBS, *_BEHIND, "wearing", "having", "holding"}

# between a negation and what it negates: "not | wearing any | hat", "no | longer in a | hat"
_HAVING = """wear wears wearing worn have has having hold holds holding carry carries carrying show shows showing
    include includes including contain contains containing feature features featuring draw paint""".split()
_ADVERBS = "longer more ever even yet really actually very too so quite currently".split()
_BETWEEN = {*_DETERMINERS, *_PREPOSITIONS, *_VERBS, *_HAVING, *_ADVERBS, "of", *"'\"‘“"}

# Nouns that look like participles. Ring, king, string, wing … are not listed: they have no vowel before -ing.
_NOUNS = set("building ceiling clothing drawing earring evening lighting lightning morning painting piercing".split())
_NOUNS |= set("railing stocking wedding".split())


def find_negations(prompt: str) -> list[tuple[int, int]]:
    """The places prompt[start:end] of the phrases that the prompt negates. After "or" and "nor" a negation goes on.

    Articles, possessives and words such as "wearing" between the negation and a phrase do not belong to the phrase. The
    phrase ends at the end of the prompt, or before the first sign of something new: punctuation; an article or a
    similar word, which begins another noun ("glasses | a man"); a preposition, a connective or an auxiliary verb
    ("glasses | as a sketch"); and a participle, unless it is the phrase's first word ("glasses | smiling", but "not
    smiling"). The command always says what was found; if it is wrong, brackets or `remove` say it exactly.
    """
    places: list[tuple[int, int]] = []
    phrase: list[re.Match[str]] = []
    negating, before = False, ""

    def close() -> None:
        if phrase:
            places.append((phrase[0].start(), phrase[-1].end()))
            phrase.clear()

    for token in _TOKEN.finditer(prompt):
        word = token[0].lower()
        if _NEGATION.fullmatch(word):
            close()
            negating = (before, word) != ("not", "without")  # "not without glasses": with glasses
        elif not negating:
            pass
        elif word in ("or", "nor"):
            close()
        elif not phrase and word in _BETWEEN:
            pass
        elif _ends(word, bool(phrase)):
            close()
            negating = False
        else:
            phrase.append(token)
        before = word
    close()
    return places


def _ends(word: str, within: bool) -> bool:
    """Whether something new begins with this word. within: the phrase has words before it."""
    if not re.match(r"\w", word) or word in _ENDS:
        return True
    return _is_participle(word) if within else word in _NO_NEGATION


def _is_participle(word: str) -> bool:
    return word not in _NOUNS and re.search(r"[aeiouy].*ing$", word) is not None

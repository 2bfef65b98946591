"""Ways to say "without" (Fig. 19 of Li et al., ICLR 2024): what the model draws for each, and what SWR draws."""

from __future__ import annotations

import re

from ..metrics import Unavailable
from .findings import Findings, Panel, gather, score
from .study import Study

# a negation in front of the target, with the words that belong to it: "that is not wearing any | hat", "with no | hat"
_NEGATION = (
    r"(?:\b(?:that|who|which)\s+)?(?:\b(?:is|are|has|does|do)\s+)?(?:\b(?:wearing|having|holding|with|in)\s+)?"
    r"\b(?:without|not|no|never|(?:is|are|has|does|do)n['’]t)\s+"
    r"(?:(?:longer|wearing|wears?|having|have|holding|holds?|any|in)\s+)*"
)
_ARTICLE = r"\b(?:an?|the)\s+"
# the subject ends before the first of these: "a man | with a beard"
_ENDS = (
    r"\s*(?:,|\b(?:with|without|wearing|having|holding|in|on|at|near|next|beside|behind|by|and|but|who|that|which"
    r"|is|are|not|no)\b)"
)
# things to wear, compared with the last word of a target
_WORN = set("glasses sunglasses spectacles hat cap beanie crown helmet mask scarf tie shirt coat jewelry".split())
_WORN |= set("earring earrings headphones necklace".split())
# What somebody is, not what somebody has. A word directly after "is" or "not" is a state too.
_STATES = set("smiling laughing crying frowning happy sad angry surprised".split())
_UNCOUNTED = set("hair rain snow fog water jewelry makeup".split())  # no article, as with plurals


def phrasing(study: Study) -> Findings:
    """DetScore of the unmodified model and of SWR, for each phrasing of the prompt (`phrase`).

    PSNR and SSIM compare with the original picture of the same phrasing.
    """
    request = study.prompt.request
    if request.named != request.targets:
        raise Unavailable(f"a target stands at several places, and not all are meant: {', '.join(request.named)}")
    phrased, targets = phrase(request.prompt, request.targets)
    plain: list[Panel] = []
    weighted: list[Panel] = []
    for name, text in phrased.items():
        own = study.of(text, targets)
        [drawn] = own.draw([own.weighted], own.settings.start_step)
        for panels, method, pictures in ((plain, "original", own.originals), (weighted, "swr", drawn)):
            label = name if method == "original" else f"{name}, SWR"
            setting = {"phrasing": name, "prompt": text, "method": method}
            panels.append(score(own, label, setting, pictures))
    note = f"from step R = {study.settings.start_step} of {study.settings.steps}"
    return gather(study, [*plain, *weighted], [note, ", ".join(repr(text) for text in phrased.values())])


def phrase(prompt: str, targets: tuple[str, ...]) -> tuple[dict[str, str], tuple[str, ...]]:
    """({"without": "a man without glasses", "no": "a man, no glasses", …}, the targets without articles).

    A thing gets "without", "no" and "with no", and also "not wearing" or "not holding" if one wears or holds it. A
    state (smiling) gets "not" and "that is not". A style gets "not in the style of" and "without the style of".

    If there is a negation in front of the first target, it is replaced, and the rest of the prompt stays. If not, the
    phrasings consist of the prompt's subject and the negated targets: "a man in a hat and glasses", with the target
    "glasses", gives "a man without glasses". The subject is the text before the first "with", "wearing", "in", "and" …
    Unavailable if there is no subject or if it names a target, and if some targets are things and others states.
    """
    bare = tuple(re.sub(rf"^{_ARTICLE}", "", target.strip(), flags=re.I) for target in targets)
    head, thing, tail = _negated(prompt, bare[0]) or _subject(prompt, bare)
    plain = re.sub(_ARTICLE, "", thing, flags=re.I)  # "no" takes the place of an article
    joined = bool(re.search(r"(?:^|,|\b(?:and|but))$", head, re.I))  # after these, no comma and no "that"
    if "style of" in thing:
        forms = {"not in": f" not in {thing}", "without": f" without {thing}"}
    elif _is_state(prompt, bare[0]):
        forms = {"not": f" not {thing}"} | ({} if joined else {"that is not": f" that is not {thing}"})
    else:
        forms = {
            "without": f" without {thing}",
            "no": f"{'' if joined else ','} no {plain}",
            "with no": f" with no {plain}",
        }
        if verb := _verb(prompt, bare):
            forms[f"not {verb}"] = f" not {verb} {thing}"
    return {name: f"{head}{form}{tail}".strip() for name, form in forms.items()}, bare


def _negated(prompt: str, target: str) -> tuple[str, str, str] | None:
    """(the text before the negation, the negated thing with its article, the rest); None without a negation"""
    found = re.search(rf"({_NEGATION})({_ARTICLE})?((?:style of )?{re.escape(target)})\b", prompt, re.I)
    if not found:
        return None
    negation, article, thing = found[1], found[2] or "", found[3]
    if re.search(r"\b(?:no|any)\s+$", negation, re.I):  # these replaced the article
        article = _indefinite(thing)
    return prompt[: found.start()].rstrip(), f"{article}{thing}", prompt[found.end() :]


def _subject(prompt: str, bare: tuple[str, ...]) -> tuple[str, str, str]:
    """(the prompt's subject, its targets with their articles, "")"""
    subject = re.split(_ENDS, prompt, maxsplit=1, flags=re.I)[0].strip()
    named = [t for t in bare if re.search(rf"\b{re.escape(t)}\b", subject, re.I)]
    if not subject or named:
        raise Unavailable(f"{prompt!r} has no negation in front of {bare[0]!r} and no subject apart from it")
    if len({_is_state(prompt, t) for t in bare}) > 1:
        raise Unavailable(f"{' and '.join(map(repr, bare))} cannot be negated in one phrase")
    found = [re.search(rf"({_ARTICLE})?(?:style of )?{re.escape(t)}\b", prompt, re.I) for t in bare]
    return subject, " or ".join(m[0] if m else t for m, t in zip(found, bare, strict=True)), ""


def _is_state(prompt: str, target: str) -> bool:
    return target.lower() in _STATES or bool(re.search(rf"\b(?:is|are|not)\s+{re.escape(target)}\b", prompt, re.I))


def _verb(prompt: str, bare: tuple[str, ...]) -> str:
    """ "wearing" or "holding" if it fits all the targets, else an empty text."""
    said = re.search(rf"\b(wearing|holding)\s+(?:no\s+|any\s+|{_ARTICLE})?{re.escape(bare[0])}\b", prompt, re.I)
    if said and len(bare) == 1:
        return said[1].lower()
    return "wearing" if all(t.lower().split()[-1] in _WORN for t in bare) else ""


def _indefinite(thing: str) -> str:
    last = thing.lower().split()[-1]
    if last in _UNCOUNTED or (last.endswith("s") and not last.endswith("ss")):
        return ""
    return "an " if thing[0].lower() in "aeiou" else "a "

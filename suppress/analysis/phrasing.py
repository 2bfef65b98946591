"""Ways to say "without" (Fig. 19 of Li et al., ICLR 2024): what the model makes of each, and what SWR does."""

from __future__ import annotations

import re

from ..metrics import Unavailable
from .findings import Findings, Panel, gather
from .study import Study

# a negation in front of the target: "not wearing any | hat"
_NEGATION = r"\b(?:with no|without|not|no)\s+(?:(?:wearing|having|holding|any)\s+)*"
# the first of these ends the subject: "a man | with a beard"
_ENDS = r"\s*(?:,|\b(?:with|without|wearing|having|holding|in|on|at|near|next|beside|behind|and|who|that|is|not|no)\b)"


def phrasing(study: Study) -> Findings:
    """DetScore of the unmodified model and of SWR for each phrasing of the prompt (`phrase`).

    Each phrasing has its own original, to which SSIM compares.
    """
    phrased, targets = phrase(study.prompt.text, study.prompt.targets)
    plain: list[Panel] = []
    weighted: list[Panel] = []
    for name, text in phrased.items():
        own = study.of(text, targets)
        [drawn] = own.draw([own.weighted], own.settings.first)
        for panels, method, pictures in ((plain, "original", own.originals), (weighted, "swr", drawn)):
            psnr, ssim = own.judge.likeness(pictures, own.originals)
            scores = {"det_score": own.judge.presence(pictures), "psnr": psnr, "ssim": ssim}
            label = name if method == "original" else f"{name}, SWR"
            setting = {"phrasing": name, "prompt": text, "method": method}
            panels.append(Panel(label, setting, pictures, scores))
    note = f"from step R = {study.settings.first} of {study.settings.steps}"
    return gather(study, [*plain, *weighted], [note, ", ".join(repr(text) for text in phrased.values())])


def phrase(prompt: str, targets: tuple[str, ...]) -> tuple[dict[str, str], tuple[str, ...]]:
    """({"without": "a man without glasses", "no": "a man no glasses", …}, the targets without articles).

    The negation in front of the first target is replaced, and the rest of the prompt stays. Where there is none, the
    prompt is its subject and the negated targets: "a man in a hat and glasses" without "glasses" gives "a man without
    glasses". The subject is what comes before the first "with", "wearing", "in", "and", …
    Unavailable where that is nothing, or names a target itself.
    """
    bare = tuple(re.sub(r"^(?:an?|the)\s+", "", target.strip(), flags=re.I) for target in targets)
    found = re.search(rf"{_NEGATION}((?:an?|the)\s+)?({re.escape(bare[0])})\b", prompt, re.I)
    if found:
        head, tail = prompt[: found.start()], prompt[found.end() :]
        article, thing = found[1] or "", found[2]
    else:
        subject = re.split(_ENDS, prompt, maxsplit=1, flags=re.I)[0].strip()
        named = [t for t in bare if re.search(rf"\b{re.escape(t)}\b", subject, re.I)]
        if not subject or named:
            raise Unavailable(f"{prompt!r} has no negation in front of {bare[0]!r} and no subject apart from it")
        head, tail, article, thing = f"{subject} ", "", "", " or ".join(bare)
    # "no" takes the place of an article
    articles = {"without": article, "no": "", "with no": "", "not wearing": article}
    return {name: f"{head}{name} {kept}{thing}{tail}" for name, kept in articles.items()}, bare

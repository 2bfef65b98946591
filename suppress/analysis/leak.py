"""How much of the target each token's embedding carries: which rows change when another word replaces the target.

This is not in the paper. It tells whether soft weighting can work for a prompt. The text encoder is causal, so the
words before the target never change. The words after it do change, and SWR does not edit their rows. If these rows
carry much of the target, it will be drawn.

    leak_j = mean over swaps p' of |c_j(p) - c_j(p')| / |c_j(p)|

There are three forms of c: as the encoder gives it; after SWR; and with the target hidden inside the encoder and its
own rows zero, which is Unread's context and leaks nothing by construction. (If no word follows the target, Unread uses
SWR's context instead; the third form still shows what hiding does.) The divisor is always the norm of the untouched
embedding, so the three forms can be compared, and a row that SWR makes small carries little.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from minisd import StableDiffusion
from minisd.loading.tokenizer import pieces_text

from ..edits.rows import zero
from ..edits.spectrum import soft_weight
from ..metrics import Unavailable
from .embeddings import token_names
from .findings import Findings
from .study import Study

# Ordinary things. Each is one token for CLIP; those in the first line are one token for the embedded model too.
NOUNS = (
    "hat scarf mask beard crown umbrella flower cake balloon dog cat car robot lamp moon shirt cap glasses "
    "chair table book cup phone door tree horse"
).split()
SWAPS = 8  # with so many, other words change the mean by a few hundredths only

FORMS = ("original", "swr", "hidden")


def leak(study: Study) -> Findings:
    """One line for each of the 77 rows: its token, its part of the prompt, and its leak in the three forms."""
    prompt = study.prompt
    swaps = swap_target(study.sd, prompt.text, prompt.target)
    originals = _forms(study, prompt.text)
    norm = originals["original"].norm(dim=-1)
    total = {form: torch.zeros_like(norm) for form in FORMS}
    for text in swaps.values():
        for form, ctx in _forms(study, text).items():
            total[form] += (ctx - originals[form]).norm(dim=-1) / norm
    rows: list[dict[str, Any]] = [
        {"position": j, "token": token, "part": part_of(study, j)}
        | {form: float(total[form][j]) / len(swaps) for form in FORMS}
        for j, token in enumerate(token_names(study))
    ]
    return Findings(rows, notes=[f"target swapped with {', '.join(swaps)}"])


def _forms(study: Study, text: str) -> dict[str, Tensor]:
    """The prompt's embeddings (77,D) in each form, in float64.

    The encoder gets one prompt at a time, so that rows with equal inputs come out equal to the bit.
    """
    ctx = study.sd.encode_text(text)
    rows, gamma = study.rows, study.settings.gamma
    target = study.prompt.target
    hidden = zero(study.sd.encode_text(text, hidden=target), target)
    forms = {"original": ctx, "swr": soft_weight(ctx, rows, gamma), "hidden": hidden}
    return {form: c[0].cpu().double() for form, c in forms.items()}


def part_of(study: Study, j: int) -> str:
    """The part of the prompt to which row j belongs: before, target, after or eot."""
    target, eot = study.prompt.target, study.prompt.eot
    if j in target:
        return "target"
    if j >= eot[0]:
        return "eot"
    return "before" if j < target[0] else "after"


# ---------------------------------------------------------------------- other words


def swap_target(sd: StableDiffusion, prompt: str, target: Sequence[int]) -> dict[str, str]:
    """{"hat": "a man without hat", …}: the prompt with other words in the target's rows.

    A swap has as many BPE pieces as the phrase that it replaces, so all other tokens keep their rows. It is a noun of
    that many pieces or, after these, a sequence of one-piece nouns ("hat scarf" for "van gogh"). It shares no piece
    with the prompt. If the target stands at several places, all are swapped together.
    Unavailable if the vocabulary has no such words, or if the prompt's text cannot be rebuilt from its pieces.
    """
    pieces = sd.pieces(prompt)
    spans = _spans(target)
    nouns = {noun: sd.pieces(noun) for noun in NOUNS}
    nouns = {noun: p for noun, p in nouns.items() if not set(p) & set(pieces)}
    choices = {length: _phrases(nouns, length) for length in {len(span) for span in spans}}
    swaps: dict[str, str] = {}
    for k in range(min(map(len, choices.values()))):
        swapped = list(pieces)
        for span in spans:
            swapped[span[0] - 1 : span[-1]] = choices[len(span)][k]  # [SOT] is row 0
        text = pieces_text(swapped)
        if sd.pieces(text) == swapped:
            name = " / ".join(dict.fromkeys(pieces_text(choices[len(span)][k]) for span in spans))
            swaps[name] = text
    if not swaps or sd.pieces(pieces_text(pieces)) != pieces:
        raise Unavailable(f"{sd.name}'s vocabulary has no other words to put in the target's place in {prompt!r}")
    return swaps


def _spans(target: Sequence[int]) -> list[list[int]]:
    """Runs of neighbouring rows. Each run is one place where the target stands."""
    runs = groupby(enumerate(target), key=lambda pair: pair[1] - pair[0])
    return [[row for _, row in run] for _, run in runs]


def _phrases(nouns: dict[str, list[str]], length: int) -> list[list[str]]:
    """Up to SWAPS lists of `length` pieces."""
    single_nouns = [p for p in nouns.values() if len(p) == length]
    short = [p[0] for p in nouns.values() if len(p) == 1]
    sequences = [short[k : k + length] for k in range(len(short) - length + 1)] if length > 1 else []
    return [*single_nouns, *sequences][:SWAPS]


# ---------------------------------------------------------------------- as text


def summarise(findings: Findings) -> list[dict[str, Any]]:
    """The lines of the words, unchanged, and one line for [EOT]: the mean over its rows, "5-76"."""
    words = [row for row in findings.rows if row["part"] != "eot"]
    eot = [row for row in findings.rows if row["part"] == "eot"]
    span = f"{eot[0]['position']}-{eot[-1]['position']}"
    mean = {form: sum(row[form] for row in eot) / len(eot) for form in FORMS}
    return [*words, {"position": span, "token": "[EOT]", "part": "eot"} | mean]


def table(findings: Findings) -> str:
    """For the terminal: one line per token, and a last line that says what this means for SWR."""
    lines = [f"{'':>6}  {'carries of the target':<22}{'original':>10}{'SWR':>9}{'hidden':>9}"]
    for row in summarise(findings):
        name = row["token"] + ("   <- target" if row["part"] == "target" else "")
        cells = "".join(f"{row[form]:>{width}.1%}" for form, width in zip(FORMS, (10, 9, 9), strict=True))
        lines.append(f"{row['position']:>6}  {name:<22}{cells}")
    return "\n".join([*lines, verdict(findings)])


def verdict(findings: Findings) -> str:
    """A sentence: which of the rows that SWR does not edit carries most of the target after SWR."""
    after = [row for row in findings.rows if row["part"] == "after"]
    if not after:
        return "No other word follows the target: every row that carries it is one that SWR edits."
    worst = max(after, key=lambda row: row["swr"])
    return (
        f"SWR does not edit the words after the target; {worst['token']!r} ({worst['position']}) carries most of it, "
        f"{worst['swr']:.0%} of its norm. `--method unread` leaves nothing there."
    )

"""SSDV: "Selective Suppression with Delta Vector" (Koh et al., ICCV 2025, arXiv 2508.10407).

It is for content that a word implies without naming it, such as the glasses of a certain person. δ is the row of the
unwanted word in the encoding of this word alone (its last row, if it has several pieces). The subject stands twice in
the monitor prompt, and the rows h of its second mention are the handle:

    c = encoding of "a photo of SUBJECT SUBJECT."        form="monitor", the authors' code
    c⁺_h = c_h + α δ,     c⁻_h = c_h - α δ,              all other rows: c
    K = W_K c⁺,           V = W_V c⁻                     in all cross layers and steps, in the pass with the prompt

So attention goes where the unwanted thing would be drawn, and what it fetches there points away from it. ∅ does not
change. The user's prompt is not read at all. `kept()` keeps it: c is the encoding of the prompt followed by its
subject once more ("a man in a hat man"), and the last word is the handle.

α = 0 is no edit of the user's prompt: it draws the monitor prompt (or the prompt with its second subject) as it is.
Several targets: their δ are added. The paper also has a δ that is optimised on pictures, and announces a local blend
(`--keep-outside` is one); both are left out. Cost: that of plain guidance.

`unit="handle"` scales each δ to the length of the handle's row. This was meant to carry α over between checkpoints, and
does not: the text encoder ends in a LayerNorm, so that all rows have nearly one length (13.3 on the drawn world, to one
per cent), and δ has it already. The embedded model just needs a larger α in the user's prompt.

On the drawn world (six prompts × 3 seeds, 25 steps, R = .1): the monitor prompt at α = .4 removes all targets but a
flower (DetScore .00 to .33, flower 1.00), and draws another picture (SSIM .23 to .63), since the prompt's other words
are gone. α = 1 breaks some faces. The user's own prompt at α = .4 stays as it is (1.00), and at α = 1, which is in
weights/tiny/defaults.json, glasses, cap and "van gogh" are gone (.00) and beards fade (.33). What is spread over the
picture (snow, .55) breaks it, and a flower beside the subject stays (1.00).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from minisd import Part, UserError
from minisd.base.arguments import check_prompt, number, one_of, shown

from ..edits.concepts import last_pieces
from ..edits.maps import Maps
from ..edits.taps import VContext
from ..prompt import Prompt, find_places, find_rows
from ..protocol import Edit, Inputs, Method
from ..world.spec import KINDS

if TYPE_CHECKING:
    from ..loop import Run

SUBJECTS = (*KINDS, "person", "child", "people", "face")  # words that are the subject if none is named


@dataclass(frozen=True)
class SSDV(Method):
    """Settings. The default is the authors' code."""

    start: int | float = 0  # all steps; from the code
    alpha: float = 0.4  # α; from the code, which says to adjust it; it is for SD v1.5
    # the length of δ: its own (code), or that of the handle's row (this project's own)
    unit: Literal["delta", "handle"] = "delta"
    # the prompt with the handle: the monitor prompt (code), or the user's own (this project's own)
    form: Literal["monitor", "kept"] = "monitor"
    subject: str = ""  # the word that implies the targets; empty: the first of SUBJECTS in the prompt

    @classmethod
    def kept(cls, **changes: Any) -> SSDV:
        """The form that keeps the user's prompt; this project's own."""
        return cls(**({"form": "kept"} | changes))

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "alpha", number("alpha", self.alpha, -math.inf))
        one_of("unit", self.unit, ("delta", "handle"))
        one_of("form", self.form, ("monitor", "kept"))
        check_prompt(self.subject)

    def handled_text(self, prompt: Prompt) -> tuple[str, str]:
        """(the prompt that is drawn, its subject). UserError if there is no subject."""
        subject = self.subject or first_subject(prompt)
        if self.form == "monitor":
            text = f"a photo of {subject} {subject}."
        else:
            text = prompt.text + f" {subject}"  # a sum keeps the weights of words
        if not find_places(text, subject):
            raise UserError(f"subject = {shown(subject)}; expected a word, or several")
        return text, subject

    def remark(self, prompt: Prompt) -> str:
        return f"the prompt that is drawn is {self.handled_text(prompt)[0]!r}, α = {self.alpha:g}"

    @property
    def needs_words(self) -> bool:
        return False

    def edit(self, run: Run) -> Edit:
        return SSDVEdit(self, run)


class SSDVEdit(Edit):
    def __init__(self, settings: SSDV, run: Run):
        super().__init__(run)
        self.settings = settings
        self.keys, values = run.per_prompt(self._contexts).unbind(1)  # c⁺, c⁻ (B,77,D)
        self.tap = Part(VContext(values), slice(run.batch, None))

    def _contexts(self, prompt: Prompt) -> Tensor:
        """(1,2,77,D): c⁺ and c⁻."""
        sd = self.run.sd
        text, subject = self.settings.handled_text(prompt)
        handle = list(find_rows(sd, text, f"{subject}:{len(find_places(text, subject))}"))
        ctx = sd.encode_text(text)  # (1,77,D)
        shift = torch.zeros_like(ctx)
        for delta in last_pieces(sd, prompt.targets):  # (D,)
            if self.settings.unit == "handle":
                delta = delta * (ctx[:, handle].norm(dim=-1, keepdim=True) / delta.norm())
            shift[:, handle] += self.settings.alpha * delta
        return torch.stack([ctx + shift, ctx - shift], dim=1)

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        return replace(same, contexts=(same.contexts[0], self.keys), tap=self.tap)


def first_subject(prompt: Prompt) -> str:
    """The first of SUBJECTS that stands in the prompt outside the targets. UserError if there is none."""
    taken = [place for target in prompt.request.found for place in target.places]
    found = [
        (start, word)
        for word in SUBJECTS
        for start, end in find_places(prompt.text, word)
        if not any(first <= start and end <= stop for first, stop in taken)
    ]
    if not found:
        raise UserError(
            f"{prompt.text!r} has none of the subjects {', '.join(SUBJECTS)}; name the one that implies "
            f"{', '.join(map(repr, prompt.targets))}, as in --method ssdv:subject=WORD"
        )
    return min(found)[1]

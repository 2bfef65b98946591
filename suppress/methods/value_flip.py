"""Values with the opposite sign: NegPiP (hako-mikan, 2023) and VSF ("Value Sign Flip", 2025, arXiv 2508.10931).

The unwanted word keeps its keys, so that pixels still look where it would be drawn, and fetch the opposite of it there.
At every cross attention of the edited branch (c: the prompt's context, ∅: the empty prompt's, a < 0: the scale):

appended    The word is cut from the prompt. n (L,D): the rows 1 … first [EOT] of its own encoding.
                Z = softmax([Q K(c)^T / √d,  Q K(n)^T / √d - β]) [V(c); f V(n)]
            VSF: f = a = -α. NegPiP as an extension of the web UI: f = sign(a), and n's words are times |a|; its code
            appends [SOT] and the pads as well, and flips the words alone (pads="kept"). What is appended has no place:
            "hat:2" cuts the second hat, and acts on all.
in-place    NegPiP in ComfyUI-ppm. The word stays in the prompt; at its rows
                K = K(r),   V = sign(a) V(r),   r = ∅ + |a| (c - ∅)
continuous  There the picture jumps at a = 0, by 2 V(∅). Here it does not, and a = 1 is the original:
                K = K(c),   V = V(∅) + a (V(c) - V(∅))

All of it happens in the pass with the prompt, and guidance enlarges it. VSF's models draw without guidance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd import Part, UserError
from minisd.base.arguments import number, shown

from ..edits.maps import Maps
from ..edits.taps import Append, VContext
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run

APPENDED = ("weighs", "word", "pads", "bias")  # settings of that form alone


@dataclass(frozen=True)
class ValueFlip(Method):
    """The default is NegPiP with the rows above; `vsf()` is VSF."""

    start: int | float = 0  # all steps, as published
    form: Literal["appended", "in-place", "continuous"] = "appended"
    scale: float = -1.0  # a; NegPiP's README has "(word:-1)", and -1.6 and -1.8 in its examples
    weighs: Literal["rows", "values"] = "rows"  # what |a| multiplies: NegPiP's rows, in keys and values; VSF's values
    bias: float = 0.0  # β; NegPiP has none
    word: Literal["cut", "kept"] = "cut"  # the word in the prompt; NegPiP cuts it
    pads: Literal["cut", "kept"] = "cut"  # kept: what is appended has 77 rows, as in NegPiP's code
    eot: Literal["kept", "flipped"] = "kept"  # flipped: the prompt's [EOT] and pads too, as they carry the word

    @classmethod
    def vsf(cls, **changes: Any) -> ValueFlip:
        """VSF for cross attention: α 1.7 and β .2 are its README's, for Wan 2.1 (for SD 3.5: 3.5 and .1)."""
        published: dict[str, Any] = {"scale": -1.7, "weighs": "values", "bias": 0.2}
        return cls(**(published | changes))

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scale", number("scale", self.scale, -math.inf))
        object.__setattr__(self, "bias", number("bias", self.bias))
        hints = get_type_hints(ValueFlip)
        for name in ("form", "weighs", "word", "pads", "eot"):
            value, choices = getattr(self, name), get_args(hints[name])
            if not (isinstance(value, str) and value in choices):
                raise UserError(f"{name} = {shown(value)}; expected {' or '.join(choices)}")
        for field in fields(self):
            own = "appended" if field.name in APPENDED else "in-place or continuous" if field.name == "eot" else ""
            if own and getattr(self, field.name) != field.default and self.form not in own:
                raise UserError(f"{field.name} = {shown(getattr(self, field.name))}; it is for form={own} only")

    def edit(self, run: Run) -> Edit:
        return Appended(self, run) if self.form == "appended" else InPlace(self, run)


class InPlace(Edit):
    """Also the continuous form: other rows for the keys, and other ones for the values."""

    def __init__(self, settings: ValueFlip, run: Run):
        super().__init__(run)
        self.settings = settings
        self.keys, values = run.per_prompt(self._rows).unbind(1)  # (B,77,D) each
        self.tap = Part(VContext(values), slice(run.batch, None))

    def _rows(self, prompt: Prompt) -> Tensor:
        """(1,2,77,D): what W_K and what W_V get."""
        a, c, empty = self.settings.scale, prompt.ctx, prompt.uncond
        keys = c if self.settings.form == "continuous" else empty + abs(a) * (c - empty)
        # W_V has no bias: V(-r) = -V(r)
        values = empty + a * (c - empty) if self.settings.form == "continuous" else math.copysign(1, a) * keys
        flipped = torch.zeros(c.shape[1], 1, dtype=torch.bool, device=c.device)
        flipped[[*prompt.target, *(prompt.eot if self.settings.eot == "flipped" else ())]] = True
        return torch.stack([torch.where(flipped, new, c) for new in (keys, values)], dim=1)

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        return replace(same, contexts=(same.contexts[0], self.keys), tap=self.tap)


class Appended(Edit):
    def __init__(self, settings: ValueFlip, run: Run):
        super().__init__(run)
        self.settings = settings
        self.ctx = (
            run.per_prompt(lambda p: run.sd.encode_text(without_targets(p))) if settings.word == "cut" else run.ctx
        )
        negative = {prompt: self._negative(prompt) for prompt in dict.fromkeys(run.prompts)}
        counts = {prompt: rows.shape[1] for prompt, rows in negative.items()}
        most = max(counts.values())
        # samples with fewer rows are filled up; a bias of -∞ gives what fills them no part of the softmax
        rows = run.per_prompt(lambda p: F.pad(negative[p], (0, 0, 0, most - counts[p]))[None])  # (B,2,most,D)
        bias = run.per_prompt(lambda p: self._bias(counts[p], most)).to(run.ctx.device)
        self.tap = Part(Append(rows[:, 0], rows[:, 1], bias), slice(run.batch, None))

    def _negative(self, prompt: Prompt) -> Tensor:
        """(2,L,D): the rows to append, for the keys and for the values."""
        a, sd = self.settings.scale, self.run.sd
        found = sd.encode_text(prompt.targets)
        rows = []
        for target, ctx in zip(prompt.targets, found, strict=True):
            words = len(sd.tokens(target)) - 2
            rows += [ctx[1 : words + 1] * (abs(a) if self.settings.weighs == "rows" else 1), ctx[words + 1 :][:1]]
        n = torch.cat(rows)
        flipped = n * (math.copysign(1, a) if self.settings.weighs == "rows" else a)  # W_V has no bias: V(-n) = -V(n)
        if self.settings.pads == "cut":
            return torch.stack([n, flipped])
        sot, end = found[0, :1], found[0, -1:].expand(max(found.shape[1] - 1 - len(n), 0), -1)
        return torch.stack([torch.cat([sot, n, end]), torch.cat([sot, flipped[:-1], n[-1:], end])])

    def _bias(self, rows: int, most: int) -> Tensor:
        """(1,77+most), added to the logits: 0 for the prompt, -β for what is appended, -∞ for what fills it up."""
        parts = [torch.zeros(self.ctx.shape[1]), torch.full((rows,), -self.settings.bias)]
        return torch.cat([*parts, torch.full((most - rows,), -math.inf)])[None]

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        return replace(same, contexts=(same.contexts[0], self.ctx), tap=self.tap)


def without_targets(prompt: Prompt) -> str:
    """The prompt's text after the phrases were cut out."""
    inside = {k for target in prompt.request.found for start, end in target.places for k in range(start, end)}
    return " ".join("".join(c for k, c in enumerate(prompt.text) if k not in inside).split())

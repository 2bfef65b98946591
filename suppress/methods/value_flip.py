"""Values with the opposite sign: NegPiP (hako-mikan, 2023) and VSF ("Value Sign Flip", 2025, arXiv 2508.10931).

The unwanted word keeps its keys, so the same pixels attend to it as if it were drawn. But its values change their sign,
so these pixels get the opposite of it. There are three forms, for every cross attention of the edited branch (c: the
context of the prompt, ∅: that of the empty prompt, a < 0: the scale):

appended    The word is cut from the prompt. n (L,D): rows 1 to the first [EOT] of the word's own encoding.
                Z = softmax([Q K(c)^T / √d,  Q K(n)^T / √d - β]) [V(c); f V(n)]
            VSF has f = a = -α. NegPiP's extension of the web UI has f = sign(a), and multiplies the words of n by |a|.
            Its code also appends [SOT] and the padding, and flips only the words (pads="kept"). The appended rows do
            not belong to one place of the prompt: "hat:2" cuts only the second hat, but acts on all hats.
in-place    NegPiP in ComfyUI-ppm. The word stays in the prompt, and at its rows
                K = K(r),   V = sign(a) V(r),   r = ∅ + |a| (c - ∅)
continuous  With in-place, the values jump by 2 V(∅) at a = 0. This form has no jump, and a = 1 is the original:
                K = K(c),   V = V(∅) + a (V(c) - V(∅))

All forms act in the pass with the prompt, so guidance enlarges their effect. VSF's models draw without guidance.
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
from ..edits.negative import without_words
from ..edits.taps import Append, VContext
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run

APPENDED = ("weighs", "word", "pads", "bias")  # settings that only the form "appended" has


@dataclass(frozen=True)
class ValueFlip(Method):
    """Settings. The default is NegPiP in the form "appended"; `vsf()` is VSF."""

    start: int | float = 0  # all steps, as published
    form: Literal["appended", "in-place", "continuous"] = "appended"
    scale: float = -1.0  # a; NegPiP's README has "(word:-1)", and -1.6 and -1.8 in its examples
    weighs: Literal["rows", "values"] = "rows"  # |a| multiplies the rows (so keys and values), or only VSF's values
    bias: float = 0.0  # β; NegPiP has none
    word: Literal["cut", "kept"] = "cut"  # whether the word stays in the prompt; NegPiP cuts it
    pads: Literal["cut", "kept"] = "cut"  # kept: 77 rows are appended, as in NegPiP's code
    eot: Literal["kept", "flipped"] = "kept"  # flipped: also the prompt's [EOT] and padding, which carry the word

    @classmethod
    def vsf(cls, **changes: Any) -> ValueFlip:
        """VSF for cross attention. α = 1.7 and β = .2 are from its README, for Wan 2.1 (3.5 and .1 for SD 3.5)."""
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

    @property
    def needs_words(self) -> bool:
        return self.form != "appended"

    def edit(self, run: Run) -> Edit:
        return Appended(self, run) if self.form == "appended" else InPlace(self, run)


class InPlace(Edit):
    """The forms in-place and continuous: the keys and the values get different contexts."""

    def __init__(self, settings: ValueFlip, run: Run):
        super().__init__(run)
        self.settings = settings
        self.keys, values = run.per_prompt(self._rows).unbind(1)  # (B,77,D) each
        self.tap = Part(VContext(values), slice(run.batch, None))

    def _rows(self, prompt: Prompt) -> Tensor:
        """(1,2,77,D): the contexts that W_K and W_V get."""
        a, c, empty = self.settings.scale, prompt.ctx, prompt.empty
        keys = c if self.settings.form == "continuous" else empty + abs(a) * (c - empty)
        # W_V has no bias: V(-r) = -V(r)
        values = empty + a * (c - empty) if self.settings.form == "continuous" else math.copysign(1, a) * keys
        flipped = torch.zeros(c.shape[1], 1, dtype=torch.bool, device=c.device)
        flipped[[*prompt.target, *(prompt.eot if self.settings.eot == "flipped" else ())]] = True
        return torch.stack([torch.where(flipped, new, c) for new in (keys, values)], dim=1)

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        return replace(same, contexts=(same.contexts[0], self.keys), tap=self.tap)


class Appended(Edit):
    """The form appended: keys and values of the words follow those of the prompt."""

    def __init__(self, settings: ValueFlip, run: Run):
        super().__init__(run)
        self.settings = settings
        self.ctx = without_words(run) if settings.word == "cut" else run.ctx
        negative = {prompt: self._negative(prompt) for prompt in dict.fromkeys(run.prompts)}
        counts = {prompt: rows.shape[1] for prompt, rows in negative.items()}
        most = max(counts.values())
        # all samples get `most` rows; a bias of -∞ keeps the filling out of the softmax
        rows = run.per_prompt(lambda p: F.pad(negative[p], (0, 0, 0, most - counts[p]))[None])  # (B,2,most,D)
        bias = run.per_prompt(lambda p: self._bias(counts[p], most)).to(run.ctx.device)
        self.tap = Part(Append(rows[:, 0], rows[:, 1], bias), slice(run.batch, None))

    def _negative(self, prompt: Prompt) -> Tensor:
        """(2,L,D): the rows to append, for the keys and for the values."""
        a, sd = self.settings.scale, self.run.sd
        encoded = sd.encode_text(prompt.targets)
        rows = []
        for target, ctx in zip(prompt.targets, encoded, strict=True):
            words = len(sd.tokens(target)) - 2
            rows += [ctx[1 : words + 1] * (abs(a) if self.settings.weighs == "rows" else 1), ctx[words + 1 :][:1]]
        n = torch.cat(rows)
        flipped = n * (math.copysign(1, a) if self.settings.weighs == "rows" else a)  # W_V has no bias: V(-n) = -V(n)
        if self.settings.pads == "cut":
            return torch.stack([n, flipped])
        sot, end = encoded[0, :1], encoded[0, -1:].expand(max(encoded.shape[1] - 1 - len(n), 0), -1)
        return torch.stack([torch.cat([sot, n, end]), torch.cat([sot, flipped[:-1], n[-1:], end])])

    def _bias(self, rows: int, most: int) -> Tensor:
        """(1,77+most), added to the logits: 0 for the prompt, -β for the appended rows, -∞ for the filling."""
        parts = [torch.zeros(self.ctx.shape[1]), torch.full((rows,), -self.settings.bias)]
        return torch.cat([*parts, torch.full((most - rows,), -math.inf)])[None]

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        return replace(same, contexts=(same.contexts[0], self.ctx), tap=self.tap)

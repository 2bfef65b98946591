"""GIE: "Growth Inhibitors for Erasure" (Chen et al., ICLR 2025): the attention to the concept, with a negative weight.

For every cross attention of the edited branch, Q̂ are its queries, and c* is the encoding of the concept alone, whose
first [EOT] is at e:

    w  = adapter(means of M* at the first step)                          section 4.2, suppress/edits/scale_adapter.py
    M* = softmax(Q̂ K(c*)^T / √d)                                         eq. 6
    I  = w M*[:, 1 … e-1]                                                the columns of its words, eq. 7
    M̂ = M with the columns I before [EOT],   V̂ = V with the rows V(c*)[1 … e-1] there,   Z = M̂ V̂          eq. 8

and nothing is renormalised. The concept need not be among the words of the prompt: the paper is about prompts that
imply it. Fig. 10 compares three positions for the columns. The output is a sum over columns, and their order does not
matter, so that all positions give the same picture, to rounding.

Several concepts are inserted one after the other. Of two that mean the same, only the stronger one is (eq. 11): the
distance is 1 - cos of the rows of their first [EOT]. The paper does not say of which vectors, nor its threshold.

The released code (`official`) differs, for an original and an edited branch from one start:
- M are the original's maps, also in the edited branch, as in Prompt-to-Prompt, on whose code it is built.
- All concepts are one phrase P*. The values of [EOT] and of the padding come from the encoding of "P P*", so that they
  carry the concept. For [EOT] its row is that of P*'s first word, which looks like a mistake in an index.
- The width stays 77. As many columns of the padding fall off, the first ones, as are inserted.
- After .8 of the steps, the edited branch has its own maps of this context: the concept's words then have no negative
  weight. Before .4 of the steps, it has the original's self maps where they have at most 16 × 16 pixels.
- It takes 40 steps of the checkpoint's own scheduler. Here they are DDIM's, and their number is a setting (50).
No scale makes the code's form the original.

UNet: 4 samples per step; with an adapter 1 more for a picture, 2 in the code's form. The adapter's features belong to
the first step, so with another `start`, or from an inverted picture, they are not those that it was trained on.

On the drawn world, w = -1 to -2 removes small things (glasses, a hat, a beard, headphones, a smile) and keeps the rest
of the picture; the published -5 damages most pictures. A scene, a style or rain is seldom removed by a scale that keeps
the rest. The adapter of the embedded model finds such scales for the concepts that it was trained on. On concepts that
it has not seen, it is no better than one scale for all, against the paper (suppress/training/gie_adapter.py has the
figures). The code's form removes no glasses at any scale: the original's maps draw them, and the inhibitors only damage
the face. For prompts that imply their target: bench/results/implied-methods.md.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd import Part, Site, Tap, UserError, compose
from minisd.base.arguments import number, one_of, shown, step_number
from minisd.base.counted import counted
from minisd.config import CONTEXT

from ..edits.inject import Inject, InjectIntoOriginal, Insertion, columns
from ..edits.maps import Maps
from ..edits.scale_adapter import OWN, find_adapter
from ..edits.taps import ShareMaps
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run

FIXED = -5.0  # the paper compares its adapter with fixed scales of -5 and -10 (Fig. 11, Table 3); -10 damages pictures
SELF_SCALE = 4  # at this scale and coarser, self maps have at most 16 × 16 pixels for SD at 512²; from the code


@dataclass(frozen=True)
class GIE(Method):
    """Settings. `paper()` is Algorithm 1 with the checkpoint's own adapter, `official()` the released code."""

    start: int | float = 0  # all steps, from the paper
    # w of all words. None: the adapter's, or -5 without an adapter. 0 inserts nothing. 1 adds the concept once; the
    # paper calls this "without suppression". The labels of its adapter are -1 to -15
    scale: float | None = None
    # the adapter's file; "own": the one that comes with the checkpoint; "": none. `scale` takes its place
    adapter: str = ""
    # of two concepts that are nearer than this, only the one with the stronger scale is inserted; 0: both, as in the
    # code. The paper's threshold is not published
    distance: float = 0.0
    # where the columns are inserted; the paper's and the code's is before [EOT]. It makes no difference (Fig. 10)
    position: Literal["before-eot", "after-sot", "random"] = "before-eot"
    form: Literal["paper", "code"] = "paper"  # whose M̂ and V̂
    # the first step without inhibitors: a step number, or a fraction below 1 of steps + 1; .8 in the code. None: no
    # such step, as in the paper
    until: int | float | None = None
    # before this step, the coarse sites have the original's self maps: a step number, or a fraction; .4 in the code
    self_until: int | float = 0

    @classmethod
    def paper(cls, **changes: Any) -> GIE:
        """Algorithm 1 with the scales of the checkpoint's own adapter."""
        return cls(**({"adapter": "own"} | changes))

    @classmethod
    def official(cls, **changes: Any) -> GIE:
        """The released code. Its adapter's weights are not released, so that w is -5 unless you give another."""
        code: dict[str, Any] = {"form": "code", "until": 0.8, "self_until": 0.4}
        return cls(**(code | changes))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale is not None:
            object.__setattr__(self, "scale", number("scale", self.scale, -math.inf))
        if not isinstance(self.adapter, str):
            raise UserError(f"adapter = {shown(self.adapter)}; expected the name of a file, 'own', or '' for none")
        object.__setattr__(self, "distance", number("distance", self.distance))
        one_of("position", self.position, ("before-eot", "after-sot", "random"))
        one_of("form", self.form, ("paper", "code"))
        for name, value, usual in (("distance", self.distance, 0), ("position", self.position, "before-eot")):
            if self.form == "code" and value != usual:
                raise UserError(f"{name} = {shown(value)}; it is for form=paper only")
        step_number("self_until", self.self_until, self.steps)
        if self.until is not None:
            step_number("until", self.until, self.steps)

    @property
    def end_step(self) -> int:
        """The first step without inhibitors."""
        if self.until is None:
            return self.steps
        return step_number("until", self.until, self.steps + (self.until < 1))

    @property
    def needs_words(self) -> bool:
        return False

    def remark(self, prompt: Prompt) -> str:
        if self.scale is not None:
            return f"w = {self.scale:g}"
        if not self.adapter:
            return f"w = {FIXED:g}, because no adapter was given"
        return "w from the checkpoint's adapter" if self.adapter == OWN else f"w from {self.adapter}"

    def concepts(self, prompt: Prompt) -> tuple[str, ...]:
        """The code makes one phrase of them."""
        return (" ".join(prompt.targets),) if self.form == "code" else prompt.targets

    def position_of(self, prompt: Prompt) -> int:
        """The column of the prompt before which the concepts are inserted."""
        if self.position == "random":
            return random.Random(prompt.text).randint(1, prompt.eot[0])
        return 1 if self.position == "after-sot" else prompt.eot[0]

    def edit(self, run: Run) -> Edit:
        return GIEEdit(self, run)


class GIEEdit(Edit):
    def __init__(self, settings: GIE, run: Run):
        super().__init__(run)
        self.settings, self.code = settings, settings.form == "code"
        self.ctx = run.per_prompt(self._code_context) if self.code else run.ctx  # (B,77,D)
        self.insertion = self._insertion()
        named = "" if settings.scale is not None else settings.adapter
        self.adapter = find_adapter(named, run.sd, settings.form)
        self.scales: Tensor | None = None  # w (B,K,77), from the first step on
        self.self_end = step_number("self_until", settings.self_until, settings.steps)

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        if self.settings.scale == 0 and not self.code:
            return same
        edited = replace(same, contexts=(same.contexts[0], self.ctx))
        taps: list[Tap] = [ShareMaps(None, _is_coarse)] if i < self.self_end else []
        if i < self.settings.end_step:
            if self.scales is None:
                self.scales = self._find_scales(i, original, edited, taps)
            taps.append(self._over_both(Inject(self.insertion, self.scales)))
        return replace(edited, tap=compose(*taps) if taps else None)

    def _over_both(self, inject: Inject) -> Tap:
        """A tap for the batch [original × B, edited × B]."""
        if self.code:
            return InjectIntoOriginal(inject.insertion, inject.weights)
        return Part(inject, slice(self.run.batch, None))

    # ------------------------------------------------------------------ the scales

    def _find_scales(self, i: int, original: Inputs, edited: Inputs, taps: list[Tap]) -> Tensor:
        """w (B,K,77): fixed or the adapter's for the words, 0 for the rest and for concepts that are left out."""
        words, scale = self.insertion.words, self.settings.scale
        if self.adapter is None:
            scales = (FIXED if scale is None else scale) * words
        else:
            scales = self.adapter(self.features(i, original, edited, taps)) * words
        return scales * self.kept(scales)[..., None] if self.settings.distance else scales

    def features(self, i: int, original: Inputs, edited: Inputs, taps: list[Tap]) -> Tensor:
        """m̄ (B,K,77,sites): the mean of M* over heads and pixels, at every site, in a pass with w = 1 (eq. 9)."""
        if not self.code:
            inject = Inject(self.insertion)
            self.run.show(i, edited.z, self.ctx, inject)
        else:
            inject = InjectIntoOriginal(self.insertion)
            z, ctx = torch.cat([original.z, edited.z]), torch.cat([original.contexts[1], self.ctx])
            self.run.show(i, z, ctx, compose(*taps, inject))
        return torch.stack(inject.means, dim=-1)

    def kept(self, scales: Tensor) -> Tensor:
        """(B,K): 0 for a concept that is near to one with a stronger scale, or to an equal one before it; else 1."""
        counts = self.insertion.words.sum(dim=-1)  # (B,K)
        strength = -scales.sum(dim=-1) / counts.clamp(min=1)  # the mean over the words
        ctx = torch.stack(list(self.insertion.concepts), dim=1)  # (B,K,77,D)
        row = self.insertion.first_eot[..., None, None].expand(-1, -1, 1, ctx.shape[-1])
        vectors = F.normalize(ctx.gather(2, row)[:, :, 0].float(), dim=-1)
        near = 1 - vectors @ vectors.mT < self.settings.distance  # (B,K,K), eq. 11
        near = near & (counts > 0)[:, None]  # an empty concept replaces none
        mine, other = strength[:, :, None], strength[:, None]
        before = torch.ones_like(near).tril(-1)
        return 1 - (near & ((other > mine) | ((other == mine) & before))).any(dim=-1).float()

    # ------------------------------------------------------------------ what is inserted, and where

    def _insertion(self) -> Insertion:
        run = self.run
        counts = {p: [len(run.sd.tokens(c)) - 2 for c in self.settings.concepts(p)] for p in dict.fromkeys(run.prompts)}
        concepts = max(map(len, counts.values()))  # K
        inserted = None if self.code else max(map(sum, counts.values()))

        def encoded(prompt: Prompt) -> Tensor:
            phrases = self.settings.concepts(prompt)
            return run.sd.encode_text([*phrases, *[""] * (concepts - len(phrases))])[None]  # (1,K,77,D)

        placed = {p: columns(counts[p], self.settings.position_of(p), concepts, inserted) for p in counts}
        words, place, keep = (torch.stack([placed[p][n] for p in run.prompts]).to(run.ctx.device) for n in range(3))
        return Insertion(run.per_prompt(encoded).unbind(1), words, place, keep)

    def _code_context(self, prompt: Prompt) -> Tensor:
        """The context (1,77,D) of the edited branch in the released code."""
        [phrase], at, sd = self.settings.concepts(prompt), prompt.eot[0], self.run.sd
        count = len(sd.tokens(phrase)) - 2
        if at + count >= CONTEXT:
            raise UserError(
                f"form=code appends the {counted(count, 'token')} of {shown(phrase)} to the {at - 1} of the prompt, "
                f"and {CONTEXT - 2} fit; shorten the prompt, or use form=paper"
            )
        text = prompt.text[: len(prompt.text.rstrip())]  # a slice keeps the weights of words
        both, alone = sd.encode_text(text + " " + phrase), sd.encode_text(phrase)
        rows = both[:, :at], alone[:, 1 : 1 + count], both[:, at : at + 1], both[:, at + count + 1 :]
        return torch.cat(rows, dim=1)


def _is_coarse(site: Site) -> bool:
    return site.kind == "self" and site.scale >= SELF_SCALE

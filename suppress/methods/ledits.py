"""LEDITS++ (Brack et al., CVPR 2024): guidance away from a phrase, where its map and its noise both say that it is.

    for each phrase e to remove:   δ_e = ε_e - ε_∅
    M1 = the cross map of e's words, smoothed,  >= its quantile λ      one scale, down and up, mean over heads
    M2 = Σ over channels of |δ_e|               >= its quantile λ
    ε = ε_∅ + w (ε_c - ε_∅) - s Σ_e M1 M2 δ_e,      ẑ <- the step of the inversion

ε_∅, ε_c, ε_e: the UNet's predictions for the empty prompt, for the prompt, and for a phrase alone. The paper has w = 0:
the prompt plays no part, and with empty masks the picture comes back, if the inversion is exact for w = 0. That is
`edit-friendly` (suppress/start/edit_friendly.py), which then inverts without the prompt too. Other inversions
are not exact for w = 0, so the picture changes everywhere. The paper's sampler is SDE-DPM-Solver++ of second order;
here it is the stochastic DDIM step, as in LEDITS (Tsaban and Passos 2023), which came before it.

With w > 0 and only M2 this is SEGA (Brack et al., NeurIPS 2023; `sega`, in guidance_rules.py) without its momentum, and
with one mask for all channels. So the method also runs from noise, if it gets a guidance. A negative s adds the phrase.
A user's mask is multiplied into M1 M2, as in the code.

On the drawn world (one picture each of glasses, hat and beard, 50 steps) λ = .75 with `edit-friendly:skip=0.15` removes
all three and keeps more than λ = .9. With skip = .36 the hat stays, and glasses may. Guidance away says only what the
place should not show, so the model may put another thing there, e.g. a mask in the place of a beard.

Both masks have sharp edges: where two values are nearly equal, two runs that round differently may choose differently.
The quantile is a share of the picture: with λ = .9 a step guides at most a tenth of it, however large the thing is.
UNet per step, with K phrases: 1 + K samples, one more if w is not 0, and K that read the maps; the fast engine ends
these K passes as soon as it has the maps. (The pass with e has these maps too. But a tap on it would need the samples
of both branches in one batch, which costs more.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd import StableDiffusion, UserError
from minisd.base.arguments import fraction, number, one_of, whole_number

from ..edits.maps import Maps, map_spec
from ..edits.masks import gaussian, latent_mask, top
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run

MASKS = ("intersect", "map", "difference", "none")


@dataclass(frozen=True)
class Ledits(Method):
    """The settings. Steps and the share of them that an inversion leaves out are in the code 30 and .15."""

    guidance: float = 0.0  # w; from the paper, which has no text branch
    start: int | float = 0  # the warm-up; 0 in the code
    scale: float = 5.0  # s; from the code, whose examples have up to 10
    threshold: float = 0.9  # λ, of both masks; from the code, whose example has .75
    # M1 M2, M1, M2, or no mask; "intersect" from the paper (the code's `use_intersect_mask`)
    masks: Literal["intersect", "map", "difference", "none"] = "intersect"
    # the maps whose grid has this side; None: a quarter of the latents' side, 16 for SD at 512², as in the code
    resolution: int | None = None

    takes_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        number("scale", self.scale, -float("inf"))
        fraction("threshold", self.threshold)
        one_of("masks", self.masks, MASKS)
        if self.resolution is not None:
            whole_number("resolution", self.resolution, 1)

    def remark(self, prompt: Prompt) -> str:
        return f"s = {self.scale:g}, λ = {self.threshold:g}, masks = {self.masks}"

    @property
    def needs_words(self) -> bool:
        return False

    def edit(self, run: Run) -> Edit:
        if not self.guidance and run.start.pivots is None:
            raise UserError(
                "ledits with guidance = 0 draws without the prompt. Give it a picture (image=…, --image FILE), or for "
                "a drawing the guidance of the prompt: ledits:guidance=7.5"
            )
        return LeditsEdit(self, run)


@dataclass(frozen=True, eq=False)
class Concept:
    """One phrase for each sample of a batch. A sample that has fewer phrases than others has `present` = 0."""

    ctx: Tensor  # (B,77,D), of the phrase alone
    words: Tensor  # (B,77), 1 in the rows of its words
    present: Tensor  # (B,1,1,1)


class LeditsEdit(Edit):
    def __init__(self, settings: Ledits, run: Run):
        super().__init__(run)
        self.settings = settings
        # the watching taps want the maps of the prompt, so the prompt's pass is needed for them too
        self.prompted = settings.guidance != 0 or run.watch is not None
        count = max(len(prompt.targets) for prompt in run.prompts)
        self.concepts = [make_concept(run, k) for k in range(count)]
        self.spec = (
            None if settings.masks in ("difference", "none") else map_spec(run.sd, run.start.z, settings.resolution)
        )
        self.given = None if run.start.mask is None else latent_mask(run.start.mask, run.start.z)
        self.map_masks: list[Tensor] = []  # M1 (B,1,h,w) of each concept at this step
        self.used = torch.zeros_like(run.start.z[:, :1], dtype=torch.float32)  # where a mask was 1 so far, (B,1,h,w)

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        if self.spec is not None:
            self.map_masks = self.read_masks(i, same.z)
        prompted = same.contexts if self.prompted else same.contexts[:1]
        return replace(same, contexts=(*prompted, *(concept.ctx for concept in self.concepts)))

    def combine(self, i: int, eps: tuple[Tensor, ...]) -> Tensor:
        noise = self.run.guide(eps) if self.prompted else eps[0]
        for k, (concept, eps_e) in enumerate(zip(self.concepts, eps[-len(self.concepts) :], strict=True)):
            delta = eps_e - eps[0]
            mask = self.mask(delta, k) * concept.present
            self.used = torch.maximum(self.used, mask)
            noise = noise - self.settings.scale * mask.to(delta.dtype) * delta
        return noise

    def changed(self) -> Tensor | None:
        return None if self.settings.masks == "none" and self.given is None else self.used

    def read_masks(self, i: int, z: Tensor) -> list[Tensor]:
        """M1 (B,1,h,w) of each concept. The maps of all concepts come from one batch."""
        assert self.spec is not None
        ctx = torch.cat([concept.ctx for concept in self.concepts])
        maps = self.run.read_maps(i, z.repeat(len(self.concepts), 1, 1, 1), ctx, self.spec)
        words = torch.cat([concept.words for concept in self.concepts])
        attended = (maps.cross * words[:, None]).sum(dim=2).unflatten(1, maps.grid)[:, None]  # (KB,1,h',w')
        mask = top(smooth(attended), self.settings.threshold)
        return list(F.interpolate(mask, z.shape[-2:]).split(len(z)))

    def mask(self, delta: Tensor, k: int) -> Tensor:
        """M1 M2 and the user's mask (B,1,h,w), of concept k with δ = delta (B,4,h,w)."""
        mask = torch.ones_like(self.used) if self.given is None else self.given
        if self.spec is not None:
            mask = mask * self.map_masks[k]
        if self.settings.masks in ("intersect", "difference"):
            mask = mask * top(delta.float().abs().sum(dim=1, keepdim=True), self.settings.threshold)
        return mask


def make_concept(run: Run, k: int) -> Concept:
    """The k-th phrase of each sample; the empty prompt, if a sample has fewer."""

    def phrase(prompt: Prompt) -> str:
        return prompt.targets[k] if k < len(prompt.targets) else ""

    present = [float(k < len(prompt.targets)) for prompt in run.prompts]
    return Concept(
        run.per_prompt(lambda prompt: run.sd.encode_text(phrase(prompt))),
        run.per_prompt(lambda prompt: word_rows(run.sd, phrase(prompt), run.ctx)),
        torch.tensor(present, device=run.ctx.device).view(-1, 1, 1, 1),
    )


def word_rows(sd: StableDiffusion, phrase: str, ctx: Tensor) -> Tensor:
    """(1,77), float32: 1 in the rows of the phrase's words, 0 in those of [SOT] and [EOT]."""
    words = torch.zeros(1, ctx.shape[1], device=ctx.device)
    words[:, 1 : len(sd.tokens(phrase)) - 1] = 1
    return words


def smooth(values: Tensor) -> Tensor:
    """A Gaussian of 3 × 3 pixels with σ = .5, as in the code, over (B,1,h,w). The borders are repeated."""
    return gaussian(F.pad(values, (1, 1, 1, 1), mode="replicate"))

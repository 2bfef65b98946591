"""Attentive Eraser (Sun et al., AAAI 2025, "Unleashing Diffusion Model's Object Removal Potential via Self-Attention
Redirection Guidance"): what is in a mask M is filled with what is around it. No text says what should be there.

    ẑ <- z* at step R;   for step i = R … steps-1, with the empty prompt ∅:
        ε    = UNet(ẑ, t, ∅)
        ε_rm = UNet(ẑ, t, ∅), in which every self attention of the decoder is
                   softmax(f Q K^T / √d + b) V      b_j = -∞ for keys j in M, else 0
                   f = .3 for queries in M before `similarity_until`, else 1
        ẑ <- DDIM(ẑ, ε + s (ε_rm - ε))
        ẑ <- M ẑ + (1 - M) z*                       so that outside M the picture is the original

z*: the pivots of an inverted picture, else the original branch, so that drawn pictures can be edited too. f weakens the
likeness of the object's pixels to each other. At each grid of the UNet, a pixel is in M if a part of it is; a grid that
lies in M completely has nothing to fill from, and its attention stays as it is.

keys="soft" is AdaEraser (2026, arXiv 2605.15921), whose code is not published. This is our reading of it:

    b_j = log η_j for keys j in M,   η_j = 1 - cos(map of query j in this pass, map of query j in the original's pass)

Both maps are the plain softmax(Q K^T / √d), the mean over heads. As long as the object is there, η is near 0 and its
keys are hidden; when it is gone, the new content may use them. The original's pass has the prompt, not ∅.

M is the user's mask. Without one, it is found at step R: where the target's cross map of the original branch, scaled to
[0,1], is above `threshold`; with several targets, the union of theirs. `dilation` widens it. A map always has a
largest value: if the target is not in the picture, M is somewhere else. A map may also miss a part of the object.

The code differs from the paper in this: it blurs M and cuts it at .1, which widens it by 2 of 512 pixels; and it adds
FreeU, which is not here. Its strength of .8 is R = .2. It noises the picture (the inversion "noised" of this project),
or inverts it with the prompt "" (here: with the prompt). UNet: 4 samples per step from R on, 2 of them for the
original, which a pinned one does not need; 2 before R, and 2 for the map.

Outside M the latents are z* to the bit, but the decoded picture is not: the VAE normalises over the whole picture, so a
change in M moves distant pixels by 2 or 3 levels of 255 on the embedded model. `suppress.paste` puts the photo's own
pixels back. Text guides nothing here, so that a negative prompt is for the original alone.

On the drawn world, the published s = 9 overshoots into torn colours; 3 works. "noised" works better than "direct",
whose latents hold the object's shape, more so than an inversion with "" would. Worn things go. Things beside the
person lose their colour, but keep their outline. Rain is everywhere, so that M leaves nothing to fill from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd import Part, Site, StableDiffusion, Tap, UserError
from minisd.attention import Attention
from minisd.base.arguments import fraction, number, one_of, step_number, whole_number
from minisd.tap import attention_maps

from ..edits.maps import Maps, MapSpec, map_grid, map_spec
from ..edits.masks import dilate, from_map, latent_mask
from ..prompt import Prompt, find_rows
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run

LEAST_SIDE = 8  # a map of fewer pixels is too coarse for a mask


@dataclass(frozen=True)
class AttentiveEraser(Method):
    """Settings. `guidance` is that of the original branch; the edited one has none."""

    scale: float = 9.0  # s, the removal guidance; from the code. 0: the plain ε
    keys: Literal["masked", "soft"] = "masked"  # masked: Attentive Eraser; soft: AdaEraser
    similarity: float = 0.3  # f; from the code
    # the first step with f = 1: a step number, or a fraction of the steps below 1; the code has f in its first 10 of 40
    similarity_until: int | float = 0.4
    threshold: float = 0.3  # of the target's map; that of Prompt-to-Prompt's LocalBlend
    # how many latents around the mask belong to it; None: 1 if it was found, 0 for the user's; this project's own
    dilation: int | None = None
    # the side of the target's map; None: the coarsest that has 8 pixels or more (16 for SD at 512², as in LocalBlend)
    resolution: int | None = None

    takes_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("scale", "similarity"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        one_of("keys", self.keys, ("masked", "soft"))
        step_number("similarity_until", self.similarity_until, self.steps)
        object.__setattr__(self, "threshold", fraction("threshold", self.threshold))
        for name, least in (("dilation", 0), ("resolution", 1)):
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name), least)

    def remark(self, prompt: Prompt) -> str:
        return "the negative prompt is for the original alone" if prompt.negative else ""

    def edit(self, run: Run) -> Edit:
        return AttentiveEraserEdit(self, run)


class AttentiveEraserEdit(Edit):
    def __init__(self, settings: AttentiveEraser, run: Run):
        super().__init__(run)
        self.settings, z = settings, run.start.z
        self.first = max(settings.start_step, run.start.begin)  # the step at which ẑ is set to the original
        self.suppressed_until = step_number("similarity_until", settings.similarity_until, settings.steps)
        # ∅ (B,77,D) of the empty prompt, also if an inversion has another one, or the user a negative prompt
        self.empty = run.per_prompt(lambda p: p.empty)
        self.mask = torch.zeros_like(z[:, :1], dtype=torch.bool)  # M (B,1,h,w)
        self.taps: dict[float, Tap] = {}  # by f
        found = run.start.mask is None
        self.dilation = int(found) if settings.dilation is None else settings.dilation
        if run.start.mask is None:
            self.maps = target_map(run.sd, z, settings.resolution)
            self.rows = target_rows(run)
        else:
            self._set_mask(latent_mask(run.start.mask, z))
            if self.mask.flatten(1).all(dim=1).any():
                raise UserError(
                    f"the mask, with dilation = {self.dilation}, covers the whole picture; leave a part black, "
                    "because the rest is filled with what is there"
                )

    def reads_maps(self, i: int) -> bool:
        return self.maps is not None and i == self.first

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        if maps is not None:
            self._set_mask(self._found(maps))
        if i == self.first:
            same = replace(same, z=self.run.start.picture(i, original.z))
        factor = self.settings.similarity if i < self.suppressed_until else 1.0
        return replace(same, contexts=(self.empty, self.empty), tap=self.taps[factor])

    def combine(self, i: int, eps: tuple[Tensor, ...]) -> Tensor:
        return eps[0] + self.settings.scale * (eps[1] - eps[0])

    def blend(self, i: int, z: Tensor, original: Tensor) -> Tensor:
        return torch.where(self.mask, z, self.run.start.picture(i + 1, original))

    def changed(self) -> Tensor:
        return self.mask.float()

    def _found(self, maps: Maps) -> Tensor:
        """The mask (B,1,h,w) of the targets' maps."""
        heat = (self.rows @ maps.cross.to(self.rows.dtype).mT).unflatten(2, maps.grid)  # (B,targets,h',w')
        heat = F.interpolate(heat, self.mask.shape[-2:], mode="bilinear")
        return from_map(heat, self.settings.threshold).amax(dim=1, keepdim=True)

    def _set_mask(self, mask: Tensor) -> None:
        """M, and the taps that hide it. mask (B,1,h,w): 1 inside, else 0."""
        mask = dilate(mask, self.dilation)
        self.mask = mask > 0
        hidden = {scale: pixels_inside(mask, scale) for scale in (1, 2, 4, 8)}
        for factor in (self.settings.similarity, 1.0):
            self.taps[factor] = (
                Part(MaskedKeys(hidden, factor), slice(self.run.batch, None))
                if self.settings.keys == "masked"
                else SoftKeys(hidden, factor)
            )


class MaskedKeys(Tap):
    """No query of the decoder's self attention reads the keys in the mask. It sees the edited samples.

    hidden: for each scale, which pixels of the grid are in the mask, (B,N). factor: f.
    """

    def __init__(self, hidden: dict[int, Tensor], factor: float):
        self.hidden, self.factor = hidden, factor

    def wants(self, site: Site) -> bool:
        return site.kind == "self" and site.place == "up"

    def attend(self, site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
        hidden = self.hidden[site.scale]
        return self.redirect(hidden, q, k, v, torch.zeros_like(hidden, dtype=q.dtype))

    def redirect(self, hidden: Tensor, q: Tensor, k: Tensor, v: Tensor, eta: Tensor) -> Tensor:
        """The attention with f for the hidden queries and, before it is normalised, η (B,N) for the hidden keys."""
        bias = torch.where(hidden, eta.log(), 0)[:, None, None]
        q = torch.where(hidden[:, None, :, None], self.factor * q, q)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))


class SoftKeys(MaskedKeys):
    """The keys in the mask come back as the pixels' maps turn away from the original's. It sees both branches."""

    def attend(self, site: Site, q: Tensor, k: Tensor, v: Tensor, attn: Attention) -> Tensor:
        (q, q_hat), (k, k_hat), (v, v_hat) = q.chunk(2), k.chunk(2), v.chunk(2)
        maps, maps_hat = attention_maps(q, k).mean(dim=1), attention_maps(q_hat, k_hat).mean(dim=1)  # (B,N,N)
        eta = (1 - F.cosine_similarity(maps_hat, maps, dim=-1)).clamp(min=0)
        out_hat = self.redirect(self.hidden[site.scale], q_hat, k_hat, v_hat, eta)
        return torch.cat([F.scaled_dot_product_attention(q, k, v), out_hat])


def pixels_inside(mask: Tensor, scale: int) -> Tensor:
    """Which pixels of the grid at a scale have a part in the mask (B,1,h,w): (B,N) bool. If all have, then none."""
    inside = F.adaptive_max_pool2d(mask, map_grid(mask, scale)).flatten(1) > 0
    return inside & ~inside.all(dim=1, keepdim=True)


def target_map(sd: StableDiffusion, z: Tensor, resolution: int | None) -> MapSpec:
    """The maps in which a target is looked for. None: the coarsest with LEAST_SIDE pixels, else the finest."""
    if resolution is not None:
        return map_spec(sd, z, resolution)
    scales = {site.scale for site in sd.unet.sites if site.place != "mid"}
    fine = [scale for scale in scales if min(map_grid(z, scale)) >= LEAST_SIDE]
    return MapSpec(max(fine, default=min(scales)))


def target_rows(run: Run) -> Tensor:
    """(B,targets,77): 1 in the rows of each target, whose columns of a map are added up. Missing targets have zeros."""
    most = max(len(prompt.targets) for prompt in run.prompts)

    def weights(prompt: Prompt) -> Tensor:
        rows = torch.zeros(1, most, prompt.ctx.shape[1], device=prompt.ctx.device)
        for n, target in enumerate(prompt.request.found):
            rows[:, n, list(find_rows(run.sd, prompt.text, replace(prompt.request, found=(target,))))] = 1
        return rows

    return run.per_prompt(weights)

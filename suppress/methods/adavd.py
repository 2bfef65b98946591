"""AdaVD: "Precise, Fast, and Low-cost Concept Erasure in Value Space" (Wang et al., CVPR 2025).

Values without a concept: in every cross attention, the value of each token loses its component along the concept's
value. The keys and the maps stay. e* is the last piece of the concept, encoded alone. For each layer, over all heads:

    u = W_V e*,   v_j = W_V e_j,   cos_j = ⟨u, v_j⟩ / (|u| |v_j|)
    δ_j = s / (1 + exp(-p (cos_j - ε)))                               the gate: nearly a switch at cos = ε
    v'_j = v_j - δ_j w_j u,   w_j = ⟨u, v_j⟩ / ⟨u, u⟩                   for all rows but [SOT]

With s = 2, a token above the threshold ε does not lose its component but gets its mirror image. All of this depends on
the text alone, and v'_j = W_V (e_j - δ_j w_j e*): it is one more context for the values of each layer, computed once.
The UNet passes are those of a plain picture.

Several concepts: with orthogonal q_i = Σ_k M_ik u_k, the removed part is Σ_i ⟨q_i, v⟩ / ⟨q_i, q_i⟩ Σ_k M_ik δ_k u_k.

Where code and paper differ:
- `paper()`: only the pass with the prompt is edited. The q_i are those of Gram and Schmidt.
- `official()`: the code's arrays join both halves of the guidance. So v_j is [v^∅_j ; v_j], and u is [v^∅_j ; u]. The
  common half pulls each cosine up: ε = .93 means about .86 between the values of the prompt. And the pass with the
  empty prompt changes too: v^∅'_j = (1 - δ_j w_j) v^∅_j. Its q_i subtract multiples of u_k instead of q_k, which are
  not orthogonal for three concepts or more.
In the commit that was read, the gate is behind a flag that is off; `sharpness=0` is this form, δ = 1 for every token.

ε belongs to SD v1.4's values. On the embedded model, the cosines over all layers are (median, and 95 % quantile)
.72 and .91 for the target's row, .53 and .89 for the words after it, .33 and .80 for the padding, and .02 and .36 for
the words of a prompt without it; .82, .71, .61 and .35 are the medians for the joint vectors. So with ε = .93 most
pictures stay as they are: DetScore .83 (official .74) for six prompts × 2 seeds, 12 steps; all originals show the
target. With ε in the gap and s = 2, DetScore is .31, but the mirrored part draws blotches over the picture. So the
checkpoint's defaults.json has ε = .5 (official .7) and s = 1: DetScore .58 (.57), SSIM to the original .57 (.54),
without blotches. Often a relative of the target is drawn, such as a cap for a hat. `adavd-word` is the form for one
word.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from minisd import Part
from minisd.base.arguments import check_prompt, number, one_of

from ..edits.concepts import concepts, last_pieces
from ..edits.maps import Maps
from ..edits.taps import VContext, VScale, cross_layers
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run

DEPENDENT = 1e-6  # of |u|²: what is left of a concept that the ones before it contain is rounding, and is left out


@dataclass(frozen=True)
class AdaVD(Method):
    """The settings; the default is the paper's text, for one concept or several."""

    start: int | float = 0  # all steps, from the code
    concept: str = ""  # what to erase; several with commas, as in the code; empty: the prompt's targets
    sharpness: float = 100.0  # p of the gate; from the code. 0: no gate, δ = s / 2
    threshold: float = 0.93  # ε; from the code
    scale: float = 2.0  # s; from the code. 0 changes nothing
    branches: Literal["prompt", "both"] = "prompt"  # which halves of the guidance are edited; the code edits both
    orthogonal: Literal["gram-schmidt", "code"] = "gram-schmidt"  # of several concepts

    @classmethod
    def paper(cls, **changes: Any) -> AdaVD:
        return cls(**changes)

    @classmethod
    def official(cls, **changes: Any) -> AdaVD:
        return cls(**({"branches": "both", "orthogonal": "code"} | changes))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_prompt(self.concept)
        for name, least in (("sharpness", 0), ("threshold", -math.inf), ("scale", 0)):
            object.__setattr__(self, name, number(name, getattr(self, name), least))
        one_of("branches", self.branches, ("prompt", "both"))
        one_of("orthogonal", self.orthogonal, ("gram-schmidt", "code"))

    @property
    def needs_words(self) -> bool:
        return False

    def edit(self, run: Run) -> Edit:
        return AdaVDEdit(self, run)


class AdaVDEdit(Edit):
    def __init__(self, settings: AdaVD, run: Run):
        super().__init__(run)
        self.settings = settings
        found = {prompt: self._contexts(prompt) for prompt in dict.fromkeys(run.prompts)}
        # for each site: the contexts of the values (B,77,D), and the factors of the empty prompt's values (B,77)
        sites = [attn.site.name for attn in cross_layers(run.sd.unet)]
        values = {site: torch.cat([found[prompt][site][0] for prompt in run.prompts]) for site in sites}
        factors = {site: torch.cat([found[prompt][site][1] for prompt in run.prompts]) for site in sites}
        edited = slice(run.batch, None)
        self.tap = Part(VContext(values), edited)
        self.tap_uncond = Part(VScale(factors), edited) if settings.branches == "both" else None

    def _contexts(self, prompt: Prompt) -> dict[str, tuple[Tensor, Tensor]]:
        """For each site, the context of the values (1,77,D) and the factors (1,77) of the empty prompt's values."""
        settings, sd = self.settings, self.run.sd
        e = last_pieces(sd, concepts(settings.concept, prompt)).float()  # (K,D)
        c, empty = prompt.ctx[0].float(), prompt.uncond[0].float()
        found = {}
        for attn in cross_layers(sd.unet):
            w = attn.to_v.weight.float().T  # (D,C); half precision would move δ by a tenth near ε
            common = (empty @ w).square().sum(dim=-1) if settings.branches == "both" else c.new_zeros(len(c))
            shares = concept_shares(c @ w, e @ w, common, settings)
            found[attn.site.name] = (c - shares @ e)[None], (1 - shares.sum(dim=-1))[None]
        return found

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        return replace(same, tap=self.tap, tap_uncond=self.tap_uncond)


def concept_shares(v: Tensor, u: Tensor, common: Tensor, settings: AdaVD) -> Tensor:
    """A (L,K) in v'_j = v_j - Σ_k A_jk u_k, for values v (L,C) of a prompt and u (K,C) of the concepts.

    common (L,): |v^∅_j|², which the code's joint vectors add to every product; 0 if only the prompt is edited.
    """
    gram = u @ u.T + common[:, None, None]  # (L,K,K)
    products = v @ u.T + common[:, None]  # (L,K)
    square = gram.diagonal(dim1=-2, dim2=-1)  # (L,K)
    lengths = (square * (common + v.square().sum(dim=-1))[:, None]).sqrt()
    cosines = products / lengths.clamp(min=torch.finfo(v.dtype).tiny)
    gate = settings.scale * torch.sigmoid(settings.sharpness * (cosines - settings.threshold))
    m = orthogonal(gram, settings.orthogonal)
    rest = (m @ gram @ m.mT).diagonal(dim1=-2, dim2=-1)  # ⟨q_i, q_i⟩
    weights = (m @ products[..., None])[..., 0] / rest
    weights = torch.where(rest > DEPENDENT * square, weights, 0)
    shares = (weights[:, None] @ m)[:, 0] * gate
    shares[0] = 0  # [SOT] keeps its value
    return shares


def orthogonal(gram: Tensor, form: str) -> Tensor:
    """M (L,K,K), lower triangular: q_i = Σ_k M_ik u_k. gram (L,K,K): the products of the u_k."""
    rows = [torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)[0].expand(len(gram), -1)]
    for i in range(1, gram.shape[-1]):
        row = torch.zeros_like(rows[0])
        row[:, i] = 1
        for k in range(i):
            one = torch.zeros_like(row)
            one[:, k] = 1
            earlier = one if form == "code" else rows[k]  # u_k or q_k
            products = (gram @ earlier[..., None])[..., 0]  # ⟨·, u_1⟩ … ⟨·, u_K⟩
            length = (products * earlier).sum(dim=-1)
            share = torch.where(length > DEPENDENT * gram[:, k, k], products[:, i] / length, 0)
            row = row - share[:, None] * earlier
        rows.append(row)
    return torch.stack(rows, dim=1)

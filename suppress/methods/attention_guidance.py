"""Negative guidance on the outputs of cross attention: NAG, ONG, NASA.

    Z⁺ = softmax(Q K(c)^T / √d) V(c),   Z⁻ = softmax(Q K(n)^T / √d) V(n)      n: the unwanted words as a prompt
    NAG    Z̃ = Z⁺ + φ (Z⁺ - Z⁻),   r = |Z̃| / |Z⁺|,   Z <- Z⁺ + α (Z̃ min(1, τ/r) - Z⁺)
    ONG    Z <- Z⁺ - s (Z⁻ - <Z⁻,Z⁺>/<Z⁺,Z⁺> Z⁺)
    NASA   Z <- Z⁺ - φ Z⁻

at every cross attention, before its output layer, in the pass with the prompt only. Norms and products are those of one
query over all channels (all heads together). NAG: "Normalized Attention Guidance" (Chen et al. 2025, arXiv 2505.21179).
ONG: "Orthogonal Negative Guidance" (Ko et al. 2026, arXiv 2605.29390), which was made for transformers without cross
attention and has no code; this is our reading for a UNet. NASA (Nguyen et al., ICCV 2025, arXiv 2412.02687) came
before them.

n has 77 rows with its padding, as c has, and the padding counts. With n equal to the prompt, NAG changes nothing. The
rules run beside the guidance w, which enlarges their effect; the papers' models draw with few steps and without it.

Cost: a second cross attention at each site, and no UNet sample: 200 for both branches at 50 steps.

What they cannot do: Z⁺ of a prompt that names the thing has it in all its rows, also in those of [EOT]. On the drawn
world (glasses, hat and beard, 3 seeds each, 15 steps) none of the three removes one, at a mean SSIM of .38 to .54. What
else the prompt has is enlarged: with snow in it, NAG and ONG fill the picture with snow. With word="cut" NAG removes
all 9, as the deletion does by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from minisd import Part, UserError
from minisd.base.arguments import fraction, number, shown, whole_number

from ..edits.maps import Maps
from ..edits.negative import Negative, unwanted
from ..edits.taps import Against
from ..protocol import Edit, Inputs

if TYPE_CHECKING:
    from ..loop import Run

CHANNELS = (1, 3)  # the heads and their channels, of (B,H,N,d)
TINY = 1e-20  # instead of a division by 0


@dataclass(frozen=True)
class AttentionGuidance(Negative):
    """A method that is one equation: `guided` makes Z (B,H,N,d) out of Z⁺ and Z⁻."""

    def guided(self, plus: Tensor, minus: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__}.guided")

    def edit(self, run: Run) -> Edit:
        return AttentionGuidanceEdit(self, run)


class AttentionGuidanceEdit(Edit):
    def __init__(self, settings: AttentionGuidance, run: Run):
        super().__init__(run)
        self.settings, self.prompted = settings, settings.prompted(run)
        self.tap = Part(Against(unwanted(run, settings.concept), settings.guided), slice(run.batch, None))

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        tap = self.tap if self.settings.acts(i) else None
        return replace(same, contexts=(same.contexts[0], self.prompted), tap=tap)


@dataclass(frozen=True)
class NAG(AttentionGuidance):
    """NAG. φ = 0 or α = 0 changes nothing. The code has `nag_scale` = φ + 1, so that the paper's 2 is the code's 3.

    The paper's norm is L1, as in the code for ComfyUI; the authors' code for Flux has L2, "slightly worse".
    """

    scale: float = 2.0  # φ; from the paper, for SDXL. In many steps the author needs more than 6
    limit: float = 2.5  # τ: Z̃ may be as many times longer than Z⁺; from the paper
    alpha: float = 0.5  # α; from the paper, for SDXL
    norm: Literal[1, 2] = 1  # L1 or L2

    @classmethod
    def paper(cls, **changes: Any) -> NAG:
        """The paper's settings for SDXL, which are the defaults."""
        return cls(**changes)

    @classmethod
    def official(cls, **changes: Any) -> NAG:
        """The authors' demo for Flux: nag_scale = 5, which is φ = 4, a smaller α, and the norm L2."""
        return cls(**({"scale": 4.0, "alpha": 0.25, "norm": 2} | changes))

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("scale", "limit"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        object.__setattr__(self, "alpha", fraction("alpha", self.alpha))
        if whole_number("norm", self.norm, 1) > 2:
            raise UserError(f"norm = {shown(self.norm)}; expected 1 (L1) or 2 (L2)")

    def length(self, z: Tensor) -> Tensor:
        """|z| of each query, (B,1,N,1), in float32."""
        return z.float().norm(p=self.norm, dim=CHANNELS, keepdim=True)

    def guided(self, plus: Tensor, minus: Tensor) -> Tensor:
        z = plus + self.scale * (plus - minus)
        ratio = self.length(z) / self.length(plus).clamp_min(TINY)
        z = z * (self.limit / ratio).clamp(max=1).to(z)
        return plus + self.alpha * (z - plus)


@dataclass(frozen=True)
class ONG(AttentionGuidance):
    """ONG: only what is orthogonal to Z⁺ is taken away, so that Z is never shorter than Z⁺."""

    scale: float = 1.0  # s; not published in what could be read. 0 changes nothing

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scale", number("scale", self.scale, -math.inf))

    def guided(self, plus: Tensor, minus: Tensor) -> Tensor:
        a, b = plus.float(), minus.float()
        along = (a * b).sum(CHANNELS, keepdim=True) / (a * a).sum(CHANNELS, keepdim=True).clamp_min(TINY)
        return plus - self.scale * (b - along * a).to(plus)


@dataclass(frozen=True)
class NASA(AttentionGuidance):
    """NASA: Z⁻ is taken away as it is."""

    scale: float = 0.5  # φ; this project's own. 0 changes nothing

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scale", number("scale", self.scale, -math.inf))

    def guided(self, plus: Tensor, minus: Tensor) -> Tensor:
        return plus - self.scale * minus

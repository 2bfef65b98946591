"""SuppressEOT: "Get What You Want, Not What You Don't" (Li et al., ICLR 2024), Algorithm 1 for generated pictures.

    ĉ = SWR(c)                                     eq. 2, suppress/edits/spectrum.py
    for step i = R … steps-1, timestep t:
        ĉ_i = ĉ
        if i < stop, `iterations` times:           ITO, eq. 3-6, suppress/edits/ito.py
            ĉ_i <- ĉ_i - η_i ∇ L(maps of UNet(z_t, t, c), maps of UNet(ẑ_t, t, ĉ_i))
        ẑ <- DDIM(ẑ, eps(ẑ, t, ĉ_i))               suppress/loop.py

Every step begins with SWR(c) again; the result of ITO is not kept for the next step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from minisd.base.arguments import number, one_of, step_number, whole_number

from ..edits.ito import AttentionLoss, LossWeights, descend, value_loss
from ..edits.maps import Maps, map_spec
from ..prompt import Prompt
from ..protocol import Edit, Inputs, Method

if TYPE_CHECKING:
    from ..loop import Run


@dataclass(frozen=True)
class SuppressEOT(Method):
    """The settings. The default was best in measurements on the drawn world: only SWR, with the published R.

    `official()` has the settings of the authors' code, `paper()` those of the paper's text. Both run ITO.
    """

    gamma: float = 1.0  # γ of σ̂ = σ e^(-γσ); section 3.3, eq. 2 has 1
    iterations: int = 0  # gradient steps of ITO at each step; 10 in Algorithm 1 and the code; 0: only SWR
    # the first step after ITO: a step number, or a fraction of the steps below 1; 20 of 50 in the code
    stop: int | float = 0.4
    loss: Literal["cosine", "l2", "value"] = "cosine"  # cosine: from the code; l2: eq. 3-4; value: appendix D
    lambda_pl: float = 1.0  # λ_pl, words to keep, cross maps; section 3.4
    lambda_nl: float = 0.5  # λ_nl, the target, cross maps; section 3.4
    lambda_self_pl: float = 1.0  # words to keep, self maps; from the code
    lambda_self_nl: float = 0.5  # the target, self maps; from the code
    step_size: float = 20.0  # η_i = step_size · √f_i; from the code (5 for real pictures)
    decay: float = 0.1  # f falls linearly over the steps, from 1 to this; from the code
    # ITO reads the maps whose grid has this side; None: a quarter of the latents' side, as in the code (16 for SD at
    # 512²)
    resolution: int | None = None
    heads: int | None = None  # ITO reads the heads 0 … heads-1; None: all. The code has read half of them since 2024
    maps_of: Literal["original", "edited"] = "original"  # the latents that give the reference maps; from the code
    after: Literal["swr", "original"] = "swr"  # the context from `stop` on: SWR(c) (code) or c (appendix A)

    @classmethod
    def official(cls, **changes: Any) -> SuppressEOT:
        """The authors' code: R = .2, 10 iterations of ITO in steps 10-19, cosine loss with self terms, heads 0-3."""
        return cls(**({"iterations": 10, "start": 0.2, "heads": 4} | changes))

    @classmethod
    def paper(cls, **changes: Any) -> SuppressEOT:
        """The paper's text: squared L2 on cross maps, 10 iterations of ITO in each of the first 20 of 50 steps.

        After these steps, the model draws with the unedited prompt (appendix A).
        Both maps of the loss come from the edited latents (section 3.4). The text does not give the number of steps,
        guidance, step size, resolution, layers or heads; these are from the code. `after="swr"` is another reading.
        """
        text: dict[str, Any] = {"iterations": 10, "start": 0, "stop": 0.4, "loss": "l2", "after": "original"}
        text |= {"lambda_self_pl": 0.0, "lambda_self_nl": 0.0, "maps_of": "edited"}
        return cls(**(text | changes))

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("iterations", self.iterations, 0)
        step_number("stop", self.stop, self.steps)
        for name in ("gamma", "lambda_pl", "lambda_nl", "lambda_self_pl", "lambda_self_nl", "step_size", "decay"):
            object.__setattr__(self, name, number(name, getattr(self, name)))
        for name, choices in (
            ("loss", ("cosine", "l2", "value")),
            ("maps_of", ("original", "edited")),
            ("after", ("swr", "original")),
        ):
            one_of(name, getattr(self, name), choices)
        for name in ("resolution", "heads"):
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name), 1)

    @property
    def ito_end(self) -> int:
        """The first step without ITO."""
        return step_number("stop", self.stop, self.steps)

    def step_length(self, i: int) -> float:
        """η_i = step_size · √f_i, where f falls from 1 to `decay`. The value loss is already scaled: η_i = √f_i."""
        f = 1 + (self.decay - 1) * i / (self.steps - 1) if self.steps > 1 else 1.0
        return f**0.5 * (1.0 if self.loss == "value" else self.step_size)

    @property
    def weights(self) -> LossWeights:
        return LossWeights(self.lambda_pl, self.lambda_nl, self.lambda_self_pl, self.lambda_self_nl)

    def remark(self, prompt: Prompt) -> str:
        parts = [f"γ = {self.gamma:g}"]
        if self.iterations and self.start_step >= self.ito_end:
            parts.append(f"no ITO, because it would end before step {self.ito_end}")
        elif self.iterations:
            parts.append(f"ITO × {self.iterations} before step {self.ito_end}")
        return ", ".join(parts)

    def edit(self, run: Run) -> Edit:
        return SuppressEOTEdit(self, run)


class SuppressEOTEdit(Edit):
    def __init__(self, settings: SuppressEOT, run: Run):
        super().__init__(run)
        self.settings = settings
        self.swr = run.soft_weight(settings.gamma)  # ĉ (B,77,D)
        if settings.iterations:
            self.maps = map_spec(run.sd, run.start.z, settings.resolution, settings.heads)
            keep, drop = tuple(p.others for p in run.prompts), tuple(p.target for p in run.prompts)
            if settings.loss == "value":
                self.value_loss = value_loss(run.sd, run.ctx, keep, drop, settings.weights, self.maps.scale)
            else:
                self.map_loss = AttentionLoss(self.maps, keep, drop, settings.weights, settings.loss)

    def _optimises(self, i: int) -> bool:
        return self.settings.iterations > 0 and i < self.settings.ito_end

    def reads_maps(self, i: int) -> bool:
        return self._optimises(i) and self.settings.loss != "value" and self.settings.maps_of == "original"

    def inputs(self, i: int, same: Inputs, original: Inputs, maps: Maps | None) -> Inputs:
        settings, (uncond, ctx) = self.settings, same.contexts
        if self._optimises(i):
            new = self._descend_on_values(i) if settings.loss == "value" else self._descend_on_maps(i, same, maps)
        else:
            new = ctx if i >= settings.ito_end and settings.after == "original" else self.swr
        return replace(same, contexts=(uncond, new))

    def _descend_on_maps(self, i: int, same: Inputs, maps: Maps | None) -> Tensor:
        settings, run = self.settings, self.run
        assert self.maps is not None
        if maps is None:  # as in the paper's text: the reference maps come from the edited latents and the prompt
            maps = run.read_maps(i, same.z, run.ctx, self.maps)
        # always float32: in half precision, small gradient steps would be lost in rounding
        ctx, eta = self.swr.float(), settings.step_length(i)
        return run.descend(i, same.z, ctx, self.map_loss, maps, settings.iterations, eta)

    def _descend_on_values(self, i: int) -> Tensor:
        settings = self.settings
        return descend(self.swr.float(), self.value_loss, settings.iterations, settings.step_length(i))

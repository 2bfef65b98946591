"""ESD: the model unlearns a concept by its own negative guidance (Gandikota et al. 2023, "Erasing Concepts from
Diffusion Models").

θ: the weights that are trained; θ*: the frozen ones; c: the concept; c_f: the prompt that is to lose it. Per iteration:

    k ~ {0 … T-1},  z <- k DDIM steps from noise with ε_θ, prompt c_f, guidance 3
    target = ε_θ*(z, c_f) - η (ε_θ*(z, c) - ε_θ*(z, ∅))                 if c_f is another prompt than c ("erase from")
    target = ε_θ*(z, ∅)   - η (ε_θ*(z, c) - ε_θ*(z, ∅))                 if c_f = c: the paper's equation 5
    θ <- θ - ∇_θ mean (ε_θ(z, c_f) - target)²

ESD-x trains the cross attention, and forgets the concept where the prompt names it; ESD-u trains all else, and forgets
it in every prompt. The trained model draws with its usual guidance: no pass is added.

There are two codes. The first one (train-esd.py) is the paper's: z comes from θ. The second one (esd_sd.py) takes z
from θ*, and has c_f in the place of ∅ in both cases; with c_f = c, its η = 2 is the same target as η = 1 here. With
another c_f it goes twice as far, and so does `official()`. The first code draws a timestep near the noise level of z;
the second one, and this file, take the level itself.

It cannot keep what was taught with the same words: a concept that all prompts share with others drags them along.

The embedded model decides in its first steps what it draws. There the loss is smallest: mean (ε(c) - ε(∅))² is .0001 at
the first of 10 steps and .0024 at the last. So it needs a larger η and learning rate than published, and training at
the noisiest levels alone. weights/tiny/defaults.json has what was found on prompts that no table uses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd import StableDiffusion, UNet
from minisd.base.arguments import number, whole_number
from minisd.ddim import Schedule

from .objective import Objective


@dataclass(frozen=True)
class ESD(Objective):
    """Settings, from the paper and its code (train-esd.py) if nothing else is said.

    prompts: those that are to lose the concept, c_f ("erase from"); empty: the concept alone. With several, each sample
    of a batch draws its own (the code draws one of several pairs).
    """

    eta: float = 1.0  # η
    sampling_steps: int = 50  # T
    sampling_guidance: float = 3.0
    own_samples: bool = True  # z comes from θ; False: from θ*, as in the second code

    @classmethod
    def x(cls, **changes: Any) -> ESD:
        """ESD-x: the cross attention."""
        return cls(**({"weights": "cross"} | changes))

    @classmethod
    def u(cls, **changes: Any) -> ESD:
        """ESD-u: all but the cross attention."""
        return cls(**({"weights": "others"} | changes))

    @classmethod
    def official(cls, **changes: Any) -> ESD:
        """The authors' second code, esd_sd.py: 200 iterations of 5e-5, z from θ*, η = 2 with an "erase from"."""
        second: dict[str, Any] = {"iterations": 200, "lr": 5e-5, "own_samples": False}
        return cls(**(second | {"eta": 2.0 if changes.get("prompts") else 1.0} | changes))

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("sampling_steps", self.sampling_steps, 1)
        object.__setattr__(self, "eta", number("eta", self.eta))
        object.__setattr__(self, "sampling_guidance", number("sampling_guidance", self.sampling_guidance, -math.inf))

    def loss(self, sd: StableDiffusion, unet: UNet, prepared: dict[str, Tensor], random: torch.Generator) -> Tensor:
        texts, schedule = self.texts(), Schedule(self.sampling_steps, sd.config.schedule)
        picked = torch.randint(len(texts), (self.batch,), generator=random).tolist()
        k = int(torch.randint(max(round(self.levels * len(schedule)), 1), (1,), generator=random))
        noise = self.noise(sd, self.batch, random)
        prompts = [texts[n] for n in picked]
        ctx = sd.encode_text([*prompts, *[self.concept] * self.batch, *[""] * self.batch])
        ctx_from, _, ctx_empty = ctx.chunk(3)

        z = self.partial_sample(replace(sd, unet=unet) if self.own_samples else sd, ctx_from, ctx_empty, noise, k)
        t = schedule.t[k]
        with torch.no_grad():
            eps_from, eps_concept, eps_empty = sd.unet(z.repeat(3, 1, 1, 1), t, ctx).chunk(3)
            alone = torch.tensor([text == self.concept for text in prompts], device=z.device)[:, None, None, None]
            target = torch.where(alone, eps_empty, eps_from) - self.eta * (eps_concept - eps_empty)
        return F.mse_loss(unet(z, t, ctx_from), target)

    def partial_sample(self, sd: StableDiffusion, ctx: Tensor, uncond: Tensor, noise: Tensor, k: int) -> Tensor:
        """The latents (B,4,h,w) after k DDIM steps from noise (B,4,h,w)."""
        steps = sd.sample(ctx, uncond, noise, self.sampling_steps, self.sampling_guidance)
        z = noise
        for _, _, after in islice(steps, k):
            z = after
        return z

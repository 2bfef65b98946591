"""How much ITO amplifies rounding: the reference loop against itself, with its noise changed by a millionth.

    python -m bench.sensitivity

ITO's steps may overshoot. Then a rounding error in the first iteration leads to another picture in the last one. If the
reference loop does not repeat itself, an engine that adds the same numbers in another order cannot repeat it either.
So compare an engine's worst Δ with this table.
"""

from __future__ import annotations

import torch
from torch import Tensor

import minisd
import suppress
from minisd import StableDiffusion
from suppress.prompt import encode
from suppress.start.noise import from_noise

from .report import machine, measured_on
from .scenario import JOBS, PROMPT, TARGET

SEEDS, TIMES, CHANGE = 8, 3, 1e-6


def main() -> None:
    sd = minisd.load("tiny", device="cpu")
    print(f"The bench job, worst |Δ| of the suppressed latents; {measured_on(machine(sd.device))}\n")
    print(f'| seed | the reference, its noise moved by {CHANGE:g}, {TIMES} times | engine="fast" |\n|---|---|---|')
    for seed in range(SEEDS):
        z = sd.noise([seed], 128, 128)
        unchanged = reference(sd, z)
        generator = torch.Generator().manual_seed(seed)
        changed = [z * (1 + CHANGE * torch.randn(z.shape, generator=generator)) for _ in range(TIMES)]
        own = [float((reference(sd, noise) - unchanged).abs().max()) for noise in changed]
        fast = suppress.run(sd, PROMPT, TARGET, seed=seed, settings=JOBS["bench"]).latents
        cells = ", ".join(f"{d:.0e}" for d in sorted(own))
        print(f"| {seed} | {cells} | {float((fast - unchanged).abs().max()):.0e} |", flush=True)


def reference(sd: StableDiffusion, z: Tensor) -> Tensor:
    """The edited latents (1,4,h,w) that the reference loop makes of the noise z."""
    prompts = [encode(sd, PROMPT, [TARGET])] * len(z)
    *_, (_, edited) = suppress.Reference(sd).two_branches(prompts, from_noise(prompts, z), JOBS["bench"])
    return edited


if __name__ == "__main__":
    main()

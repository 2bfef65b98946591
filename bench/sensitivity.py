"""How far ITO carries a last digit: the reference loop against itself, with its noise moved by a millionth.

    python -m bench.sensitivity

ITO's steps may overshoot, and then what is rounding in the first iteration is another picture in the last. Where the
reference does not repeat itself, no other order of the same sums can: read an engine's worst Δ beside this table.
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

SEEDS, TIMES, SHARE = 8, 3, 1e-6


def main() -> None:
    sd = minisd.load("tiny", device="cpu")
    print(f"The bench job, worst |Δ| of the suppressed latents; {measured_on(machine(sd.device))}\n")
    print(f'| seed | the reference, its noise moved by {SHARE:g}, {TIMES} times | engine="fast" |\n|---|---|---|')
    for seed in range(SEEDS):
        z = sd.noise([seed], 128, 128)
        alone = reference(sd, z)
        generator = torch.Generator().manual_seed(seed)
        moved = [z * (1 + SHARE * torch.randn(z.shape, generator=generator)) for _ in range(TIMES)]
        own = [float((reference(sd, m) - alone).abs().max()) for m in moved]
        fast = suppress.run(sd, PROMPT, TARGET, seed=seed, settings=JOBS["bench"]).latents
        cells = ", ".join(f"{d:.0e}" for d in sorted(own))
        print(f"| {seed} | {cells} | {float((fast - alone).abs().max()):.0e} |", flush=True)


def reference(sd: StableDiffusion, z: Tensor) -> Tensor:
    """The edited latents (1,4,h,w) that the reference loop makes of the noise z."""
    prompts = [encode(sd, PROMPT, [TARGET])] * len(z)
    *_, (_, edited) = suppress.Reference(sd).two_branches(prompts, from_noise(prompts, z), JOBS["bench"])
    return edited


if __name__ == "__main__":
    main()

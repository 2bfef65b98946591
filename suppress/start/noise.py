"""The start of a picture that is drawn: noise, and the empty prompt as ∅ at every step."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..prompt import Prompt
from ..protocol import Start


def from_noise(prompts: Sequence[Prompt], z: Tensor) -> Start:
    """z (B,4,h,w): noise, as `sd.noise(seeds, height, width)` makes it."""
    uncond = prompts[0].uncond
    return Start(z, lambda i: uncond)

"""The start of a picture that is drawn: noise, and as ∅ the empty or the negative prompt at every step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..prompt import Prompt
from ..protocol import Start


def from_noise(prompts: Sequence[Prompt], z: Tensor) -> Start:
    """z (B,4,h,w): noise, as `sd.noise(seeds, height, width)` makes it."""
    uncond = torch.cat([prompt.uncond for prompt in prompts])  # (B,77,D)
    return Start(z, lambda i: uncond)

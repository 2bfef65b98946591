"""What the engine's tests use: latents and maps of the reference loop, drawn once, and the error that is allowed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor

from minisd import Average, heat_maps, select
from suppress.engine import Reference as Plain
from suppress.prompt import encode
from suppress.protocol import Method
from suppress.start.noise import from_noise

MOVED = 1e-6  # relative change of the noise, a little more than one rounding error of float32


@dataclass(frozen=True)
class Reference:
    """What the reference loop draws for some seeds.

    bound: the error allowed to an engine that adds the same numbers in another order. It is 1e-3, or ten times the
    change of the reference's own latents if the noise changes by a millionth. ITO's steps may overshoot and so enlarge
    a rounding error; by how much depends on the processor's instructions.
    """

    original: Tensor  # (B,4,h,w)
    edited: Tensor
    original_maps: Tensor  # (B,77,h,w)
    maps: Tensor
    bound: float

    def distance(self, original: Tensor, edited: Tensor) -> float:
        return max(float((original - self.original).abs().max()), float((edited - self.edited).abs().max()))


@pytest.fixture(scope="session")
def reference(sd) -> Callable[[str, str | tuple[str, ...], tuple[int, ...], Method], Reference]:
    """A function (prompt, targets, seeds, settings) -> Reference, which draws each case once."""

    @cache
    def draw(text: str, targets: str | tuple[str, ...], seeds: tuple[int, ...], settings: Method) -> Reference:
        prompt = encode(sd, text, [targets] if isinstance(targets, str) else targets)
        z = sd.noise(seeds, 128, 128)
        moved = z * (1 + MOVED * torch.randn(z.shape, generator=torch.Generator().manual_seed(0)))
        watch = Average(select("cross")), Average(select("cross"))
        prompts = [prompt] * (2 * len(z))
        start = from_noise(prompts, torch.cat([z, moved]))
        *_, latents = Plain(sd).two_branches(prompts, start, settings, watch)
        (original, original_moved), (edited, edited_moved) = (x.chunk(2) for x in latents)
        own = max(float((original - original_moved).abs().max()), float((edited - edited_moved).abs().max()))
        maps = [heat_maps(record.maps, (16, 16))[: len(z)] for record in watch]
        return Reference(original, edited, *maps, bound=max(1e-3, 10 * own))

    return draw

"""Random numbers: those of a step come from the seed, the stage and the number of the step, and from nothing before it.

So a run that was stopped and goes on gives the same weights as one that was never stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_KINDS = ("weights", "pictures", "noise")


def state(seed: int, kind: str, stage: str, *numbers: int) -> np.random.SeedSequence:
    """The source of one kind of random numbers of a stage."""
    return np.random.SeedSequence([seed, _KINDS.index(kind), *stage.encode(), *numbers])


def generator(seed: int, stage: str, step: int, rank: int, device: torch.device) -> torch.Generator:
    """Of the noise of one step in one process. GPUs and CPUs draw different numbers."""
    [number] = state(seed, "noise", stage, step, rank).generate_state(1)
    return torch.Generator(device).manual_seed(int(number))


def choice(seed: int, stage: str, step: int, count: int, batch: int) -> np.ndarray:
    """(batch,) numbers below `count`: the pictures of one step."""
    return np.random.default_rng(state(seed, "pictures", stage, step)).integers(count, size=batch)


@contextmanager
def first_weights(seed: int, stage: str) -> Iterator[None]:
    """Inside this block, modules get the first weights of a stage. PyTorch's own generator is left as it was."""
    [number] = state(seed, "weights", stage).generate_state(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(number))
        yield

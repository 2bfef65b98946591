"""Random numbers: those of a step come from the seed, the stage and the number of the step, and from nothing before it.

So a run that was stopped and goes on gives the same weights as one that was never stopped.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from .processes import Processes

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


def choices(seed: int, stage: str, first: int, count: int, batch: int, processes: Processes) -> Iterator[np.ndarray]:
    """This process's part of the numbers of each step, from step `first` on, without end. UserError as in `share`."""
    part = processes.share(batch)
    begin = processes.rank * part
    return (choice(seed, stage, step, count, batch)[begin : begin + part] for step in itertools.count(first))


@contextmanager
def first_weights(seed: int, stage: str) -> Iterator[None]:
    """Inside this block, modules get the first weights of a stage. PyTorch's own generator is left as it was."""
    [number] = state(seed, "weights", stage).generate_state(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(number))
        yield

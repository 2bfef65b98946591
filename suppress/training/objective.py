"""Erasers that descend on a loss: one loop for all of them.

    for i = 0 … iterations-1:    θ <- AdamW(θ, ∇_θ loss(θ; what is drawn with the seed and i))

Everything random in iteration i comes from a generator that is made from the seed and i alone. So a training that was
stopped and goes on gives the same weights, to the bit, as one that was never stopped. With a weight decay of 0, AdamW
(Loshchilov & Hutter 2019) is Adam (Kingma & Ba 2015), which ESD uses.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from minisd import StableDiffusion, UNet, UserError
from minisd.base.arguments import fraction, number, one_of, whole_number
from minisd.base.counted import counted

from ..edits.weights import with_weights
from .eraser import Eraser, Progress, Trained
from .parameters import GROUPS, chosen
from .state import StateFile, named, no_losses, parts

if TYPE_CHECKING:
    from torch.optim import Optimizer

Weights = Literal["kv", "cross", "others", "full"]
SHOWN = 20  # the loss in the bar is the mean of so many iterations


@dataclass(frozen=True)
class Objective(Eraser):
    """The settings of a training by descent. Each method's file has the published values as its defaults."""

    weights: Weights = "cross"  # which parameters are trained (suppress/training/parameters.py)
    iterations: int = 1000  # steps of the optimiser
    lr: float = 1e-5  # learning rate, constant
    weight_decay: float = 0.0  # of AdamW
    clip: float = 0.0  # the gradient is scaled down to this norm if it is longer; 0: it is not
    batch: int = 1  # pictures per iteration
    # the share of the noise levels that is trained at, from the noisiest on; 1: all, as published. This project's own:
    # a small model decides what it draws in its first steps, where the loss is smallest
    levels: float = 1.0
    size: int = 0  # pixels of a side of what is drawn, a multiple of 8; 0: the size that the model was trained on

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("weights", self.weights, GROUPS)
        for name in ("iterations", "batch"):
            whole_number(name, getattr(self, name), 1)
        whole_number("size", self.size, 0)
        object.__setattr__(self, "levels", fraction("levels", self.levels))
        for name in ("lr", "weight_decay", "clip"):
            object.__setattr__(self, name, number(name, getattr(self, name)))

    def prepare(self, sd: StableDiffusion, progress: Progress | None = None) -> dict[str, Tensor]:
        """What is made once, before the first iteration, such as pictures; it is kept in the state."""
        return {}

    def loss(self, sd: StableDiffusion, unet: UNet, prepared: dict[str, Tensor], random: torch.Generator) -> Tensor:
        """The loss of one iteration, a scalar. sd: the frozen model θ*; unet: the one that is trained, θ."""
        raise NotImplementedError(f"{type(self).__name__}.loss")

    def fit(self, sd: StableDiffusion, state: StateFile | None = None, progress: Progress | None = None) -> Trained:
        if sd.dtype != torch.float32:
            raise UserError(f"the model's weights are {sd.dtype}; training needs float32 (--dtype fp32)")
        training = Training(sd, self, state, progress)
        training.run(progress)
        losses = training.losses
        last = losses[-min(len(losses), SHOWN) :]
        notes = {"first loss": losses[0], "last loss": sum(last) / len(last), "iterations": training.iteration}
        return Trained({name: p.detach() for name, p in training.parameters.items()}, notes)

    def noise(self, sd: StableDiffusion, count: int, random: torch.Generator) -> Tensor:
        """(count,4,h,w), on the model's device. UserError for a size that is no multiple of 8."""
        factor, side = sd.vae.config.factor, self.size or sd.side
        h, w = (pixels // factor for pixels in sd.check_size(side, side))
        return torch.randn(count, sd.config.unet.in_channels, h, w, generator=random).to(sd.device)


class Training:
    """A training at work: the UNet with its own copy of the trained parameters, and the optimiser."""

    def __init__(
        self,
        sd: StableDiffusion,
        objective: Objective,
        state: StateFile | None = None,
        progress: Progress | None = None,
    ):
        self.sd, self.objective, self.state = sd, objective, state
        done = state.read() if state else None
        names = chosen(sd.unet, objective.weights)
        start = parts(done.tensors, "weights") if done else dict(sd.unet.named_parameters())
        device = sd.device
        self.unet = with_weights(sd.unet, {name: start[name].detach().clone().to(device) for name in names})
        self.parameters = {name: self.unet.get_parameter(name).requires_grad_(True) for name in names}
        self.optimizer: Optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=objective.lr, weight_decay=objective.weight_decay
        )
        self.iteration = done.iteration if done else 0
        self.losses: list[float] = (done.tensors["losses"] if done else no_losses()).tolist()
        if done:
            prepared = parts(done.tensors, "prepared")
            self._restore_moments(done.tensors)
        else:
            prepared = objective.prepare(sd, progress)
        self.prepared = {name: x.to(device) for name, x in prepared.items()}

    def run(self, progress: Progress | None = None) -> None:
        """All iterations that are left. If it is stopped by Ctrl-C, the state is written first."""
        steps: Iterable[int] = range(self.iteration, self.objective.iterations)
        bar = progress(steps, total=self.objective.iterations, initial=self.iteration) if progress else steps
        try:
            for _ in bar:
                self.step()
                if hasattr(bar, "set_postfix_str"):
                    recent = self.losses[-SHOWN:]
                    bar.set_postfix_str(f"loss {sum(recent) / len(recent):.4g}")
                if self.state and self.iteration % self.state.every == 0:
                    self.save()
        except KeyboardInterrupt:
            if not (self.state and self.iteration):
                raise
            self.save()
            raise KeyboardInterrupt(f"{counted(self.iteration, 'iteration')} kept; go on with --resume") from None

    def step(self) -> None:
        """One iteration. Ctrl-C may stop it before the weights change or after it, never between."""
        objective, parameters = self.objective, list(self.parameters.values())
        random = generator(objective.seed, self.iteration)
        loss = objective.loss(self.sd, self.unet, self.prepared, random)
        value = loss.item()
        if not math.isfinite(value):
            if self.state and self.iteration:
                self.save()
            raise UserError(f"the loss of iteration {self.iteration} is {value}; lower the learning rate")
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        with undivided():
            for p, gradient in zip(parameters, gradients, strict=True):
                p.grad = gradient
            if objective.clip:
                torch.nn.utils.clip_grad_norm_(parameters, objective.clip)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.losses.append(value)
            self.iteration += 1

    def save(self) -> None:
        """Writes the state."""
        assert self.state is not None
        moments = {name: self.optimizer.state[p] for name, p in self.parameters.items() if self.optimizer.state[p]}
        self.state.write(
            self.iteration,
            named("weights", {**self.parameters})
            | named("mean", {name: m["exp_avg"] for name, m in moments.items()})
            | named("square", {name: m["exp_avg_sq"] for name, m in moments.items()})
            | named("updates", {name: m["step"] for name, m in moments.items()})
            | named("prepared", self.prepared)
            | {"losses": torch.tensor(self.losses, dtype=torch.float64)},
        )

    def _restore_moments(self, tensors: dict[str, Tensor]) -> None:
        mean, square, updates = (parts(tensors, kind) for kind in ("mean", "square", "updates"))
        for name in mean:
            p = self.parameters[name]
            moments = {"step": updates[name], "exp_avg": mean[name].to(p), "exp_avg_sq": square[name].to(p)}
            self.optimizer.state[p] = moments


def generator(seed: int, iteration: int) -> torch.Generator:
    """On the CPU, so that every device draws the same. -1: what is prepared before the first iteration."""
    [state] = np.random.SeedSequence([seed, iteration + 1]).generate_state(1)
    return torch.Generator().manual_seed(int(state))


@contextmanager
def undivided() -> Iterator[None]:
    """Ctrl-C inside this block takes effect at its end. Only the main thread gets it, and may ask for this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stopped: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: stopped.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if stopped:
        raise KeyboardInterrupt

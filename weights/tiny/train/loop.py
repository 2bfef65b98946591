"""The loop that all stages share.

    θ <- AdamW(θ, ∇ loss(θ; the batch and the noise of the step)),   learning rate along a cosine
    θ' <- EMA of θ

A step is never cut in two: Ctrl-C and kill are heard between two steps.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from minisd import UserError
from minisd.base.counted import counted
from minisd.base.picture_files import save_png

from .budget import rate
from .checkpoint import Checkpoint, read_checkpoint
from .ema import EMA
from .journal import Watch
from .randomness import generator
from .stage import Stage

LOG_EVERY = 50  # steps; reading a loss waits for the GPU


class Training:
    """A stage at work."""

    def __init__(self, stage: Stage):
        self.stage, self.job, self.descent = stage, stage.job, stage.descent
        self.budget = self.job.budgets[stage.name]
        self.file = self.job.work / f"{stage.name}.checkpoint.pt"
        self.processes = self.job.processes
        self.model = stage.model.to(stage.device).train()
        if stage.device.type == "cuda":
            # convolutions in half precision are faster with it; PyTorch's types do not know the argument
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        d = self.descent
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=d.lr, betas=(0.9, d.beta2), weight_decay=d.weight_decay
        )
        self.ema = EMA(self.model, d.ema) if d.ema else None
        self.steps, before = self._restore()
        self.watch = Watch(before)
        shared = self.processes.wrap(self.model)
        self.network: Callable[..., Any] = torch.compile(shared) if self.job.compiled else shared

    @property
    def best(self) -> nn.Module:
        """The model with the averaged weights, if there are such."""
        return self.ema.model if self.ema else self.model

    def _restore(self) -> tuple[int, float]:
        """(steps, seconds) of the checkpoint, which is taken over. (0, 0) if there is none."""
        found = read_checkpoint(self.file, self.stage.device)
        if found is None:
            return 0, 0.0
        try:
            self.model.load_state_dict(found.model)
            self.optimizer.load_state_dict(found.optimizer)
            if self.ema and found.ema:
                self.ema.model.load_state_dict(found.ema)
        except (RuntimeError, ValueError) as error:  # e.g. after the recipe's sizes were changed
            reason = (str(error).splitlines() or [""])[0]
            raise UserError(f"{self.file} does not fit ({reason}); remove it, and its stage begins anew") from None
        self.job.journal.write(self.stage.name, resumed=found.steps)
        return found.steps, found.seconds

    def forward(self, *inputs: Tensor) -> Any:
        """The model's forward pass."""
        with self.processes.autocast():
            return self.network(*inputs)

    def save(self) -> None:
        """Writes the checkpoint, and what the model makes now."""
        if not self.processes.is_first:
            return
        ema = self.ema.model.state_dict() if self.ema else None
        state = self.model.state_dict(), ema, self.optimizer.state_dict()
        Checkpoint(self.steps, self.watch.seconds, *state).write(self.file)

    def draw(self) -> None:
        """Writes a sample sheet, if the stage makes pictures."""
        if not self.processes.is_first:
            return
        training = self.best.training
        picture = self.stage.sheet(self.best.eval())
        self.best.train(training)
        if picture is not None:
            folder = self.job.work / "samples"
            folder.mkdir(exist_ok=True)
            save_png(picture, folder / f"{self.stage.name}-{self.steps:06}.png")

    def run(self) -> nn.Module:
        """Trains until the budget is spent, and returns the best model. If it is stopped, the checkpoint is kept."""
        batches = self.stage.batches(self.steps)
        batches = chain([next(batches)], batches)
        self.watch.start()  # now, because what is made before the first step should not count
        with asked_to_stop() as asked:
            while True:
                stop, seconds = self.processes.highest(float(bool(asked)), self.watch.seconds)
                if stop:
                    self.save()
                    raise KeyboardInterrupt(
                        f"{self.stage.name}: {counted(self.steps, 'step')} kept; go on with --resume"
                    )
                share = self.budget.share(self.steps, seconds)
                if share >= 1:
                    break
                self.step(next(batches), share)
                if self.steps % self.descent.save_every == 0:
                    self.save()
                    self.draw()
        self.save()
        self.draw()
        return self.best.eval()

    def step(self, batch: Any, share: float) -> dict[str, Tensor]:
        """One step of the optimiser. share: how much of the budget is spent."""
        d, stage = self.descent, self.stage
        for group in self.optimizer.param_groups:
            group["lr"] = d.lr * rate(share)
        random = generator(self.job.seed, stage.name, self.steps, self.processes.rank, stage.device)
        losses = stage.losses(self.forward, batch, random)
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        if d.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), d.clip)
        self.optimizer.step()
        if self.ema:
            self.ema.update(self.model, self.steps)
        self.steps += 1
        if self.steps % LOG_EVERY == 1 or self.steps % d.save_every == 0:
            self._log(losses)
        return losses

    def _log(self, losses: dict[str, Tensor]) -> None:
        """Adds a line to the log. UserError if the loss is not finite: the checkpoint before it is kept."""
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        lr = self.optimizer.param_groups[0]["lr"]
        self.job.journal.write(self.stage.name, step=self.steps, **values, seconds=self.watch.seconds, rate=lr)
        if not math.isfinite(values["loss"]):
            raise UserError(
                f"{self.stage.name}: the loss of step {self.steps} is {values['loss']}; begin a new folder with "
                "another --seed, or lower the stage's learning rate in recipe.py"
            )


@contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """Inside this block, Ctrl-C and kill add to the list, so that a step is never cut in two.

    The second one acts at once.
    """
    asked: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: Any) -> None:
        asked.append(number)
        restore()

    for number in before:
        signal.signal(number, note)
    try:
        yield asked
    finally:
        restore()

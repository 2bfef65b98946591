"""What a stage is: a model, its batches, its loss, and the files that it leaves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

from .budget import Budget
from .drawings import Batch, Drawings
from .journal import Journal
from .processes import Processes
from .recipe import Recipe

WORK = "training"  # the folder of log, checkpoints and sample sheets, in that of the model
BatchT = TypeVar("BatchT")


@dataclass(frozen=True)
class Job:
    """What all stages of a run share."""

    out: Path  # the folder of the model
    recipe: Recipe
    seed: int
    budgets: dict[str, Budget]
    processes: Processes
    drawings: Drawings
    journal: Journal
    workers: int = 0  # processes that draw pictures; 0: this process does it
    compiled: bool = False  # by torch.compile

    @property
    def work(self) -> Path:
        return self.out / WORK


class Stage(ABC, Generic[BatchT]):
    """One training. `model` is what is trained; what else a stage needs is read from the files of earlier stages."""

    name: str
    model: nn.Module

    def __init__(self, job: Job):
        self.job = job
        self.descent = job.recipe.descents[self.name]
        self.device = job.processes.device

    @abstractmethod
    def batches(self, first: int) -> Iterator[BatchT]:
        """The data of the steps from `first` on, without end."""

    @abstractmethod
    def losses(self, forward: Callable[..., Any], batch: BatchT, random: torch.Generator) -> dict[str, Tensor]:
        """{"loss": what descends, and parts of it to be logged}, scalars.

        forward: the model's forward pass. It must be called once, and no other method of the model.
        """

    @abstractmethod
    def export(self, model: nn.Module) -> None:
        """Writes the files of the trained model. The file that says that the stage is finished comes last."""

    def sheet(self, model: nn.Module) -> Image.Image | None:
        """What the model makes at this moment, if it makes pictures."""
        return None


class PictureStage(Stage[Batch]):
    """A stage that learns from pictures and captions as they are drawn."""

    def batches(self, first: int) -> Iterator[Batch]:
        job = self.job
        return job.drawings.steps(self.name, first, self.descent.batch, job.processes, job.workers)

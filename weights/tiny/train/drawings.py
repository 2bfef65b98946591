"""Pictures of the drawn world, drawn by worker processes when a step first needs them.

A file keeps what was drawn, because a picture of 128 pixels takes 5 ms, and so a batch takes longer than its step. All
processes see the file as memory. Each run makes a new file and removes it at its end. If two workers draw the same
number at the same time, they write the same bytes.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from minisd.config import CONTEXT, Config
from minisd.loading.tokenizer import Tokenizer, load_tokenizer
from suppress.world import ATTRIBUTES, attributes, render

from .captions import CAPTIONS, described
from .processes import Processes
from .randomness import choices
from .vocabulary import padded

NAMES = sorted(ATTRIBUTES)  # the detector's classes, in the order of its logits


class Batch(NamedTuple):
    """Some pictures, on the CPU."""

    pictures: Tensor  # (B,side,side,3) uint8
    attributes: Tensor  # (B,37) bool
    ids: Tensor  # (B,4,77) int16, token ids of the captions

    def x(self, device: torch.device) -> Tensor:
        """The pictures as (B,3,side,side) in [-1,1]."""
        return self.pictures.to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 127.5 - 1


@dataclass(frozen=True)
class Drawings(Dataset):
    """`count` pictures with their captions. `__getitems__` draws those that are not there yet."""

    file: Path
    tokenizer_folder: Path
    model: Config
    count: int
    seed: int

    @property
    def record(self) -> np.dtype:
        """What the file holds of each picture."""
        side, latent = self.model.unet.sample_size * self.model.vae.factor, self.model.unet.sample_size
        return np.dtype(
            [
                ("drawn", np.bool_),
                ("picture", np.uint8, (side, side, 3)),
                ("attributes", np.bool_, (len(NAMES),)),
                ("ids", np.int16, (CAPTIONS, CONTEXT)),
                ("latent", np.float16, (self.model.vae.latent_channels, latent, latent)),  # written by latents.py
            ]
        )

    @contextmanager
    def kept(self, processes: Processes) -> Iterator[None]:
        """Inside this block the file exists."""
        if processes.is_first:
            with self.file.open("wb") as file:
                file.truncate(self.count * self.record.itemsize)  # a hole: the disk gives room as pictures come
        processes.wait()
        try:
            yield
        finally:
            if processes.is_first:
                self.file.unlink(missing_ok=True)

    @cached_property
    def records(self) -> np.memmap:
        """(count,) records, shared by all processes. Each process opens the file when it first needs it."""
        return np.memmap(self.file, self.record, "r+", shape=(self.count,))

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return load_tokenizer(self.tokenizer_folder)

    def __getstate__(self) -> dict[str, object]:
        """A worker process opens the file and the tokenizer by itself."""
        return {key: value for key, value in vars(self).items() if key not in ("records", "tokenizer")}

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, numbers: Sequence[int]) -> Batch:
        """The pictures with these numbers."""
        wanted = np.asarray(numbers)
        for number in wanted[~self.records["drawn"][wanted]]:
            self._draw(int(number))
        return Batch(*(torch.from_numpy(self.records[name][wanted]) for name in ("picture", "attributes", "ids")))

    def _draw(self, number: int) -> None:
        spec, texts = described(self.seed, number)
        records, shown = self.records, attributes(spec)
        records["picture"][number] = np.asarray(render(spec, records["picture"].shape[1]))
        records["attributes"][number] = [shown[name] for name in NAMES]
        records["ids"][number] = [padded(self.tokenizer, text) for text in texts]
        records["drawn"][number] = True  # last: a worker that sees this takes the rest

    # ------------------------------------------------------------------ batches, from worker processes

    def steps(self, stage: str, first: int, batch: int, processes: Processes, workers: int) -> Iterator[Batch]:
        """The batches of a stage's steps, from step `first` on, without end. Each process gets its own part."""
        numbers = choices(self.seed, stage, first, self.count, batch, processes)
        return self._load((mine.tolist() for mine in numbers), workers)

    def in_order(self, numbers: range, batch: int, workers: int) -> Iterator[Batch]:
        """All these pictures, in batches."""
        return self._load((list(numbers[k : k + batch]) for k in range(0, len(numbers), batch)), workers)

    def _load(self, numbers: Iterator[list[int]], workers: int) -> Iterator[Batch]:
        loader = DataLoader(
            self,
            batch_sampler=numbers,
            collate_fn=_as_it_is,
            num_workers=workers,
            worker_init_fn=_begin_worker,
            pin_memory=torch.cuda.is_available(),
        )
        return iter(loader)


def _as_it_is(batch: Any) -> Any:
    """`__getitems__` has made a batch already."""
    return batch


def _begin_worker(_number: int) -> None:
    """Ctrl-C reaches every process of a terminal; the main process alone decides what happens then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

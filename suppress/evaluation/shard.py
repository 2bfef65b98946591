"""A part of a table's cells, for a process that shares the work with others: `--shard 3/16`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .jobs import Job


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` parts. The first one has number 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def ending(self) -> str:
        """What tells the file of this part from the others' files."""
        return f"-{self.number}-of-{self.count}"

    def of(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs of this part. Each job is in exactly one part, and all parts have about as many.

        Jobs that follow each other and share a picture's inversion stay together, so that it is inverted once.
        """
        groups = [list(group) for _, group in groupby(enumerate(jobs), _work)]
        return [job for group in groups[self.number - 1 :: self.count] for _, job in group]


def _work(numbered: tuple[int, Job]) -> object:
    """What the job shares with its neighbours; its own number if it shares nothing."""
    number, job = numbered
    return number if job.inversion is None else (job.case.key, job.inversion)


def read_shard(text: str) -> Shard:
    """ "3/16" -> Shard(3, 16). For argparse."""
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(
            f"{text[:30]!r} is no part; expected NUMBER/COUNT from 1/16 to 16/16 (in Slurm: --array=1-16 and "
            "--shard $SLURM_ARRAY_TASK_ID/16)"
        )
    return Shard(int(match[1]), int(match[2]))

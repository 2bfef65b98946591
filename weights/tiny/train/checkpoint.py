"""The file of a stage that is not finished: weights, their average, the optimiser's moments, and where it stands.

It is written under another name and then renamed. So whatever stops the run, the last checkpoint is whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minisd import UserError
from minisd.base.outputs import write_file


@dataclass(frozen=True)
class Checkpoint:
    """A stage after `steps` steps."""

    steps: int
    seconds: float
    model: dict[str, Any]
    ema: dict[str, Any] | None
    optimizer: dict[str, Any]

    def write(self, file: Path) -> None:
        """An existing checkpoint is replaced."""
        write_file(file, lambda out: torch.save(vars(self), out))


def read_checkpoint(file: Path, device: torch.device) -> Checkpoint | None:
    """None if there is none. UserError if it is damaged. Nothing in it is run."""
    if not file.exists():
        return None
    try:
        return Checkpoint(**torch.load(file, map_location=device, weights_only=True))
    except Exception as error:  # PyTorch raises many types of errors for a damaged file
        reason = (str(error).splitlines() or [""])[0]
        raise UserError(f"{file} cannot be read ({reason}); remove it, and its stage begins anew") from None

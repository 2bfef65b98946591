"""All pictures as latents, made once before the UNet's stage: its steps are too short to draw and encode in each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .parts import read_vae
from .stage import Job

_BATCH = 512  # pictures that are encoded at once


class Latents(NamedTuple):
    """What the UNet learns from, in the memory of the device."""

    z: Tensor  # (N,4,h,w) float16, scaled
    ids: Tensor  # (N,4,77) int16


@torch.no_grad()
def encode_all(job: Job) -> Latents:
    """Draws what was not drawn yet, and encodes everything. Each process does a part."""
    processes, drawings = job.processes, job.drawings
    vae = read_vae(job.out).to(processes.device)
    first, end = (len(drawings) * rank // processes.count for rank in (processes.rank, processes.rank + 1))
    for batch, start in zip(
        drawings.in_order(range(first, end), _BATCH, job.workers), range(first, end, _BATCH), strict=True
    ):
        with processes.autocast():
            z = vae.encode(batch.x(processes.device))
        drawings.records["latent"][start : start + len(z)] = z.half().cpu().numpy()
    processes.wait()
    fields = (np.ascontiguousarray(drawings.records[name]) for name in ("latent", "ids"))
    return Latents(*(torch.from_numpy(field).to(processes.device) for field in fields))

"""One process per GPU, started by torchrun; or a single process, for which everything here does nothing.

Gradients are averaged by DistributedDataParallel (Li et al. 2020). Numbers on which all processes must agree, such as
whether to stop, travel on the CPU, so that no GPU waits for them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from minisd import UserError


@dataclass(frozen=True)
class Processes:
    """This process among all of them."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """The first process writes all files."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[None]:
        """Inside this block, networks compute in bfloat16 on a GPU, and in float32 on a CPU.

        The weights stay float32. Losses belong outside of the block, because they need float32, too.
        """
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def share(self, total: int) -> int:
        """The part of a batch that one process computes. UserError if the batch cannot be divided evenly."""
        if total % self.count:
            raise UserError(f"a batch of {total} cannot be divided among {self.count} processes; start another number")
        return total // self.count

    def highest(self, *values: float) -> list[float]:
        """For each value, the highest that any process has."""
        if self.count == 1:
            return list(values)
        both = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(both, op=dist.ReduceOp.MAX)
        return both.tolist()

    def wait(self) -> None:
        """Until all processes are here."""
        self.highest(0.0)

    def gather(self, x: Tensor) -> Tensor:
        """x (B,…) of each process -> (B·count,…) of all of them, for a loss that each process computes in full.

        Only the own part has a gradient, and `count` times too large: then the mean that `wrap` takes over the
        processes is the gradient of the one loss.
        """
        if self.count == 1:
            return x
        fixed = x.detach().contiguous()
        parts = [torch.empty_like(fixed) for _ in range(self.count)]
        dist.all_gather(parts, fixed)
        if x.requires_grad:
            parts[self.rank] = fixed + self.count * (x - fixed)
        return torch.cat(parts)

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model whose forward pass is to be called: its gradients become the mean over all processes."""
        if self.count == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids)


@contextmanager
def processes(device: str | None) -> Iterator[Processes]:
    """The processes of this run. device: "cpu" or "cuda"; None: cuda if there is one.

    UserError if there are fewer GPUs than processes.
    """
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind not in ("cpu", "cuda"):
        raise UserError(f"--device {kind}: expected cpu or cuda")
    local, gpus = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if kind == "cuda" and local >= gpus:
        raise UserError(
            f"--device cuda: process {local + 1} has no GPU, there are {gpus}; start fewer, or --device cpu"
        )
    chosen = torch.device(kind, local) if kind == "cuda" else torch.device("cpu")
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield Processes(chosen)
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo")
    try:
        yield Processes(chosen, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()

"""How many samples ITO takes at once: as many as the GPU has room for what the way back needs of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

SHARE = 0.4  # of the free memory: a CUDA graph has a pool of its own, beside what the runs before its recording took
ON_CPU = 4  # samples: a bound where PyTorch does not tell what is free


def samples_at_once(device: torch.device, most: int, bytes_each: Callable[[], int]) -> int:
    """At least 1, at most `most`. bytes_each: of one sample; asked for only where it matters."""
    if most == 1 or device.type != "cuda":
        return min(most, ON_CPU)
    return max(1, min(most, int(SHARE * free_bytes(device) / bytes_each())))


def free_bytes(device: torch.device) -> int:
    """What the driver has left, and what PyTorch holds without using it."""
    left, _ = torch.cuda.mem_get_info(device)
    return left + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def saved_bytes(run: Callable[[], Tensor], weights: Iterable[Tensor]) -> int:
    """What autograd keeps of run() for the way back, the weights apart."""
    known = {w.untyped_storage().data_ptr() for w in weights}
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        result = run()  # holds what was kept, so that no two storages have the same address
    del result
    return sum(kept.values())

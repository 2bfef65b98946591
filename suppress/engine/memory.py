"""How many samples ITO takes at once: as many as fit, counting the activations that the backward pass needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

# The fraction of the free memory that is used. The rest is for the memory pool of a CUDA graph, which is separate from
# the memory that the runs before the recording took
USED_FRACTION = 0.4
CPU_SAMPLES = 4  # on other devices, PyTorch does not tell how much memory is free


def samples_at_once(device: torch.device, most: int, bytes_each: Callable[[], int]) -> int:
    """The number of samples, from 1 to `most`. bytes_each: the bytes of one sample; it is called only if needed."""
    if most == 1 or device.type != "cuda":
        return min(most, CPU_SAMPLES)
    return max(1, min(most, int(USED_FRACTION * free_bytes(device) / bytes_each())))


def free_bytes(device: torch.device) -> int:
    """The memory that the driver has left, and that which PyTorch has reserved but does not use."""
    left, _ = torch.cuda.mem_get_info(device)
    return left + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def saved_bytes(run: Callable[[], Tensor], weights: Iterable[Tensor]) -> int:
    """The bytes that autograd keeps of run() for the backward pass, without the weights."""
    known = {w.untyped_storage().data_ptr() for w in weights}
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        result = run()  # keeps the storages alive, so that no two of them have the same address
    del result
    return sum(kept.values())

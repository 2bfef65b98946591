"""What tells two models apart: a checksum of all weights, and a short fingerprint of a UNet in a given dtype."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

CHUNK = 2**18  # weights that the checksum reads at once, which fit into a CPU's cache
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def checksum(module: nn.Module, dtype: torch.dtype | None = None) -> Tensor:
    """A checksum of all weights with their names and shapes, int64 on the CPU. dtype: of the weights as this dtype.

    For each piece of the weights: Σ_k b_k (2k + 1), b_k the bits as a whole number, each product modulo 2^32. It reads
    each weight once where it is, at the speed of the memory (SD v1.4 has 3.8 GB in float32), and changes with every
    change of a single weight, because odd factors can be undone. It is no protection from a person who wants two
    models to have one checksum.
    """
    sums, names = [], hashlib.sha256()
    odd: Tensor | None = None
    for name, weight in module.state_dict().items():
        weight = weight if dtype is None else weight.to(dtype)
        names.update(f"{name} {tuple(weight.shape)} {weight.dtype}\n".encode())
        if odd is None or odd.device != weight.device:
            odd = torch.arange(1, 2 * CHUNK, 2, dtype=torch.int32, device=weight.device)
        for piece in bits(weight).split(CHUNK):
            sums.append((piece * odd[: len(piece)]).sum())
    total = torch.stack(sums).cpu()
    return torch.cat([total, torch.frombuffer(bytearray(names.digest()), dtype=torch.int64)])


def bits(x: Tensor) -> Tensor:
    """The bits of all values, as int32 (n,)."""
    whole = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int32}[x.element_size()]
    return x.detach().contiguous().view(-1).view(whole).to(torch.int32)


def fingerprint(module: nn.Module, dtype: torch.dtype) -> str:
    """16 hexadecimal digits that stand for the module's weights as this dtype."""
    return hashlib.sha256(checksum(module, dtype).numpy().tobytes()).hexdigest()[:16]


def dtype_name(dtype: torch.dtype) -> str:
    """The name under which `fingerprints` has this dtype; empty if it has none."""
    return next((name for name, each in DTYPES.items() if each == dtype), "")


def fingerprints(module: nn.Module) -> dict[str, str]:
    """Name of a dtype -> fingerprint: a file that was made in float32 can then be recognised in half precision."""
    return {name: fingerprint(module, dtype) for name, dtype in DTYPES.items()}

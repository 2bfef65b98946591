"""Small delta files: the difference to the model's weights, each matrix as a product of two thin ones.

    W' ≈ W + B A,    B = U_r Σ_r^½ (out,r),  A = Σ_r^½ V_rᵀ (in,r),    W' - W = U Σ Vᵀ

This is the best approximation of rank r (Eckart & Young 1936), and LoRA's form (Hu et al. 2021). A convolution
(out,in,3,3) counts as a matrix (out,9·in). A vector, and a matrix that the two would not make smaller, stay whole.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

OUT, IN = ":out", ":in"  # ends of the names of B and A; a parameter's own name has no colon


def factors(new: Tensor, old: Tensor, rank: int) -> tuple[Tensor, Tensor] | None:
    """(B (out,r), A (r,in)) of new - old, in float32; None if they would not be smaller than the matrix."""
    if new.dim() < 2:
        return None
    difference = (new.float() - old.float()).flatten(1)
    if rank * sum(difference.shape) >= difference.numel():
        return None
    u, s, vh = torch.linalg.svd(difference, full_matrices=False)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * vh[:rank]


def reduced(new: Mapping[str, Tensor], old: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """The tensors of a small delta file, in float16: NAME:out and NAME:in, or NAME as it is."""
    small: dict[str, Tensor] = {}
    for name, tensor in new.items():
        pair = factors(tensor, old[name], rank)
        small |= {name: tensor} if pair is None else {name + OUT: pair[0], name + IN: pair[1]}
    return {name: x.half() for name, x in small.items()}


def restored(tensors: Mapping[str, Tensor], old: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The reverse: the new values of the parameters. Names without an ending stay."""
    new = {name: x for name, x in tensors.items() if not name.endswith((OUT, IN))}
    for name in (name.removesuffix(OUT) for name in tensors if name.endswith(OUT)):
        difference = tensors[name + OUT].float() @ tensors[name + IN].float()
        new[name] = old[name] + difference.view_as(old[name]).to(old[name])
    return new

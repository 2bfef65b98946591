"""Projections on the span of a few embeddings, from a thin SVD in float64.

The embeddings of texts that are nearly equal are nearly parallel. C (CᵀC)⁺ Cᵀ, as the methods' papers write it, squares
their condition number, and in float32 its result is noise; a thin SVD does not.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Directions with a singular value below this part of the largest are left out. Embeddings in float32 are exact to about
# 1e-7 of it, and two texts that differ in one word differ by more than a hundredth.
TOLERANCE = 1e-5


def basis(vectors: Tensor) -> Tensor:
    """Orthonormal rows (r,D) that span the rows of vectors (k,D). float64, on the CPU: Apple's GPUs have no float64."""
    _, sigma, directions = torch.linalg.svd(vectors.cpu().double(), full_matrices=False)
    return directions[sigma > TOLERANCE * sigma.max()]


def project(x: Tensor, directions: Tensor) -> Tensor:
    """The part of x (…,D) in the span of the rows of `directions` (r,D), which are orthonormal."""
    return (x @ directions.T) @ directions

"""Closed-form edits of the key and value projections, written as one linear map T on the context.

UCE ("Unified Concept Editing", Gandikota et al., WACV 2024) replaces each projection W (keys and values of all cross
layers) by the least-squares solution that sends the rows c_i to the outputs of other rows c*_i and keeps those of p_j:

    W' = (λ W + s Σ W c*_i c_iᵀ + r Σ W p_j p_jᵀ) A⁻¹,      A = λ 1 + s Σ c_i c_iᵀ + r Σ p_j p_jᵀ
       = W T,      T = 1 + s Σ (c*_i - c_i) c_iᵀ A⁻¹                                      the same T for every W

So T c in the unedited UNet is c in the edited one. RECE (Gong et al., ECCV 2024) asks which embeddings still bring the
concept back: those that W' = W T sends nearest to the concept's old outputs, over all projections at once:

    c' = H c = argmin Σ_W |W' c' - W c|² + λ' |c'|²,      H = (λ' 1 + Tᵀ S T)⁻¹ Tᵀ S,      S = Σ_W WᵀW

All of it is in float64, on the CPU; A and λ' 1 + Tᵀ S T are symmetric and positive, so Cholesky's factor solves them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from minisd import UNet, UserError

from .taps import cross_layers


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows and what they are to become. float64 on the CPU."""

    old: Tensor  # c (k,D)
    new: Tensor  # c* (k,D)
    kept: Tensor  # p (m,D)


def solve(pairs: Pairs, lam: float, scale: float = 1.0, keep_scale: float = 1.0) -> Tensor:
    """T (D,D). lam: λ, scale: s, keep_scale: r. No pairs: T is the identity."""
    old, kept = pairs.old, pairs.kept
    if not len(old):
        return torch.eye(old.shape[1], dtype=old.dtype)
    a = lam * torch.eye(old.shape[1], dtype=old.dtype) + scale * old.T @ old + keep_scale * kept.T @ kept
    change = scale * (pairs.new - old).T @ old  # s Σ (c* - c) cᵀ
    return torch.eye(old.shape[1], dtype=old.dtype) + torch.cholesky_solve(change.T, _factor(a, lam)).T


def projection_products(unet: UNet) -> Tensor:
    """S = Σ WᵀW (D,D) over the key and value projections of all cross layers."""
    weights = [layer.weight.detach().cpu().double() for attn in cross_layers(unet) for layer in (attn.to_k, attn.to_v)]
    return sum((w.T @ w for w in weights[1:]), weights[0].T @ weights[0])


def recover(t: Tensor, products: Tensor, lam: float) -> Tensor:
    """H (D,D): the map from a concept's embedding to the one that brings it back under W T. products: S; lam: λ'."""
    right = t.T @ products
    return torch.cholesky_solve(right, _factor(right @ t + lam * torch.eye(len(t), dtype=t.dtype), lam))


def _factor(a: Tensor, lam: float) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(a)
    if failed:
        raise UserError(f"λ = {lam:g} is too small: the equations have no single solution; expected a larger one")
    return factor

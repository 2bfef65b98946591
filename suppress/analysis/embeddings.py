"""What the embeddings alone show: singular values, distances. No picture is drawn.

Li et al., ICLR 2024: section 3.2 (the [EOT] rows are of low rank and alike, Fig. 2c) and 3.3 (the spectrum of χ).
"""

from __future__ import annotations

import math
from typing import Any

import torch

from minisd.config import CONTEXT

from ..edits.rows import take_rows
from .findings import Findings
from .study import Study


def singular(study: Study) -> Findings:
    """Singular values of χ (target and [EOT]) and of Ψ ([EOT] alone), the largest first.

    energy: the share of Σσ² that the values up to this one hold. swr: what soft weighting makes of it, σ e^(-γσ).
    """
    gamma = study.settings.gamma
    rows: list[dict[str, Any]] = []
    for matrix, at in (("target+eot", study.rows), ("eot", study.prompt.eot)):
        sigma = torch.linalg.svdvals(take_rows(study.prompt.ctx[0], at)[1])
        energy = sigma.square().cumsum(0) / sigma.square().sum()
        for i, (value, share) in enumerate(zip(sigma.tolist(), energy.tolist(), strict=True)):
            swr = value * math.exp(-gamma * value)
            rows.append({"matrix": matrix, "index": i, "sigma": value, "energy": share, "swr": swr})
    return Findings(rows, notes=[f"SWR with γ = {gamma:g}"])


def distance(study: Study) -> Findings:
    """Distances of all 77 embeddings from each other, each pair once (Fig. 2c).

    The paper does not say which distance: here are the Euclidean one and 1 - cosine.
    """
    ctx = study.prompt.ctx[0].cpu().double()  # (77,D)
    euclidean = torch.cdist(ctx, ctx)
    unit = ctx / ctx.norm(dim=-1, keepdim=True)
    cosine = 1 - unit @ unit.T
    tokens = token_names(study)
    rows = [
        {
            "i": i,
            "j": j,
            "token_i": tokens[i],
            "token_j": tokens[j],
            "euclidean": float(euclidean[i, j]),
            "cosine": float(cosine[i, j]),
        }
        for i in range(CONTEXT)
        for j in range(i + 1, CONTEXT)
    ]
    return Findings(rows)


def token_names(study: Study) -> list[str]:
    """All 77: the padding is [EOT] as well."""
    tokens = study.sd.tokens(study.prompt.text)
    return tokens + ["[EOT]"] * (CONTEXT - len(tokens))

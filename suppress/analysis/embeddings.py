"""What the embeddings alone show: their singular values and distances. No picture is drawn.

Li et al., ICLR 2024: section 3.2 (the [EOT] rows are similar and of low rank, Fig. 2c) and 3.3 (the spectrum of χ).
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

    energy: the part of Σσ² in the values up to and including this one. swr: the value after SWR, σ e^(-γσ).
    """
    gamma = study.settings.gamma
    rows: list[dict[str, Any]] = []
    for matrix, indices in (("target+eot", study.rows), ("eot", study.prompt.eot)):
        sigma = torch.linalg.svdvals(take_rows(study.prompt.ctx[0], indices)[1])
        energy = sigma.square().cumsum(0) / sigma.square().sum()
        for i, (value, part) in enumerate(zip(sigma.tolist(), energy.tolist(), strict=True)):
            swr = value * math.exp(-gamma * value)
            rows.append({"matrix": matrix, "index": i, "sigma": value, "energy": part, "swr": swr})
    return Findings(rows, notes=[f"SWR with γ = {gamma:g}"])


def distance(study: Study) -> Findings:
    """The distance of each pair of the 77 embeddings (Fig. 2c).

    The paper does not say which distance it means, so both are given: Euclidean, and 1 - cosine.
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
    """The names of all 77 tokens. Each token of the padding is an [EOT] too."""
    tokens = study.sd.tokens(study.prompt.text)
    return tokens + ["[EOT]"] * (CONTEXT - len(tokens))

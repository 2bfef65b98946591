"""What the [EOT] padding carries: section 3.2 of Li et al., ICLR 2024, and its appendix D. All from step 0."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..edits.variants import keep_top, zero
from .findings import Findings, gather, score
from .study import Study

RANKS = (0, 1, 2, 4, 9)  # Fig. 2b


def rank(study: Study, ranks: Sequence[int] = RANKS) -> Findings:
    """The [EOT] rows as the best matrix of rank K, and in full (Fig. 2b); ranks beyond the full one are left out.

    The paper cuts by WNNM but "mainly keeps the top-K": this is the plain cut. Full rank is the original picture.
    """
    ctx, eot = study.prompt.ctx, study.prompt.eot
    full = min(len(eot), ctx.shape[-1])
    kept = [k for k in ranks if k < full] + [full]
    drawn = study.draw([keep_top(ctx, eot, k) for k in kept], first=0)
    return gather(
        study,
        [
            score(study, f"rank {k}" if k < full else f"full rank, {k}", {"rank": k}, pictures)
            for k, pictures in zip(kept, drawn, strict=True)
        ],
    )


def zeroing(study: Study) -> Findings:
    """Zeros for the target's rows, for [EOT]'s, for both (Fig. 2a)."""
    ctx, target, eot = study.prompt.ctx, study.prompt.target, study.prompt.eot
    contexts = {
        "nothing": ctx,
        "target": zero(ctx, target),
        "[EOT]": zero(ctx, eot),
        "target and [EOT]": zero(ctx, (*target, *eot)),
    }
    drawn = study.draw(list(contexts.values()), first=0)
    return gather(
        study,
        [
            score(study, "original" if name == "nothing" else f"{name} zeroed", {"zeroed": name}, pictures)
            for name, pictures in zip(contexts, drawn, strict=True)
        ],
    )


def replacement(study: Study) -> Findings:
    """The words' rows replaced by [EOT] embeddings (Table 5, Figs. 2c and 21): by one, and by all in order.

    [SOT] and the [EOT] rows stay. "One" is the first [EOT], which the paper picks at random; all in order are cropped
    where there are more of them than words, else repeated. CLIP scores are for the whole prompt.
    """
    contexts = {
        "nothing": study.prompt.ctx,
        "one [EOT]": replace_words(study.prompt.ctx, study.prompt.eot, one=True),
        "all [EOT] in order": replace_words(study.prompt.ctx, study.prompt.eot, one=False),
    }
    drawn = study.draw(list(contexts.values()), first=0)
    return gather(
        study,
        [
            score(
                study,
                "original" if name == "nothing" else f"words ← {name}",
                {"words": "kept" if name == "nothing" else name},
                pictures,
                study.prompt.text,
            )
            for name, pictures in zip(contexts, drawn, strict=True)
        ],
    )


def replace_words(ctx: Tensor, eot: Sequence[int], one: bool) -> Tensor:
    """ctx (B,77,D) with the first row of eot, or its rows in order, cropped or repeated, in place of rows 1 … n-2."""
    words = torch.arange(1, eot[0], device=ctx.device)
    source = eot[:1] if one else eot
    picked = torch.tensor([source[k % len(source)] for k in range(len(words))], dtype=torch.long, device=ctx.device)
    return ctx.index_copy(-2, words, ctx.index_select(-2, picked))

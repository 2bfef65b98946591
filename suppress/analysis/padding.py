"""What the [EOT] padding carries: section 3.2 and appendix D of Li et al., ICLR 2024.

Every context here is used from step 0 on.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..edits.rows import replace_words, zero
from ..edits.spectrum import keep_top
from .findings import Findings, gather, score
from .study import Study

RANKS = (0, 1, 2, 4, 9)  # Fig. 2b


def rank(study: Study, ranks: Sequence[int] = RANKS) -> Findings:
    """The [EOT] rows as the best matrix of rank K (Fig. 2b), and with their full rank, which is the original picture.

    Ranks above the full one are left out. The paper cuts by WNNM but "mainly keeps the top-K": this is the plain cut.
    """
    ctx, eot = study.prompt.ctx, study.prompt.eot
    full = min(len(eot), ctx.shape[-1])
    kept = [k for k in ranks if k < full] + [full]
    drawn = study.draw([keep_top(ctx, eot, k) for k in kept], start_step=0)
    return gather(
        study,
        [
            score(study, f"rank {k}" if k < full else f"full rank, {k}", {"rank": k}, pictures)
            for k, pictures in zip(kept, drawn, strict=True)
        ],
    )


def zeroing(study: Study) -> Findings:
    """Zeros in the rows of the target, of [EOT], and of both (Fig. 2a)."""
    ctx, target, eot = study.prompt.ctx, study.prompt.target, study.prompt.eot
    contexts = {
        "nothing": ctx,
        "target": zero(ctx, target),
        "[EOT]": zero(ctx, eot),
        "target and [EOT]": zero(ctx, (*target, *eot)),
    }
    drawn = study.draw(list(contexts.values()), start_step=0)
    return gather(
        study,
        [
            score(study, "original" if name == "nothing" else f"{name} zeroed", {"zeroed": name}, pictures)
            for name, pictures in zip(contexts, drawn, strict=True)
        ],
    )


def replacement(study: Study) -> Findings:
    """The words' rows replaced by [EOT] embeddings (Table 5, Figs. 2c and 21): by a single one, or by all in order.

    [SOT] and the [EOT] rows stay. The single one is the first [EOT]; the paper picks one at random. If there are more
    [EOT] rows than words, the surplus is dropped; if there are fewer, they are repeated. CLIP scores are for the whole
    prompt.
    """
    contexts = {
        "nothing": study.prompt.ctx,
        "one [EOT]": replace_words(study.prompt.ctx, study.prompt.eot, one=True),
        "all [EOT] in order": replace_words(study.prompt.ctx, study.prompt.eot, one=False),
    }
    drawn = study.draw(list(contexts.values()), start_step=0)
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

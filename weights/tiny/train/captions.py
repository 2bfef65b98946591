"""Number i of the drawn world: a spec and its captions. They come from the seed and i alone."""

from __future__ import annotations

import numpy as np

from suppress.world import Spec, caption, sample_spec

CAPTIONS = 4  # per picture; the last one names everything
_NO = 0.4  # of the captions that say "without", so many say "with no" instead


def described(seed: int, number: int) -> tuple[Spec, list[str]]:
    """(spec, its captions)"""
    rng = np.random.default_rng([seed, number])
    spec = sample_spec(rng)
    texts = [caption(spec, rng, full=k == CAPTIONS - 1) for k in range(CAPTIONS)]
    return spec, [_reworded(text, rng) for text in texts]


def _reworded(text: str, rng: np.random.Generator) -> str:
    if " without " in text and rng.random() < _NO:
        return text.replace(" without ", " with no ")
    return text

"""The analyses by name, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import embeddings, figures, leak, padding, phrasing, sweeps
from .findings import Findings
from .study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Analysis:
    """run may raise Unavailable where a prompt or a checkpoint does not allow it."""

    run: Callable[[Study], Findings]
    about: str  # the figure's title, and a line of --help
    source: str
    draw: Callable[[Findings, str], Figure] = figures.draw_panels


ANALYSES: dict[str, Analysis] = {
    "leak": Analysis(
        leak.leak, "how much of the target each token's embedding carries", "not of the paper", figures.draw_leak
    ),
    "singular": Analysis(
        embeddings.singular, "singular values of target and [EOT], and of [EOT]", "section 3.3", figures.draw_singular
    ),
    "distance": Analysis(
        embeddings.distance, "distances between all 77 token embeddings", "Fig. 2c", figures.draw_distance
    ),
    "zeroing": Analysis(padding.zeroing, "the target's row, [EOT], or both as zeros", "Fig. 2a"),
    "rank": Analysis(padding.rank, "[EOT] as a matrix of rank K", "Fig. 2b"),
    "replacement": Analysis(padding.replacement, "the words' rows replaced by [EOT] embeddings", "Table 5, Fig. 21"),
    "spectrum": Analysis(sweeps.spectrum, "the largest or the smallest singular values as zeros", "Fig. 4"),
    "gamma": Analysis(sweeps.gamma, "soft weighting, σ e^(-γσ), of different strengths", "Fig. 16"),
    "start": Analysis(sweeps.start, "soft weighting from different steps R on", "not of the paper"),
    "phrasing": Analysis(
        phrasing.phrasing,
        "ways to say 'without': above the model, below SWR",
        "Fig. 19",
        figures.draw_pairs,
    ),
    "stop": Analysis(sweeps.stop, "ITO stopped at different steps, with different iterations", "Fig. 8"),
}

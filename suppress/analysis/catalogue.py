"""The analyses by name, in the order in which they run. No PyTorch: `suppress analyse --help` answers at once.

The file of an analysis is imported when the analysis runs, and the figures when one is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .findings import Findings
    from .study import Study


@dataclass(frozen=True)
class Analysis:
    """An analysis by the names of its functions."""

    file: str  # in this folder
    function: str  # in that file; it takes a Study
    about: str  # the figure's title, and a line of --help
    source: str
    figure: str = "draw_panels"  # the function of figures.py that draws it
    table: str = ""  # the function of `file` that writes the findings for the terminal, if it has one

    def run(self, study: Study) -> Findings:
        """Unavailable if the prompt or the checkpoint does not allow this analysis."""
        return getattr(import_module(f"{__package__}.{self.file}"), self.function)(study)

    def tell(self, findings: Findings) -> str:
        """The findings for the terminal; empty if they are only files."""
        return getattr(import_module(f"{__package__}.{self.file}"), self.table)(findings) if self.table else ""

    def draw(self, findings: Findings, title: str) -> Figure:
        return getattr(import_module(f"{__package__}.figures"), self.figure)(findings, title)


ANALYSES: dict[str, Analysis] = {
    "leak": Analysis(
        "leak",
        "leak",
        "how much of the target each token's embedding carries",
        "not of the paper",
        "draw_leak",
        table="table",
    ),
    "moved": Analysis(
        "moved", "moved", "how far methods move each token's embedding", "not of the paper", "draw_moved", table="table"
    ),
    "singular": Analysis(
        "embeddings",
        "singular",
        "singular values of target and [EOT], and of [EOT]",
        "section 3.3",
        "draw_singular",
    ),
    "distance": Analysis(
        "embeddings", "distance", "distances between all 77 token embeddings", "Fig. 2c", "draw_distance"
    ),
    "zeroing": Analysis("padding", "zeroing", "the target's row, [EOT], or both as zeros", "Fig. 2a"),
    "rank": Analysis("padding", "rank", "[EOT] as a matrix of rank K", "Fig. 2b"),
    "replacement": Analysis(
        "padding", "replacement", "the words' rows replaced by [EOT] embeddings", "Table 5, Fig. 21"
    ),
    "spectrum": Analysis("sweeps", "spectrum", "the largest or the smallest singular values as zeros", "Fig. 4"),
    "gamma": Analysis("sweeps", "gamma", "soft weighting, σ e^(-γσ), of different strengths", "Fig. 16"),
    "start": Analysis("sweeps", "start", "soft weighting from different steps R on", "not of the paper"),
    "phrasing": Analysis(
        "phrasing", "phrasing", "ways to say 'without': above the model, below SWR", "Fig. 19", "draw_pairs"
    ),
    "stop": Analysis("sweeps", "stop", "ITO stopped at different steps, with different iterations", "Fig. 8"),
}

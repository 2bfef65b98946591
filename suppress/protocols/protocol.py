"""What a protocol is: a question, as prompts or pictures and rows, and the figures that a paper has for them.

Nothing here imports PyTorch: `suppress eval --help` lists the protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..evaluation.cases import Case
from ..evaluation.pairs import STEPS as PICTURE_STEPS
from ..evaluation.pairs import Pair

if TYPE_CHECKING:
    from ..evaluation.page.parts import Table

ORIGINAL = "original"  # the row of the pictures with nothing removed; every protocol of prompts has it
DET, CLIP = "DetScore", "CLIP score"  # names of metrics, as the tables have them
SSIM, OTHERS, SPILL = "SSIM", "other attributes", "neighbours"
REMOVED, PROMPT, IFID = "removal rate", "CLIP score of the prompt", "IFID"
LPIPS, ORR, TOP_1, TOP_5 = "LPIPS", "ORR", "CLIP accuracy", "CLIP accuracy, top 5"
FID, OUTSIDE, INSIDE, IDEAL = "FID", "PSNR outside", "error inside", "SSIM to the ideal"  # of pictures

# scores that not all cells have (suppress/evaluation/extras.py), and the metrics that are made of them
PROMPT_FIT, TARGET_FIT, ACCURACY, FEATURES = "prompt fit", "target fit", "CLIP accuracy", "features"
_NEEDS = {PROMPT: PROMPT_FIT, IFID: FEATURES, FID: FEATURES, LPIPS: LPIPS, ORR: ORR, TOP_1: ACCURACY, TOP_5: ACCURACY}

Figures = Mapping[tuple[str, str], Mapping[str, float]]  # (row, group) -> metric -> the paper's figure
Means = Callable[[str, str, str], float]  # (row, group, metric) -> our figure; nan if it was not measured


@dataclass(frozen=True)
class Question:
    """What a table asks."""

    name: str  # as --protocol takes it
    source: str  # the paper, and which of its tables
    claim: str  # what the paper reads from it, or what the table asks
    differs: str  # how the prompts or pictures here differ from the paper's, in a sentence

    @property
    def asked(self) -> str:
        """What the table asks, and how it differs from the paper's."""
        return f"{self.claim} {self.differs}".strip()

    def heading(self, how: str, theirs: str) -> list[str]:
        """The paragraphs above the tables. how: how much was drawn, and with what settings.

        theirs: what the paper drew its figures with; empty if it has none.
        """
        told = f"`suppress eval --protocol {self.name}`. {how}, on the embedded model, which draws cartoon portraits: "
        told += "its figures are about this model."
        if theirs:
            told += f" In brackets: the paper's own figure, of SD v1.x with its own {theirs} and judges."
        return [f"**{self.name}**: {self.source}", self.asked, told]


@dataclass(frozen=True)
class Protocol(Question):
    """A table. Each of its cells is the mean over the pictures of a group."""

    groups: Mapping[str, tuple[Case, ...]]  # name -> its prompts. A prompt is in one group only
    rows: Mapping[str, str]  # name -> method (`suppress.evaluation.measure.method_of`)
    metrics: tuple[str, ...] = (DET, CLIP, SSIM)
    # rows of the paper that are not in `rows` stand in the table, too: with the paper's figures alone
    paper: Figures = field(default_factory=dict)
    watch: tuple[str, ...] = ()  # attributes whose mean change is shown, too: where a removal may spill
    objects: Mapping[str, str] = field(
        default_factory=dict
    )  # for ORR: group -> what its prompts show, one of `classes`
    classes: tuple[str, ...] = ()  # what CLIP can call a picture, for ORR and CLIP accuracy
    more: Callable[[Means], Table] | None = None  # one more table, made from the figures of the others
    steps: int = 25
    start: int | float = 0.1
    seeds: int = 8

    @property
    def cases(self) -> list[Case]:
        return [case for group in self.groups.values() for case in group]

    @property
    def extras(self) -> tuple[str, ...]:
        """The scores that its cells have beside the usual ones."""
        return _extras(self.metrics, _NEEDS)

    @property
    def first_of_each(self) -> list[Case]:
        """The first prompt of each group: what --quick draws."""
        return [group[0] for group in self.groups.values() if group]

    def of(self, cases: Collection[Case], rows: Mapping[str, str]) -> Protocol:
        """The same table with these prompts and rows alone, and the rows of the paper that have no method here."""
        kept = {name: tuple(case for case in group if case in cases) for name, group in self.groups.items()}
        groups = {name: group for name, group in kept.items() if group}
        left_out = set(self.rows) - set(rows)
        paper = {(row, group): figures for (row, group), figures in self.paper.items() if row not in left_out}
        return replace(self, groups=groups, rows=rows, paper=paper)


@dataclass(frozen=True)
class PictureProtocol(Question):
    """A table of edited pictures (suppress/evaluation/pictures.py) with a known ideal edit. One column per metric."""

    rows: tuple[Pair, ...]  # each with a label, which is the name of the row
    metrics: tuple[str, ...] = (DET, OUTSIDE, INSIDE, IDEAL)
    # row -> metric -> the paper's figure; also rows that are not among ours
    paper: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()  # of targets (suppress/evaluation/pictures.py); empty: all
    instructions: bool = False  # prompts such as "the hat", which is what an instruction leaves of "remove the hat"
    classes: tuple[str, ...] = ()  # as above
    steps: int = PICTURE_STEPS
    start: float | None = None  # R of all rows; None: each method's own

    @property
    def extras(self) -> tuple[str, ...]:
        return _extras(self.metrics, _NEEDS | {CLIP: TARGET_FIT})  # the usual cells of pictures have no CLIP score

    def of(self, rows: tuple[Pair, ...]) -> PictureProtocol:
        """The same table with these rows alone, and the rows of the paper that have no method here."""
        left_out = {pair.row for pair in self.rows} - {pair.row for pair in rows}
        return replace(self, rows=rows, paper={row: each for row, each in self.paper.items() if row not in left_out})


def _extras(metrics: Collection[str], needs: Mapping[str, str]) -> tuple[str, ...]:
    """The scores that these metrics are made of, each once. needs: metric -> score."""
    return tuple(dict.fromkeys(needs[metric] for metric in metrics if metric in needs))


def each_prompt(kind: str, *cases: tuple[str, str, str]) -> dict[str, tuple[Case, ...]]:
    """One group for each prompt, with its name. cases: as in `group`."""
    return {case[0]: group(kind, case) for case in cases}


def group(kind: str, *cases: tuple[str, str, str]) -> tuple[Case, ...]:
    """Cases of one kind from (prompt, target, the prompt without the target)."""
    return tuple(Case(kind, *case) for case in cases)

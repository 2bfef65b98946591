"""What a protocol is: a question, as prompts in groups and rows, and the figures that a paper has for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..evaluation.cases import Case

ORIGINAL = "original"  # the row of the pictures with nothing removed; every protocol has it
DET, CLIP = "DetScore", "CLIP score"  # names of metrics, as the tables have them
SSIM, OTHERS, SPILL = "SSIM", "other attributes", "neighbours"
Figures = Mapping[tuple[str, str], Mapping[str, float]]  # (row, group) -> metric -> the paper's figure


@dataclass(frozen=True)
class Protocol:
    """A table. Each of its cells is the mean over the pictures of a group."""

    name: str  # as --protocol takes it
    source: str  # the paper, and which of its tables
    claim: str  # what the paper reads from it, or what the table asks
    differs: str  # how the prompts here differ from the paper's, in a sentence
    groups: Mapping[str, tuple[Case, ...]]  # name -> its prompts. A prompt is in one group only
    rows: Mapping[str, str]  # name -> method (`suppress.evaluation.measure.method_of`)
    metrics: tuple[str, ...] = (DET, CLIP, SSIM)
    paper: Figures = field(default_factory=dict)
    watch: tuple[str, ...] = ()  # attributes whose mean change is shown, too: where a removal may spill
    steps: int = 25
    start: int | float = 0.1
    seeds: int = 8

    @property
    def cases(self) -> list[Case]:
        return [case for group in self.groups.values() for case in group]


def each_prompt(kind: str, *cases: tuple[str, str, str]) -> dict[str, tuple[Case, ...]]:
    """One group for each prompt, with its name. cases: as in `group`."""
    return {case[0]: group(kind, case) for case in cases}


def group(kind: str, *cases: tuple[str, str, str]) -> tuple[Case, ...]:
    """Cases of one kind from (prompt, target, the prompt without the target)."""
    return tuple(Case(kind, *case) for case in cases)

"""The table of all methods over all prompts: each is compared with the default, picture by picture. And the bar."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minisd.base.counted import counted

from ..world.spec import STYLES
from .all_methods import DELETED, OURS, SWR
from .cells import reasons
from .paired import Paired, holm, paired
from .table import Moves, Summary, default_bar, mean_text, moved, other_attributes, summarise
from .targets import judged

Picture = Hashable  # (what names the case, which seed)
# attributes of the detector that cover the whole picture; the others are local
EVERYWHERE = {"rain", "snow", *STYLES}
LEVEL = 0.05  # p up to which a difference is more than chance


@dataclass(frozen=True)
class Row:
    """The measured cells of a row."""

    cells: Sequence[tuple[Any, str, Mapping[str, Any]]]  # case, the detector's class of its target, the scores

    @cached_property
    def summary(self) -> Summary:
        return summarise((name, dict(cell)) for _, name, cell in self.cells)

    @cached_property
    def originals(self) -> Summary:
        """Of the pictures before the edits."""
        return summarise(((name, dict(cell)) for _, name, cell in self.cells), "before")

    @property
    def local(self) -> Row:
        """Only the targets that are in one place of the picture: neither a style nor weather."""
        return Row([each for each in self.cells if each[1] not in EVERYWHERE])

    @cached_property
    def det(self) -> dict[Picture, float]:
        """DetScore of the target by picture."""
        return {(c.key, k): s for c, name, cell in self.cells for k, s in enumerate(cell["after"][name])}

    @cached_property
    def ssim(self) -> dict[Picture, float]:
        return {(c.key, k): s for c, _, cell in self.cells for k, s in enumerate(cell["ssim"])}

    @cached_property
    def moves(self) -> Moves:
        """(attribute, prompt) -> the mean change over the prompt's seeds, of the attributes that are no target."""
        return {
            (name, case.prompt): float(np.mean(np.subtract(cell["after"][name], cell["before"][name])))
            for case, target, cell in self.cells
            for name in other_attributes(target, cell["before"])
        }


@dataclass(frozen=True)
class Comparison:
    """The default against another row."""

    det: Paired  # the default's DetScore less the other's
    ssim: Paired
    p_det: float  # corrected for the number of rows
    p_ssim: float

    @property
    def wins(self) -> bool:
        return not self.lacking

    @property
    def lacking(self) -> str:
        """The columns in which the default is not better beyond chance."""
        removes = self.det.difference < 0 and self.p_det <= LEVEL
        keeps = self.ssim.difference > 0 and self.p_ssim <= LEVEL
        return " and ".join(["DetScore"] * (not removes) + ["SSIM"] * (not keeps))


def measured_rows(done: Mapping[Any, Any], rows: Mapping[str, str], cases: Sequence[Any], detector: Any) -> dict:
    """Name -> `Row` of all rows that have scores, in the order of the table."""
    found = {
        row: Row(
            [
                (case, *judged(case.target, done[row, case.key], detector))
                for case in cases
                if "after" in done.get((row, case.key), {})
            ]
        )
        for row in rows
    }
    return {name: row for name, row in found.items() if row.cells}


def compare_all(
    done: Mapping[Any, Any], rows: Mapping[str, str], cases: Sequence[Any], detector: Any, model: str
) -> str:
    """Markdown: the table, the bar for the default, and why rows are missing."""
    measured: dict[str, Row] = measured_rows(done, rows, cases, detector)
    ours = measured.get(OURS)
    against = {} if ours is None else compare(ours, {name: row for name, row in measured.items() if name != OURS})
    parts = [_table(measured, against)]
    if ours is not None:
        parts.append(
            f"Δ is {OURS} less the row, over the pictures (prompt × seed) of both, with the 95 % interval of a paired "
            f"bootstrap. “Wins” means that {OURS} has the lower DetScore and the higher SSIM, both beyond chance "
            f"(p ≤ {LEVEL:g} after Holm's correction for the number of rows). Local SSIM leaves out the prompts whose "
            "target is a style or weather. The structure distance is that of the checkpoint's own CLIP "
            f"(suppress/metrics/structure.py). All of this is about {model}."
        )
    if ours is not None and {DELETED, SWR} <= set(measured):
        parts.append(_verdict(ours, measured, against))
    return "\n\n".join([*parts, *unmeasured(done, rows, cases)])


def compare(ours: Row, others: Mapping[str, Row]) -> dict[str, Comparison]:
    """Name -> the default against this row. A row without a common picture is left out."""
    common = {name: row for name, row in others.items() if ours.det.keys() & row.det.keys()}
    det = {name: paired(ours.det, row.det) for name, row in common.items()}
    ssim = {name: paired(ours.ssim, row.ssim) for name, row in common.items()}
    p_det, p_ssim = (holm({name: found.p for name, found in column.items()}) for column in (det, ssim))
    return {name: Comparison(det[name], ssim[name], p_det[name], p_ssim[name]) for name in common}


def _table(measured: Mapping[str, Row], against: Mapping[str, Comparison]) -> str:
    head = "pictures | DetScore | Δ DetScore | other attributes | most changed | SSIM | Δ SSIM | local SSIM | wins "
    head += "| structure distance × 10³ | passes | s"
    lines = [f"| | {head} |", "|---" * 13 + "|"]
    for name, row in measured.items():
        s, c, local = row.summary, against.get(name), row.local.cells
        cells = (
            f"**{name}**" if name == OURS else name,
            str(s.pictures),
            f"{s.det:.3f}",
            _difference(c.det) if c else "–",
            mean_text(s.other_change),
            moved(s.worst),
            f"{s.ssim:.3f}",
            _difference(c.ssim) if c else "–",
            f"{row.local.summary.ssim:.3f}" if local else "–",
            ("yes" if c.wins else "no") if c else "–",
            mean_text(s.structure, 1),
            f"{s.passes:.0f}",
            f"{s.seconds:.1f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _difference(p: Paired) -> str:
    return f"{p.difference:+.3f} [{p.interval[0]:+.3f}, {p.interval[1]:+.3f}]"


def conditions(
    ours: Row, measured: Mapping[str, Row], against: Mapping[str, Comparison]
) -> dict[str, tuple[bool, str]]:
    """The conditions of the bar for the default: (it holds, the value). against: the default against every other row.

    measured: also the control and SWR.
    """
    lost = {name: c.lacking for name, c in against.items() if not c.wins}
    local = ours.local
    return default_bar(
        ours.summary,
        local.summary if local.cells else None,
        ours.moves,
        measured[DELETED].moves,
        lost,
        measured[SWR].summary,
    )


def _verdict(ours: Row, measured: Mapping[str, Row], against: Mapping[str, Comparison]) -> str:
    bar = conditions(ours, measured, against)
    lines = [f"- {'yes' if holds else 'no'}: {what} ({value})" for what, (holds, value) in bar.items()]
    return f"{OURS} against the bar for the default:\n\n" + "\n".join(lines)


def unmeasured(done: Mapping[Any, Any], rows: Mapping[str, str], cases: Sequence[Any]) -> list[str]:
    """A paragraph with one line per row and reason: why cells have no scores. Empty if all have."""
    found = reasons(done, rows, [case.key for case in cases])
    lines = [
        f"- {row} ({count} of {counted(len(cases), 'prompt')}): {reason}" for (row, reason), count in found.items()
    ]
    return ["Not measured:\n\n" + "\n".join(lines)] if lines else []

"""The tables of measured pictures: edits, kinds of targets, reconstructions, and the best pair.

The intervals are 95 % bootstrap intervals over pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minisd.base.counted import counted

from .cases import IMPLIED
from .cells import Cell, Key
from .pairs import NOTHING, Pair
from .pictures import EVERYWHERE, HALVES, TARGETS, PictureCase
from .table import interval

Measured = Sequence[tuple[PictureCase, Cell]]
Rows = Mapping[str, Measured]  # row -> its measured cells

MOST_DET = 0.1  # the DetScore up to which a target counts as removed
WANTED_OUTSIDE = 25.0  # dB
VISIBLE = 40.0  # dB: no eye tells two pictures of more apart. Pasted pixels are equal, which would be infinite
ORDER = ("direct", "null-text", "negative-prompt", "ddim")  # by reconstruction: ≥, >, > (published, PIE-Bench)


def measured_rows(done: Mapping[Key, Cell], names: Iterable[str], cases: Sequence[PictureCase]) -> Rows:
    """The cells with scores, by row; a row without any is left out. done: cells by (row, number of the case)."""
    found = {
        name: [(case, cell) for case in cases if "after" in (cell := done.get((name, case.number), {}))]
        for name in names
    }
    return {name: measured for name, measured in found.items() if measured}


@dataclass(frozen=True)
class Mean:
    """A mean over pictures with its interval; of no picture it is NaN."""

    value: float
    low: float
    high: float
    pictures: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        if not values:
            return cls(math.nan, math.nan, math.nan, 0)
        return cls(float(np.mean(values)), *interval(values), len(values))

    def text(self, digits: int) -> str:
        if not self.pictures:
            return "–"
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


@dataclass(frozen=True)
class Summary:
    """A row of the table of edits."""

    det: Mean
    det_local: Mean
    det_everywhere: Mean
    outside: Mean  # PSNR against the photo
    inside: Mean  # mean |difference| to the ideal, levels of 255
    other: Mean  # mean |change| of the detector's other attributes
    ssim: Mean  # against the ideal
    passes: float
    inversion_passes: float
    seconds: float
    inversion_seconds: float


def summarise(measured: Measured) -> Summary:
    def mean(name: str) -> float:
        return float(np.mean([cell[name] for _, cell in measured]))

    return Summary(
        det=Mean.of([det_score(*one) for one in measured]),
        det_local=Mean.of([det_score(*one) for one in measured if one[0].kind not in EVERYWHERE]),
        det_everywhere=Mean.of([det_score(*one) for one in measured if one[0].kind in EVERYWHERE]),
        outside=Mean.of([value for _, cell in measured if (value := psnr_outside(cell)) is not None]),
        inside=Mean.of([cell["error inside"] for _, cell in measured]),
        other=Mean.of([other_change(*one) for one in measured]),
        ssim=Mean.of([cell["ssim ideal"] for _, cell in measured]),
        passes=mean("passes"),
        inversion_passes=mean("inversion passes"),
        seconds=mean("seconds"),
        inversion_seconds=mean("inversion seconds"),
    )


def det_score(case: PictureCase, cell: Cell, side: str = "after") -> float:
    return cell[side][case.name]


def psnr_outside(cell: Cell) -> float | None:
    """In dB, at most `VISIBLE`; None where the ideal edit changes every pixel."""
    value = cell["psnr outside"]
    return None if value is None else min(value, VISIBLE)


def other_change(case: PictureCase, cell: Cell) -> float:
    """The mean |change| of the attributes that should stay.

    Left out are the target and what the ideal edit changes with it.
    """
    gone = {case.name, *IMPLIED.get(case.name, ())}
    kept = [name for name in cell["before"] if name not in gone]
    return float(np.mean([abs(cell["after"][name] - cell["before"][name]) for name in kept]))


# ---------------------------------------------------------------------- the tables

NOTES = (
    "Means over pictures, with 95 % bootstrap intervals. PSNR outside: against the photo, over the pixels that the "
    f"ideal edit leaves alone, at most {VISIBLE:g} dB a picture; van gogh has none. Error inside: mean |difference| to "
    "the ideal edit over the other pixels, in levels of 0 to 255. Other attributes: mean |change| of their DetScores, "
    "without those that the ideal edit changes. Passes: UNet samples of the edit (both branches) + of the inversion, "
    "which serves many edits; so with the seconds."
)


def edits(rows: Rows) -> str:
    head = (
        "DetScore of the target | local targets | weather, style | PSNR outside, dB | error inside | other attributes "
        "| SSIM to the ideal | passes + inversion | s + inversion"
    )
    lines = [f"| | pictures | {head} |", "|---" * 11 + "|"]
    for row, measured in rows.items():
        s = summarise(measured)
        cells = (
            row,
            str(len(measured)),
            s.det.text(3),
            _short(s.det_local, 3),
            _short(s.det_everywhere, 3),
            s.outside.text(1),
            s.inside.text(1),
            s.other.text(3),
            s.ssim.text(3),
            f"{s.passes:.0f} + {s.inversion_passes:.0f}",
            f"{s.seconds:.1f} + {s.inversion_seconds:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{NOTES}"


def by_kind(rows: Rows) -> str:
    """The mean DetScore with one column per kind of target."""
    lines = [f"| DetScore of the target | {' | '.join(TARGETS)} |", "|---" * (1 + len(TARGETS)) + "|"]
    for row, measured in rows.items():
        means = [_short(Mean.of([det_score(*one) for one in measured if one[0].kind == kind]), 2) for kind in TARGETS]
        lines.append(f"| {row} | {' | '.join(means)} |")
    return "\n".join(lines)


def reconstructions(rows: Rows, pairs: Sequence[Pair]) -> str:
    """One row per inversion that was measured with nothing removed, and whether the published order holds."""
    found = {pair.inversion: rows[pair.row] for pair in pairs if pair.method == NOTHING and pair.row in rows}
    if not found:
        return ""
    head = "reconstruction, PSNR in dB | edited branch, nothing removed | passes | s"
    lines = [f"| inversion | pictures | {head} |", "|---" * 6 + "|"]
    vae = Mean.of([cell["psnr vae"] for _, cell in max(found.values(), key=len)])
    lines.append(f"| VAE alone | {vae.pictures} | {vae.text(1)} | – | – | – |")
    for inversion, measured in found.items():
        s = summarise(measured)
        branch = Mean.of([cell["psnr photo"] for _, cell in measured])
        cells = (
            inversion,
            str(len(measured)),
            Mean.of([cell["psnr reconstruction"] for _, cell in measured]).text(1),
            branch.text(1),
            f"{s.inversion_passes:.0f}",
            f"{s.inversion_seconds:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    told = order(found)
    return "\n".join(lines) + (f"\n\n{told}" if told else "")


def order(found: Rows) -> str:
    """The sentence about the published order, from the pictures that all four have; empty if there are none."""
    psnrs = [
        {case.number: cell["psnr reconstruction"] for case, cell in found.get(inversion, ())} for inversion in ORDER
    ]
    common = set.intersection(*map(set, psnrs))
    if not common:
        return ""
    direct, null_text, npi, ddim = means = [float(np.mean([values[n] for n in common])) for values in psnrs]
    verdict = "holds" if direct >= null_text > npi > ddim else "does not hold"
    told = ", ".join(f"{name} {mean:.1f}" for name, mean in zip(ORDER, means, strict=True))
    return (
        f"The published order, direct ≥ null-text > negative-prompt > ddim, {verdict}: {told} dB "
        f"({counted(len(common), 'picture')})."
    )


def best(rows: Rows, pairs: Sequence[Pair]) -> str:
    """Markdown: the best pair, and the best one that pastes nothing back."""
    return "\n\n".join(f"**{name}** {told}" for name, told in best_pairs(rows, pairs))


def best_pairs(rows: Rows, pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    """The best pair, and the best one that pastes nothing back: its name, and why it is the best."""
    plain = [pair for pair in pairs if not pair.pasted]
    found = [_best(rows, pairs, "Best pair")]
    if len(plain) < len(pairs):
        found.append(_best(rows, plain, "Best pair, not pasted"))
    return [each for each in found if each]


def _best(rows: Rows, pairs: Sequence[Pair], title: str) -> tuple[str, str] | None:
    """The best of these pairs: chosen on one half of the pictures, with its figures on the other."""
    halves = [
        {
            pair.row: summarise(part)
            for pair in pairs
            if pair.method != NOTHING and (part := [one for one in rows.get(pair.row, ()) if one[0].half == half])
        }
        for half in HALVES
    ]
    chosen_on, reported_on = halves
    able = {row: s for row, s in chosen_on.items() if s.outside.pictures and row in reported_on}
    if not able:
        return None
    removing = [row for row, s in able.items() if s.det.value <= MOST_DET]
    if removing:
        row = max(removing, key=lambda row: able[row].outside.value)
        why = f"the highest PSNR outside of {counted(len(removing), 'pair')} with a DetScore of at most {MOST_DET:g}"
    else:
        row = min(able, key=lambda row: able[row].det.value)
        why = f"no pair has a DetScore of at most {MOST_DET:g}, and this one has the lowest"
    s, t = able[row], reported_on[row]
    met = [
        f"{'yes' if t.det.value <= MOST_DET else 'no'}: DetScore at most {MOST_DET:g}",
        f"{'yes' if t.outside.value >= WANTED_OUTSIDE else 'no'}: PSNR outside at least {WANTED_OUTSIDE:g} dB",
    ]
    return f"{title}: {row}", (
        f"({why}; on the half “{HALVES[0]}”: DetScore {s.det.value:.3f}, PSNR outside "
        f"{s.outside.value:.1f} dB, {counted(s.det.pictures, 'picture')}). On the half “{HALVES[1]}”: "
        f"DetScore {t.det.text(3)}, PSNR outside {t.outside.text(1)} dB, error inside {t.inside.text(1)}, "
        f"{counted(t.det.pictures, 'picture')}. " + "; ".join(met) + "."
    )


def _short(mean: Mean, digits: int) -> str:
    return f"{mean.value:.{digits}f}" if mean.pictures else "–"

"""The report of the table of pictures, from its measured cells."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from minisd.base.counted import counted

from ..cells import Cell
from ..paired import holm, paired
from ..pairs import DEFAULT, IDEAL, NOTHING, STANDARD, VAE, Pair
from ..picture_table import Mean, Measured, Rows, best_pairs, det_score, measured_rows, order, psnr_outside, summarise
from ..pictures import TARGETS, PictureCase
from .parts import Column, Plot, Point, Report, Sheet, Table, TableRow, Value
from .shared import (
    DET,
    DIFFERENCE_DET,
    EMBEDDED,
    INTERVALS,
    LOST,
    P_DET,
    PASSES,
    PICTURES,
    SECONDS,
    STAYING,
    STAYS,
    Done,
    difference,
    failures,
    mean,
    p_value,
    reference_note,
    settings_of,
    unfair,
)

REFERENCE = Pair(STANDARD, DEFAULT).row
INVERSION_PASSES = Column("passes of the inversion", "lower", digits=0)
INVERSION_SECONDS = Column("time of the inversion", "lower", digits=1, unit="s")
COLUMNS = (
    PICTURES,
    LOST,
    STAYING,
    DET,
    DIFFERENCE_DET,
    P_DET,
    Column("DetScore, local targets", "lower"),
    Column("DetScore, weather and style", "lower"),
    Column("PSNR outside", "higher", digits=1, unit="dB"),
    Column("Δ PSNR outside", digits=1, unit="dB", signed=True),
    Column("p of Δ PSNR outside"),
    Column("error inside", "lower", digits=1),
    Column("other attributes", "lower"),
    Column("SSIM to the ideal", "higher"),
    PASSES,
    INVERSION_PASSES,
    SECONDS,
    INVERSION_SECONDS,
)


def picture_report(
    done: Done,
    pairs: Sequence[Pair],
    cases: Sequence[PictureCase],
    command: str,
    settings: Mapping[str, Any],
    sheets: Sequence[Sheet] = (),
) -> Report:
    """settings: those that all cells share."""
    names = [VAE, IDEAL, *(pair.row for pair in pairs)]
    rows = measured_rows(done, names, cases)
    tables: list[Table] = []
    if rows:
        lost = {name: sum("reason" in done.get((name, case.number), {}) for case in cases) for name in rows}
        remarks = [" ".join(each) for each in best_pairs(rows, pairs)]
        remarks += unfair({pair.row: pair.spec for pair in pairs if pair.row in rows})
        tables = [_edits(rows, lost, remarks), _kinds(rows)]
    inversions = {pair.inversion: rows[pair.row] for pair in pairs if pair.method == NOTHING and pair.row in rows}
    if inversions:
        tables.append(_reconstructions(inversions))
    reasons = failures(done, names, dict.fromkeys((case.key for case in cases), 1))
    return Report(
        "Methods on pictures",
        (EMBEDDED, f"{counted(len(cases), 'drawn picture')}, whose ideal edit is known. {INTERVALS}"),
        command,
        settings_of(done, rows, settings),
        (*tables, *([reasons] if reasons.rows else [])),
        _plot(rows),
        tuple(sheets),
    )


def _edits(rows: Rows, lost: Mapping[str, int], remarks: Sequence[str]) -> Table:
    """The table of all pairs. lost: pictures without a result. remarks: sentences about single pairs."""
    reference = REFERENCE if REFERENCE in rows else next(iter(rows))
    det = _against(rows, reference, det_score)
    outside = _against(rows, reference, lambda _, cell: psnr_outside(cell))
    nothing = Value(), Value()
    lines = []
    for name, measured in rows.items():
        s = summarise(measured)
        values = (
            Value(len(measured)),
            Value(lost[name]),
            Value(sum(det_score(*one) > STAYS for one in measured)),
            *(_mean(s.det), *det.get(name, nothing)),
            *(_mean(s.det_local), _mean(s.det_everywhere)),
            *(_mean(s.outside), *outside.get(name, nothing)),
            *(_mean(s.inside), _mean(s.other), _mean(s.ssim)),
            *(Value(s.passes), Value(s.inversion_passes), Value(s.seconds), Value(s.inversion_seconds)),
        )
        lines.append(TableRow(name, values, name == reference))
    notes = (
        reference_note(reference, "by their number"),
        "PSNR outside compares with the photo, over the pixels that the ideal edit leaves alone; a style has none. "
        "Error inside is the mean |difference| to the ideal edit over the other pixels, in levels of 0 to 255. “Other "
        "attributes” is the mean |change| of the DetScores that the ideal edit does not change. An inversion serves "
        "many edits, so its passes and seconds stand apart.",
    )
    return Table("All pictures", "method on inversion", COLUMNS, tuple(lines), (*notes, *remarks))


def _against(
    rows: Rows, reference: str, score: Callable[[PictureCase, Cell], float | None]
) -> dict[str, tuple[Value, Value]]:
    """Name -> the reference less this row, picture by picture, and the corrected p. score: None if there is none."""
    scores: dict[str, dict[Hashable, float]] = {
        name: {case.number: value for case, cell in measured if (value := score(case, cell)) is not None}
        for name, measured in rows.items()
    }
    ours = scores.pop(reference)
    found = {name: paired(ours, theirs) for name, theirs in scores.items() if ours.keys() & theirs.keys()}
    p = holm({name: each.p for name, each in found.items()})
    return {name: (difference(each), p_value(p[name])) for name, each in found.items()}


def _mean(found: Mean) -> Value:
    return Value(found.value, (found.low, found.high)) if found.pictures else Value()


def _kinds(rows: Rows) -> Table:
    """DetScore with one column per kind of target."""
    columns = (PICTURES, *(Column(f"DetScore, {kind}", "lower") for kind in TARGETS))

    def values(measured: Measured) -> tuple[Value, ...]:
        return (
            Value(len(measured)),
            *(mean(det_score(*one) for one in measured if one[0].kind == kind) for kind in TARGETS),
        )

    lines = tuple(TableRow(name, values(measured)) for name, measured in rows.items())
    return Table("By kind of target", "method on inversion", columns, lines)


def _reconstructions(inversions: Rows) -> Table:
    """One row per inversion that was measured with nothing removed."""
    columns = (
        PICTURES,
        Column("PSNR of the reconstruction", "higher", digits=1, unit="dB"),
        Column("PSNR of the edited branch", "higher", digits=1, unit="dB"),
        INVERSION_PASSES,
        INVERSION_SECONDS,
    )
    lines = []
    for inversion, measured in inversions.items():
        s = summarise(measured)
        found, branch = (mean(cell[name] for _, cell in measured) for name in ("psnr reconstruction", "psnr photo"))
        values = (Value(len(measured)), found, branch, Value(s.inversion_passes), Value(s.inversion_seconds))
        lines.append(TableRow(inversion, values))
    most = max(inversions.values(), key=len)
    vae = mean(cell["psnr vae"] for _, cell in most)
    lines.append(TableRow("the VAE alone", (Value(len(most)), vae, Value(), Value(0), Value(0))))
    notes = tuple(filter(None, [order(inversions)]))
    return Table("Reconstruction, nothing removed", "inversion", columns, tuple(lines), notes)


def _plot(rows: Rows) -> Plot | None:
    summaries = {name: s for name, measured in rows.items() if (s := summarise(measured)).outside.pictures}
    points = tuple(
        Point(name, 1 - s.det.value, s.outside.value, s.passes + s.inversion_passes, name == REFERENCE)
        for name, s in summaries.items()
    )
    x = Column("suppression (1 - DetScore)", "higher")
    y = Column("preservation (PSNR outside)", "higher", digits=1, unit="dB")
    size = Column("passes with the inversion's", digits=0)
    return Plot("Suppression against preservation", x, y, size, points) if points else None

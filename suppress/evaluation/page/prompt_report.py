"""The report of the table of prompts, from its measured cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minisd.base.counted import counted

from ..all_methods import DELETED, OURS, SWR
from ..all_table import LEVEL, Comparison, Row, compare, conditions, measured_rows
from ..cases import KINDS, Case
from ..implied import KIND as IMPLIED_KIND
from ..own_prompts import OwnCase
from ..table import words
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
    known,
    mean,
    p_value,
    reference_note,
    settings_of,
    unfair,
    yes_or_no,
)

_KINDS = (*KINDS, IMPLIED_KIND)
COLUMNS = (
    PICTURES,
    LOST,
    STAYING,
    DET,
    DIFFERENCE_DET,
    P_DET,
    Column("SSIM", "higher"),
    Column("Δ SSIM", signed=True),
    Column("p of Δ SSIM"),
    Column("reference wins"),
    Column("local SSIM", "higher"),
    Column("structure distance × 10³", "lower", digits=1),
    Column("other attributes", "lower"),
    Column("most changed", "lower"),
    Column("CLIP score", "lower", digits=2),
    PASSES,
    Column("passes with gradient", "lower", digits=0),
    SECONDS,
)


def prompt_report(
    done: Done,
    rows: Mapping[str, str],
    cases: Sequence[Case] | Sequence[OwnCase],
    detector: Any,
    command: str,
    settings: Mapping[str, Any],
    sheets: Sequence[Sheet] = (),
    about: str = EMBEDDED,
) -> Report:
    """rows: name -> method, in the order of the table. settings: those that all cells share.

    about: the sentence that tells which model the figures are about.
    """
    measured: dict[str, Row] = measured_rows(done, rows, cases, detector)
    pictures = {case.key: pictures_of(case, settings) for case in cases}
    tables, plot = [], None
    if measured:
        reference = reference_of(measured)
        against = compare(measured[reference], {name: row for name, row in measured.items() if name != reference})
        lost = {
            name: sum(count for key, count in pictures.items() if "reason" in done.get((name, key), {}))
            for name in measured
        }
        remarks = unfair({name: rows[name] for name in measured})
        tables = [_methods(measured, reference, against, lost, remarks)]
        if any(case.kind in _KINDS for case in cases):
            tables.append(_kinds(measured, reference, cases))
        if {OURS, DELETED, SWR} <= set(measured):
            tables.append(_bar(measured, against))
        plot = _plot(measured, reference)
    reasons = failures(done, rows, pictures)
    return Report(
        "Methods on prompts",
        (about, f"{_count(cases, settings)}. {INTERVALS}"),
        command,
        settings_of(done, measured, settings),
        (*tables, *([reasons] if reasons.rows else [])),
        plot,
        tuple(sheets),
    )


def pictures_of(case: Case | OwnCase, settings: Mapping[str, Any]) -> int:
    """How many pictures a case has: one per seed, or a picture of the user's."""
    return len(case.seeds) or 1 if isinstance(case, OwnCase) else settings["seeds"]


def _count(cases: Sequence[Case] | Sequence[OwnCase], settings: Mapping[str, Any]) -> str:
    if "seeds" in settings:
        return f"{counted(len(cases), 'prompt')} × {counted(settings['seeds'], 'seed')}"
    pictures = sum(pictures_of(case, settings) for case in cases)
    return f"{counted(len(cases), 'case')} of your own, {counted(pictures, 'picture')}"


def reference_of(measured: Mapping[str, Row]) -> str:
    """The row with which all others are compared: the default, or else Unread, or else the first row."""
    return next((name for name in (OURS, "Unread") if name in measured), next(iter(measured)))


# ---------------------------------------------------------------------- the tables


def _methods(
    measured: Mapping[str, Row],
    reference: str,
    against: Mapping[str, Comparison],
    lost: Mapping[str, int],
    remarks: Sequence[str],
) -> Table:
    """The table of all methods, each against the reference. lost: pictures without a result, by row."""
    return Table(
        "All prompts",
        "method",
        COLUMNS,
        tuple(
            TableRow(name, _values(row, against.get(name), lost[name]), name == reference)
            for name, row in measured.items()
        ),
        (
            reference_note(reference, "prompt and seed"),
            "The pictures of one prompt are alike, so the intervals say more about other seeds than about other "
            "prompts.",
            f"“Reference wins” says yes if {reference} has the lower DetScore and the higher SSIM, each with p at most "
            f"{LEVEL:g}. “Other attributes” is the mean |change| of the DetScores that should stay, “most changed” the "
            "attribute whose mean changed most. SSIM compares with the original; local SSIM leaves out the prompts "
            "whose target is a style or weather. The structure distance says how far things moved: it compares "
            "the keys of the checkpoint's own CLIP. Passes and seconds are those of one picture, with its original.",
            *remarks,
        ),
    )


def _values(row: Row, c: Comparison | None, lost: int) -> tuple[Value, ...]:
    s, local = row.summary, row.local
    det, ssim, wins = (Value(), Value()), (Value(), Value()), Value()
    if c is not None:
        det, ssim = (difference(c.det), p_value(c.p_det)), (difference(c.ssim), p_value(c.p_ssim))
        wins = yes_or_no(c.wins)
    return (
        Value(s.pictures),
        Value(lost),
        Value(sum(score > STAYS for score in row.det.values())),
        *(Value(s.det, s.det_interval), *det),
        *(Value(s.ssim, s.ssim_interval), *ssim, wins),
        Value(local.summary.ssim, local.summary.ssim_interval) if local.cells else Value(),
        known(s.structure),
        Value(s.other_change, s.other_interval),
        Value(abs(s.worst[1]), words=f"{words(s.worst[0])} {s.worst[1]:+.2f}"),
        Value(s.clip, s.clip_interval),
        *(Value(s.passes), known(s.gradient_passes), Value(s.seconds)),
    )


def _kinds(measured: Mapping[str, Row], reference: str, cases: Sequence[Any]) -> Table:
    """DetScore and SSIM with one column per kind of prompt."""
    kinds = [kind for kind in _KINDS if any(case.kind == kind for case in cases)]
    columns = [PICTURES, *(Column(f"DetScore, {kind}", "lower") for kind in kinds)]
    columns += [Column(f"SSIM, {kind}", "higher") for kind in kinds]
    lines = []
    for name, row in measured.items():
        parts = [Row([each for each in row.cells if each[0].kind == kind]) for kind in kinds]
        scores = [part.det.values() for part in parts] + [part.ssim.values() for part in parts]
        lines.append(TableRow(name, (Value(len(row.det)), *map(mean, scores)), name == reference))
    count = ", ".join(f"{kind}: {counted(sum(case.kind == kind for case in cases), 'prompt')}" for kind in kinds)
    return Table("By kind of prompt", "method", tuple(columns), tuple(lines), (f"{count}.",))


def _bar(measured: Mapping[str, Row], against: Mapping[str, Comparison]) -> Table:
    """Whether the default meets the bar that this project has for it."""
    ours = measured[OURS]
    lines = tuple(
        TableRow(what, (Value(len(ours.det)), yes_or_no(holds), Value(words=value)))
        for what, (holds, value) in conditions(ours, measured, against).items()
    )
    columns = (PICTURES, Column("holds"), Column("measured"))
    return Table(f"{OURS} against the bar for the default", "condition", columns, lines)


def _plot(measured: Mapping[str, Row], reference: str) -> Plot:
    points = tuple(
        Point(name, 1 - s.det, s.ssim, s.passes, name == reference)
        for name, s in ((name, row.summary) for name, row in measured.items())
    )
    x = Column("suppression (1 - DetScore)", "higher")
    return Plot("Suppression against preservation", x, Column("preservation (SSIM)", "higher"), PASSES, points)

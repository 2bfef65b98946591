"""What the reports of prompts and of pictures have in common: columns, sentences, and values made of scores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minisd.cli.model_choice import ModelChoice

from ..all_methods import descending
from ..cells import Cell, Key, reasons
from ..model import EMBEDDED as EMBEDDED_MODEL
from ..model import described
from ..paired import Paired
from ..table import interval
from .parts import Column, Table, TableRow, Value

Done = Mapping[Key, Cell]  # (row, what names the case) -> cell

STAYS = 0.5  # a target with a larger DetScore is still in the picture
EMBEDDED = (
    "All figures are about the embedded model, which draws cartoon portraits of 128 × 128 pixels. They tell how the "
    "methods behave on it. They do not tell how the methods behave on Stable Diffusion v1.4."
)

INTERVALS = "Intervals in [brackets] are 95 % bootstrap intervals over pictures; the bars show them on one scale."

PICTURES = Column("pictures", digits=0)
LOST = Column("without a result", "lower", digits=0, unit="pictures")
STAYING = Column(f"DetScore above {STAYS:g}", "lower", digits=0, unit="pictures")
DET = Column("DetScore", "lower")
DIFFERENCE_DET = Column("Δ DetScore", signed=True)
P_DET = Column("p of Δ DetScore")
PASSES = Column("passes", "lower", digits=0)
SECONDS = Column("time", "lower", digits=1, unit="s")


def about_model(model: ModelChoice) -> str:
    """What the figures of a page are about."""
    if model == EMBEDDED_MODEL:
        return EMBEDDED
    return f"All figures are about {described(model)}, and about what its judges see in its pictures."


def reference_note(reference: str, picture: str) -> str:
    return (
        f"The reference is {reference}. Δ is the reference less the row, over the pictures ({picture}) of both, with "
        "a paired bootstrap. Each p is corrected by Holm's method for the number of rows. With fewer than twenty "
        "pictures, intervals and p are too optimistic. Beside the means stand the failures: pictures that the method "
        "could not draw, and pictures in which the target is still found."
    )


def unfair(rows: Mapping[str, str]) -> list[str]:
    """A sentence for each row whose method descends on a score of the table. rows: name -> method."""
    return [
        f"{row} makes the {score} small by itself: judge it by the other columns."
        for row, score in descending(rows).items()
    ]


def difference(p: Paired) -> Value:
    return Value(p.difference, p.interval)


def p_value(p: float) -> Value:
    return Value(p, words="< 0.001" if p < 0.001 else "")


def yes_or_no(holds: bool) -> Value:
    return Value(float(holds), words="yes" if holds else "no")


def known(number: float) -> Value:
    """Of NaN, which stands for an unknown mean, an empty value."""
    return Value() if math.isnan(number) else Value(number)


def mean(values: Iterable[float]) -> Value:
    numbers = list(values)
    return Value(sum(numbers) / len(numbers), interval(numbers)) if numbers else Value()


def failures(done: Done, rows: Iterable[str], pictures: Mapping[Any, int]) -> Table:
    """Why pictures have no result: one line per row and reason. pictures: what names a case -> how many it has."""
    names, counts = list(rows), Counter[tuple[str, str]]()
    for key, count in pictures.items():
        for reason in reasons(done, names, [key]):
            counts[reason] += count
    lines = tuple(
        TableRow(row, (Value(count), Value(words=reason)))
        for (row, reason), count in sorted(counts.items(), key=lambda item: names.index(item[0][0]))
    )
    return Table("Pictures without a result", "method", (LOST, Column("reason")), lines)


def settings_of(done: Done, rows: Iterable[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the run, and of each row those that all of its cells have."""
    cells: dict[str, list[Mapping[str, Any]]] = {row: [] for row in rows}
    for (row, _), cell in done.items():
        if row in cells:
            cells[row].append(cell["method"])
    return {"run": dict(settings), "rows": {row: _shared(methods) for row, methods in cells.items() if methods}}


def _shared(methods: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first, *others = methods
    return {name: value for name, value in first.items() if all(o.get(name) == value for o in others)}

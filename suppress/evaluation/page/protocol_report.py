"""The report of a protocol: its tables with the paper's figures beside ours, and then the report of all its cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from minisd.base.counted import counted

from ...protocols import PictureProtocol, Protocol
from ...protocols import picture_table as of_pictures
from ...protocols import table as of_prompts
from ...protocols.scores import EXPLAINED, HIGHER, Found, digits
from .parts import Column, Report, Table, TableRow, Value
from .shared import Done

IN_BRACKETS = "In (brackets): the paper's own figure, of SD v1.x with its own prompts or photos and its own judges."
_LEFT_OUT = ("By kind of prompt", "By kind of target")  # a protocol has groups of its own


def protocol_report(base: Report, protocol: Protocol, done: Done, detector: Any) -> Report:
    """base: the report of the same cells as a table of methods on prompts."""
    metrics = of_prompts.shown_metrics(protocol, done, detector)
    tables = [_metric(protocol, metric, done, detector) for metric in metrics]
    if protocol.more is not None:
        tables.append(protocol.more(of_prompts.means(protocol, done, detector)))
    missing = of_prompts.missing(protocol, done, detector)
    return _joined(base, protocol, tables, missing)


def picture_protocol_report(base: Report, protocol: PictureProtocol, done: Done, cases: Sequence[Any]) -> Report:
    """base: the report of the same cells as a table of methods on pictures."""
    columns = tuple(Column(metric, _better(metric), digits(metric)) for metric in protocol.metrics)
    lines = tuple(
        TableRow(
            of_pictures.BASELINES.get(row, row),
            tuple(
                _value(found, metric, paper)
                for metric in protocol.metrics
                for found, paper in [
                    (of_pictures.found(row, metric, done, cases), protocol.paper.get(row, {}).get(metric))
                ]
            ),
        )
        for row in of_pictures.rows_of(protocol)
    )
    notes = tuple(f"{metric}: {EXPLAINED[metric]}." for metric in protocol.metrics)
    table = Table(protocol.source, "method", columns, lines, notes)
    return _joined(base, protocol, [table], of_pictures.missing(protocol, done, cases))


def _joined(
    base: Report, protocol: Protocol | PictureProtocol, tables: Sequence[Table], missing: Sequence[str]
) -> Report:
    sentences = [protocol.asked, *base.sentences, *([IN_BRACKETS] if protocol.paper else [])]
    kept = [table for table in base.tables if table.title not in _LEFT_OUT]
    reasons = [f"Not measured: {reason}." for reason in missing]
    return replace(
        base,
        title=f"{protocol.name}: {protocol.source}",
        sentences=(*sentences, *reasons),
        tables=(*tables, *kept),
    )


def _metric(protocol: Protocol, metric: str, done: Done, detector: Any) -> Table:
    """One metric, with one column for each group of prompts."""
    columns = tuple(
        Column(name, _better(metric), digits(metric), unit=counted(count, "picture"))
        for name, count in of_prompts.counts(protocol).items()
    )
    lines = []
    for row in of_prompts.rows_of(protocol, metric):
        values = []
        for group in protocol.groups:
            ours = of_prompts.found(protocol, row, group, metric, done, detector)
            paper = of_prompts.paper_figure(protocol, row, group, metric)
            values.append(_value(ours, metric, paper))
        lines.append(TableRow(row, tuple(values)))
    return Table(metric, "method", columns, tuple(lines), (f"{metric}: {EXPLAINED[metric]}.",))


def _better(metric: str) -> Literal["higher", "lower"]:
    return "higher" if metric in HIGHER else "lower"


def _value(ours: Found, metric: str, paper: float | None) -> Value:
    """The text stands for the number where the paper's figure is beside it."""
    number = None if math.isnan(ours.value) else ours.value
    return Value(number) if paper is None else Value(number, words=ours.text(metric, paper))

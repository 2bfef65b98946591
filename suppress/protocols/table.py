"""A protocol's measured cells as Markdown: one table for each metric, with the paper's figures beside ours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from minisd.base.counted import counted

from ..evaluation.cells import reasons
from ..evaluation.page.markdown import table_markdown
from .protocol import ORIGINAL, Means, Protocol
from .scores import EXPLAINED, ORIGINALS_HAVE, Found, Pictures, figure

Cells = Mapping[Any, Mapping[str, Any]]  # by (row, prompt)


def report(protocol: Protocol, done: Cells, detector: Any) -> str:
    """done: the cells. detector: `match(words).name` is the class of a target."""
    how = f"{counted(protocol.steps, 'step')}, R = {protocol.start:g}, {counted(protocol.seeds, 'seed')} per prompt"
    head = protocol.heading(how, "prompts" if protocol.paper else "")
    tables = [
        f"{metric} ({EXPLAINED[metric]}):\n\n{_table(protocol, metric, done, detector)}"
        for metric in shown_metrics(protocol, done, detector)
    ]
    ends = [*_more(protocol, done, detector), *_cost(protocol, done), *_failures(protocol, done, detector)]
    return "\n\n".join([*head, *tables, *ends])


def shown_metrics(protocol: Protocol, done: Cells, detector: Any) -> list[str]:
    """The metrics that have a table: those with a figure of ours or of the paper's, or without a reason why not."""

    def has_table(metric: str) -> bool:
        ours = list(_each_found(protocol, metric, done, detector))
        of_paper = any(metric in figures for (_, group), figures in protocol.paper.items() if group in protocol.groups)
        return of_paper or any(not math.isnan(each.value) for each in ours) or not any(each.reason for each in ours)

    return [metric for metric in protocol.metrics if has_table(metric)]


def rows_of(protocol: Protocol, metric: str) -> list[str]:
    """The rows of a metric's table: ours, and those of the paper that have no method here."""
    rows = [ORIGINAL, *protocol.rows] if metric in ORIGINALS_HAVE else list(protocol.rows)
    others = {row for row, group in protocol.paper if group in protocol.groups and metric in protocol.paper[row, group]}
    return [
        *rows,
        *(row for row in dict.fromkeys(row for row, _ in protocol.paper) if row in others - {*rows, ORIGINAL}),
    ]


def found(protocol: Protocol, row: str, group: str, metric: str, done: Cells, detector: Any) -> Found:
    """Our figure for a row and a group."""
    measured: Pictures = [
        (case, cell) for case in protocol.groups[group] if (cell := _cell_of(protocol, row, case.key, done)) is not None
    ]
    return figure(measured, "before" if row == ORIGINAL else "after", metric, protocol.watch, detector)


def paper_figure(protocol: Protocol, row: str, group: str, metric: str) -> float | None:
    return protocol.paper.get((row, group), {}).get(metric)


def counts(protocol: Protocol) -> dict[str, int]:
    """The pictures of each group."""
    return {name: len(cases) * protocol.seeds for name, cases in protocol.groups.items()}


def _table(protocol: Protocol, metric: str, done: Cells, detector: Any) -> str:
    lines = []
    for row in rows_of(protocol, metric):
        cells = []
        for group in protocol.groups:
            ours = found(protocol, row, group, metric, done, detector)
            cells.append(ours.text(metric, paper_figure(protocol, row, group, metric)))
        lines.append(f"| {row} | {' | '.join(cells)} |")
    heads = [f"{name} ({count})" for name, count in counts(protocol).items()]
    return "\n".join([f"| pictures | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|", *lines])


def _cell_of(protocol: Protocol, row: str, key: Any, done: Cells) -> Mapping[str, Any] | None:
    """The cell of a row; that of any row for the originals, which all rows share."""
    rows = protocol.rows if row == ORIGINAL else (row,)
    return next((cell for one in rows if "after" in (cell := done.get((one, key), {}))), None)


def _more(protocol: Protocol, done: Cells, detector: Any) -> list[str]:
    if protocol.more is None:
        return []
    table = protocol.more(means(protocol, done, detector))
    return [f"**{table.title}**\n\n{table_markdown(table)}", *table.notes]


def means(protocol: Protocol, done: Cells, detector: Any) -> Means:
    """(row, group, metric) -> our figure; nan if it was not measured, or if a shorter run left the group out."""

    def mean(row: str, group: str, metric: str) -> float:
        return found(protocol, row, group, metric, done, detector).value if group in protocol.groups else math.nan

    return mean


def _cost(protocol: Protocol, done: Cells) -> list[str]:
    """A sentence about what the cells of the table cost."""
    keys = [case.key for case in protocol.cases]
    cells = [cell for row in protocol.rows for key in keys if "passes" in (cell := done.get((row, key), {}))]
    if not cells:
        return []
    passes, seconds = (sum(cell[name] * len(cell["ssim"]) for cell in cells) for name in ("passes", "seconds"))
    return [f"Cost: {passes:.0f} UNet samples, {seconds / 60:.1f} minutes of sampling on the machine that measured it."]


def _failures(protocol: Protocol, done: Cells, detector: Any) -> list[str]:
    """Why cells have no scores, and tables no figures: each reason once."""
    lines = [
        f"- {row}: {reason}"
        for row, reason in sorted(reasons(done, protocol.rows, [case.key for case in protocol.cases]))
    ]
    lines += [f"- {reason}" for reason in missing(protocol, done, detector)]
    return ["Not measured:\n\n" + "\n".join(lines)] if lines else []


def missing(protocol: Protocol, done: Cells, detector: Any) -> list[str]:
    """Why figures are not there, each reason once."""
    all_found = (each for metric in protocol.metrics for each in _each_found(protocol, metric, done, detector))
    return list(dict.fromkeys(each.reason for each in all_found if each.reason))


def _each_found(protocol: Protocol, metric: str, done: Cells, detector: Any) -> Iterator[Found]:
    """Our figures for a metric, those of the originals left out."""
    return (found(protocol, row, group, metric, done, detector) for row in protocol.rows for group in protocol.groups)

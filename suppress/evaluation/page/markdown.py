"""A report as Markdown. It has the tables and the settings; the plot and the pictures are on the page alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from .parts import NOTHING, Report, Table


def report_markdown(report: Report) -> str:
    parts = [f"# {plain(report.title)}", *map(plain, report.sentences)]
    for table in report.tables:
        parts += [f"## {plain(table.title)}", table_markdown(table), *map(plain, table.notes)]
        parts.append(f"Made by:\n\n{code(report.command, 'sh')}")
    settings = json.dumps(report.settings, indent=2, ensure_ascii=False)
    return "\n\n".join([*parts, "## Settings", code(settings, "json")])


def table_markdown(table: Table) -> str:
    lines = [_line([table.of, *(column.heading for column in table.columns)])]
    lines.append("|" + "---|" * (1 + len(table.columns)))
    for row in table.rows:
        cells = [
            " ".join(filter(None, (value.text(column), value.interval_text(column))))
            for column, value in zip(table.columns, row.values, strict=True)
        ]
        lines.append(_line([row.name, *cells], bold=row.marked))
    return "\n".join(lines)


def _line(cells: Iterable[str], bold: bool = False) -> str:
    first, *others = (plain(cell or NOTHING) for cell in cells)
    return "| " + " | ".join([f"**{first}**" if bold else first, *others]) + " |"


def plain(text: str) -> str:
    """The text on one line, and so that no sign of it means anything to Markdown or HTML."""
    return re.sub(r"([\\`*_~|<>&#])", r"\\\1", " ".join(text.split()))


def code(text: str, language: str) -> str:
    """A block of code. Its fence is longer than any row of backticks within the text."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"

"""A report as one HTML page that needs no other file and no network.

Style, script and pictures are inside the page. Its Content-Security-Policy forbids everything else: it names the only
style and the only script that may act, by their SHA-256 (W3C, Content Security Policy Level 3).
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from PIL import Image

from . import geometry
from .geometry import Bar
from .parts import Column, Report, Table


@dataclass(frozen=True)
class _Cell:
    text: str
    interval: str
    sort: str  # the number or, without one, the words by which the script sorts
    words: bool  # whether it has words alone, which may be long
    bar: Bar | None


@dataclass(frozen=True)
class _Line:
    name: str
    marked: bool
    cells: list[_Cell]


def report_html(report: Report) -> str:
    style, script = _file("page.css"), _file("page.js")
    # every text of the report is escaped (autoescape), and a name that the template lacks is an error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_uri"] = data_uri
    return environment.from_string(_file("page.html.jinja")).render(
        report=report,
        policy=policy(style, script),
        style=style,
        script=script,
        tables=[(table, list(lines(table))) for table in report.tables],
        first_order=first_order,
        scatter=geometry.scatter(report.plot) if report.plot else None,
        size=geometry,
        settings=json.dumps(report.settings, indent=2, ensure_ascii=False),
    )


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def policy(style: str, script: str) -> str:
    """The page's Content-Security-Policy: nothing is loaded, and only this style and this script act."""
    allowed = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    return (
        "default-src 'none'; img-src data:; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; "
        "form-action 'none'"
    ).format(*allowed)


def lines(table: Table) -> Iterator[_Line]:
    """The rows of a table with all that the template writes."""
    bars = [geometry.bars(table, k) for k in range(len(table.columns))]
    for n, row in enumerate(table.rows):
        cells = [
            _Cell(
                value.text(column),
                value.interval_text(column),
                value.words if value.number is None else repr(float(value.number)),
                value.number is None,
                bars[k][n],
            )
            for k, (column, value) in enumerate(zip(table.columns, row.values, strict=True))
        ]
        yield _Line(row.name, row.marked, cells)


def first_order(column: Column) -> str:
    """How the first click sorts: the best values come first."""
    return "descending" if column.better == "higher" else "ascending"


def data_uri(picture: Image.Image) -> str:
    """The picture as an address that holds its own data: lossless WebP."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", lossless=True)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()

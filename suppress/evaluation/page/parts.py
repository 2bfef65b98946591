"""What a report is made of, before it is Markdown or HTML: tables of values with units, a plot, and pictures.

Only numbers and words are here. How they look is decided in markdown.py and html.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image

NOTHING = "–"  # stands where there is no value


@dataclass(frozen=True)
class Column:
    """One column of numbers, which all have the same unit and the same number of digits."""

    name: str
    better: Literal["lower", "higher", ""] = ""  # "": neither end is the better one
    digits: int = 3  # after the decimal point
    unit: str = ""
    signed: bool = False  # whether a positive number is written with its sign

    @property
    def heading(self) -> str:
        return f"{self.name}, {self.unit}" if self.unit else self.name

    def number(self, number: float) -> str:
        return f"{number:{'+' if self.signed else ''}.{self.digits}f}"


@dataclass(frozen=True)
class Value:
    """One cell of a table. Rows are sorted by `number`; a cell without a number stands at the end."""

    number: float | None = None
    interval: tuple[float, float] | None = None
    words: str = ""  # written in place of the number

    def text(self, column: Column) -> str:
        """The value without its interval."""
        if self.words:
            return self.words
        return NOTHING if self.number is None else column.number(self.number)

    def interval_text(self, column: Column) -> str:
        """The interval as "[low, high]"; "" if there is none."""
        return "" if self.interval is None else "[" + ", ".join(map(column.number, self.interval)) + "]"


@dataclass(frozen=True)
class TableRow:
    name: str
    values: tuple[Value, ...]  # one per column
    marked: bool = False  # the row with which the others are compared


@dataclass(frozen=True)
class Table:
    title: str
    of: str  # what a row is; the heading of the names
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = ()  # sentences that say what the columns mean

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.values) != len(self.columns):
                raise ValueError(f"{row.name}: {len(row.values)} values in a table of {len(self.columns)} columns")


@dataclass(frozen=True)
class Point:
    name: str
    x: float
    y: float
    size: float  # at least 0; the area of the circle grows with it
    marked: bool = False


@dataclass(frozen=True)
class Plot:
    title: str
    x: Column
    y: Column
    size: Column
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Sample:
    """One picture before and after an edit. It was drawn again for the report; the scores are those of the cells."""

    row: str
    seed: str  # which of the pictures of a prompt: "seed 0"
    before: Image.Image
    after: Image.Image
    scores: tuple[str, ...]  # such as "DetScore 0.99 → 0.01"


@dataclass(frozen=True)
class Sheet:
    """The samples of one prompt."""

    prompt: str
    target: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Report:
    title: str
    sentences: tuple[str, ...]  # what every reader must know before the figures
    command: str  # makes the tables again
    settings: Mapping[str, Any]  # those of the run, and those of each row
    tables: tuple[Table, ...]
    plot: Plot | None = None
    sheets: tuple[Sheet, ...] = ()

"""Reads .csv files of prompts: their columns and lines. What is wrong with one is a UserError with file and line."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from minisd import UserError
from minisd.base.arguments import shown

Line = tuple[int, Mapping[str, str]]  # the number of a line in its file, and its values by column
Table = tuple[list[str], list[Line]]  # the columns, the lines


def read_text(file: Path) -> str:
    """The text of a file of prompts. UserError if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: {error}; expected a file in UTF-8") from None


def read_table(file: Path, text: str) -> Table:
    """The table in a file's text. UserError if it is none.

    A value that a line lacks is empty. If a line has more values than there are columns, they are under the name "".
    """
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        columns = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, values) for values in reader if values]
    except csv.Error as error:  # such as a value that is longer than Python's limit
        raise UserError(f"{file}, line {reader.line_num}: {error}") from None
    return columns, [(number, _by_column(columns, values)) for number, values in rows]


def _by_column(columns: Sequence[str], values: Sequence[str]) -> Mapping[str, str]:
    missing = [""] * (len(columns) - len(values))
    line = dict(zip(columns, [*values, *missing], strict=False))
    further = values[len(columns) :]
    return line | {"": ",".join(further)} if further else line


def csv_lines(file: Path, needed: Sequence[str], optional: Sequence[str], table: Table | None = None) -> list[Line]:
    """The lines of a table with these columns. UserError for columns that are missing or unknown.

    table: the file's, if it was read already.
    """
    columns, lines = read_table(file, read_text(file)) if table is None else table
    missing = [name for name in needed if name not in columns]
    unknown = [name for name in columns if name not in (*needed, *optional)]
    if missing or unknown or len(set(columns)) < len(columns):
        expected = f"{', '.join(needed)}, and if needed {', '.join(optional)}"
        raise UserError(f"{file} has the columns {shown(columns)}; expected {expected}")
    return lines


def check_count(line: Mapping[str, str]) -> None:
    """UserError for a line with more values than there are columns."""
    if "" in line:
        raise UserError("it has more values than there are columns; put a prompt with commas in quotes")

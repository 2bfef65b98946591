"""`suppress eval --report`: two files beside the cells, a Markdown file and an HTML page.

Nothing here imports PyTorch until the report is made.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from minisd import UserError
from minisd.base.outputs import output_path, with_ending, write_text

if TYPE_CHECKING:
    from ..evaluation.page.parts import Report

# the first line of both files, by which they are recognised
HEADING = "<!-- made by `suppress eval --report`; the next run writes it anew -->"
ENDINGS = ("-report.md", "-report.html")


def add_report_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("report")
    files = "also write NAME-report.md and NAME-report.html beside the cells: the tables with paired comparisons; the "
    files += "page has tables that sort, a plot, and pictures before and after"
    group.add_argument("--report", action="store_true", help=files)
    rows = "the rows whose pictures the page shows (default: the default method, the deleted phrase, SWR and Unread); "
    rows += "without a ROW, it shows none"
    group.add_argument("--samples", metavar="ROW", nargs="*", help=rows)


def check_report(args: argparse.Namespace, out: Path, rows: Iterable[str], usual: Collection[str]) -> list[str]:
    """The rows whose pictures the report shows. usual: those that are shown if the user names none.

    UserError if the files of the report cannot be written, or for a row that the table does not have.
    """
    if not args.report:
        if args.samples is not None:
            raise UserError("--samples chooses pictures of the report; add --report")
        return []
    for file in _files(out):
        _check_file(out, file)
    names = list(rows)
    if args.samples is None:
        return [name for name in names if name in usual]
    if unknown := [name for name in args.samples if name not in names]:
        raise UserError(f"--samples: no row {', '.join(unknown)} in the table; there is {', '.join(names)}")
    return [name for name in names if name in args.samples]


def _files(out: Path) -> list[Path]:
    return [with_ending(out, ending) for ending in ENDINGS]


def _check_file(out: Path, file: Path) -> None:
    output_path(str(file))
    if not file.exists():
        return
    if not file.is_file() or not os.access(file, os.R_OK | os.W_OK):
        raise UserError(f"--out {out}: {file} cannot be written; name another --out")
    if not file.read_bytes().startswith(HEADING.encode()):
        raise UserError(f"--out {out}: {file} was not made by this command; move it away, or name another --out")


def write_report(out: Path, make: Callable[[], Report]) -> list[Path]:
    """Makes the report, writes its files and returns their paths. out: the file of cells."""
    from ..evaluation.page.html import report_html
    from ..evaluation.page.markdown import report_markdown

    try:
        report = make()
    except KeyboardInterrupt:
        kept = f"{out} and its table are written, the report is not; the same command goes on"
        raise KeyboardInterrupt(kept) from None
    texts = (f"{HEADING}\n\n{report_markdown(report)}\n", f"{HEADING}\n{report_html(report)}\n")
    for file, text in zip(_files(out), texts, strict=True):
        write_text(file, text)
        print(f"report: {file}")
    return _files(out)

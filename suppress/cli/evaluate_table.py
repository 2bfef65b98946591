"""What both tables of `suppress eval` share: they are measured into a file, here or elsewhere, and printed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minisd.base.outputs import write_text

from ..evaluation import cells
from ..evaluation.shard import Shard, read_shard

if TYPE_CHECKING:
    from ..evaluation.jobs import Job
    from ..evaluation.plan import Plan

Forecast = Callable[[Mapping[cells.Key, cells.Cell]], str]


def add_scale_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("large tables")
    group.add_argument(
        "--shard",
        metavar="K/N",
        type=read_shard,
        help="measure only the K-th of N parts, into a file of its own; `suppress eval merge` joins the files",
    )


def out_of_shard(name: str, shard: Shard | None) -> str:
    """The default name of the file, which tells the parts of a table apart."""
    path = Path(name)
    return name if shard is None else str(path.with_stem(path.stem + shard.ending))


def evaluate_table(args: argparse.Namespace, plan: Plan, forecast: Forecast | None = None) -> None:
    """Measures the cells that --out lacks, and prints the table. forecast: what to say after the first cell."""
    from ..evaluation.fit import fitting
    from ..evaluation.jobs import fill
    from ..evaluation.lock import owned

    out = cells.check_out(args.out)
    with owned(out):
        known = cells.read_cells(out, plan.form)
        table = plan.load("cpu")
        jobs = table.jobs if args.shard is None else args.shard.of(table.jobs)
        done = fitting(out, known, jobs, table.making, plan.form)
        if forecast is not None:
            fill(out, done, jobs[:1], table.making, plan.form)
            print(forecast(done), flush=True)
        fill(out, done, jobs, table.making, plan.form)
        if args.shard is None:
            print_table(out, plan.report(done, table.detector))
        else:
            _tell_part(args.shard, out, jobs, table.jobs)


def print_table(out: Path, text: str) -> None:
    """Prints the table, and writes it beside the cells."""
    print(text)
    write_text(out.with_suffix(".md"), f"{cells.HEADING}\n\n{text}\n")


def _tell_part(shard: Shard, out: Path, jobs: Sequence[Job], all_jobs: Sequence[Job]) -> None:
    """Says what to do with a part: a table of it would compare rows on different cases."""
    print(
        f"part {shard}: its {len(jobs)} of {len(all_jobs)} cells are in {out}; join the files of all parts with "
        "`suppress eval merge`"
    )

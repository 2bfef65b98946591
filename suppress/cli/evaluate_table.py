"""What both tables of `suppress eval` share: they are measured into a file, here or elsewhere, and printed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from minisd import UserError
from minisd.base.arguments import number, whole_number
from minisd.base.counted import counted
from minisd.base.outputs import write_text
from minisd.cli.answer import wrote

from ..evaluation import cells
from ..evaluation.shard import Shard, read_shard
from .evaluate_report import check_report, write_report

if TYPE_CHECKING:
    from ..evaluation.fit import Making
    from ..evaluation.jobs import Job, Measure
    from ..evaluation.page.parts import Report
    from ..evaluation.plan import Plan

QUICK = (
    "**Quick profile**: it shows that everything runs. It has too few steps, prompts and seeds to compare methods; its "
    "figures are not those of the table."
)

MEASURED = "the table measures how well a target is removed"

Forecast = Callable[[Mapping[cells.Key, cells.Cell]], str]


def add_scale_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("large tables")
    group.add_argument(
        "--shard",
        metavar="K/N",
        type=read_shard,
        help="measure only the K-th of N parts, into a file of its own; `suppress eval merge` joins the files",
    )
    each = "one process for each of these: cuda:0 cuda:1 (default: one process, on --device or this CPU)"
    group.add_argument("--devices", metavar="NAME", nargs="+", help=each)
    batch = (
        "draw N pictures at once, of several prompts of a row (default: those of one prompt, up to 8), for GPUs and "
    )
    batch += "few seeds; a run that is stopped loses at most these N pictures"
    group.add_argument("--batch", metavar="N", type=int, help=batch)
    ray = "each cell is a task of Ray: ray starts it here, or takes RAY_ADDRESS; ray://HOST:PORT is a cluster"
    group.add_argument("--on", metavar="RAY", type=ray_address, help=ray)
    group.add_argument(
        "--gpus", metavar="N", type=float, help="with --on: the GPUs that a cell needs, or a part of one (default 0)"
    )


def ray_address(text: str) -> str:
    if text != "ray" and not text.startswith("ray://"):
        raise argparse.ArgumentTypeError(f"{text!r} is no Ray; expected ray, or ray://HOST:PORT")
    return text


def check_scale(args: argparse.Namespace) -> None:
    """UserError for options that exclude each other."""
    if args.report and args.shard is not None:
        raise UserError("--report needs the whole table; leave --shard out, or merge the parts first")
    if args.on and args.devices:
        raise UserError("--on and --devices exclude each other: Ray chooses the devices; give --gpus")
    if args.device and (args.on or args.devices):
        raise UserError(f"--device {args.device} is for one process; --devices names a device for each of several")
    if args.gpus is not None and not args.on:
        raise UserError("--gpus is for --on ray; for the GPUs of this machine, give --devices cuda:0 cuda:1")
    if args.gpus is not None:
        number("gpus", args.gpus)
    if args.batch is not None:
        whole_number("batch", args.batch, 1)


def model_device(args: argparse.Namespace) -> str:
    """The kind of device on which the cells are measured, as they have it. UserError for different kinds."""
    own = args.device or ("cuda" if args.gpus else "cpu")
    kinds = sorted({name.partition(":")[0] for name in args.devices or [own]})
    if len(kinds) > 1:
        raise UserError(f"--devices {' '.join(args.devices)}: times on {' and '.join(kinds)} fit no common table")
    return kinds[0]


def _measure(args: argparse.Namespace, plan: Plan, making: Making) -> Measure:
    """How the cells are measured: in this process, on several devices, or on Ray."""
    if args.on:
        from ..evaluation.on_ray import on_ray

        return partial(on_ray, plan, args.on, args.gpus or 0, making)
    if args.devices:
        from ..evaluation.devices import on_devices

        return partial(on_devices, plan, args.devices, making)
    from ..evaluation.jobs import in_turn

    return in_turn


def out_of_shard(name: str, shard: Shard | None) -> str:
    """The default name of the file, which tells the parts of a table apart."""
    path = Path(name)
    return name if shard is None else str(path.with_stem(path.stem + shard.ending))


def evaluate_table(args: argparse.Namespace, plan: Plan, forecast: Forecast | None = None) -> None:
    """Measures the cells that --out lacks, and prints the table. forecast: what to say after the first cell."""
    from ..evaluation.fit import fitting, incomplete
    from ..evaluation.jobs import fill
    from ..evaluation.lock import owned
    from ..evaluation.spreadsheet import write_sheet

    if args.threads is not None:
        import torch

        torch.set_num_threads(args.threads)
    out = cells.check_out(args.out)
    samples = check_report(args, out, plan.names, plan.sampled)
    with owned(out):
        known = cells.read_cells(out, plan.form)
        table = plan.load(args.device or "cpu")
        jobs = table.jobs if args.shard is None else args.shard.of(table.jobs)
        measure = _measure(args, plan, table.making)
        done = fitting(out, known, jobs, table.making, plan.form)
        older = incomplete(known, jobs, table.making, plan.form)
        if forecast is not None and args.shard is None:
            fill(out, done, jobs[:1], table.making, plan.form, measure, older, args.batch)
            print(forecast(done), flush=True)
        fill(out, done, jobs, table.making, plan.form, measure, older, args.batch)
        if args.shard is None:
            _print_table(out, "\n\n".join([*_note(args), plan.report(done, table.detector)]))
            args.answer["scores"] = lines = plan.lines(done, table.detector)
            wrote(args, out, out.with_suffix(".md"), write_sheet(out.with_suffix(".csv"), plan.columns, lines))
            if args.report:
                pages = write_report(out, lambda: _noted(plan.page(done, table, args.command, samples), _note(args)))
                wrote(args, *pages)
        else:
            wrote(args, out)
            _tell_part(args.shard, out, jobs, table.jobs)


def _note(args: argparse.Namespace) -> list[str]:
    """What stands above every figure of a quick run."""
    return [QUICK] if getattr(args, "quick", False) else []


def _noted(report: Report, note: Sequence[str]) -> Report:
    return replace(report, sentences=(*(text.replace("**", "") for text in note), *report.sentences))


def _print_table(out: Path, text: str) -> None:
    """Prints the table, and writes it beside the cells."""
    print(text)
    write_text(out.with_suffix(".md"), f"{cells.HEADING}\n\n{text}\n")


def _tell_part(shard: Shard, out: Path, jobs: Sequence[Job], all_jobs: Sequence[Job]) -> None:
    """Says what to do with a part: a table of it would compare rows on different cases."""
    print(
        f"{out}: part {shard}, {len(jobs)} of {counted(len(all_jobs), 'cell')}; join the files of all parts with "
        "`suppress eval merge`"
    )

"""`suppress eval --pictures`: the tables of (inversion × method) on drawn pictures, whose ideal edit is known."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from minisd import UserError
from minisd.base.arguments import whole_number

from ..evaluation import cells
from ..evaluation.pairs import CONTROLS, GUIDANCE, METHODS, Pair, choose

if TYPE_CHECKING:
    from ..evaluation.page.parts import Report
    from ..evaluation.pictures import PictureCase

SAMPLED = tuple(f"{name} on direct" for name in ("Unread, keep 1", "phrase deleted", "SWR + ITO", "Unread"))


def evaluate_pictures(args: argparse.Namespace) -> None:
    from minisd import ddim, load

    from ..evaluation.jobs import fill
    from ..evaluation.measure_pictures import PICTURES, Bench
    from ..metrics import Judge
    from .evaluate import print_table, settings_of
    from .evaluate_report import check_report, write_report

    pairs = _check(args)
    out = cells.check_out(args.out)
    samples = check_report(args, out, [pair.row for pair in pairs], SAMPLED)
    settings = settings_of(args, guidance=GUIDANCE)
    done = cells.read_cells(out, settings, PICTURES)
    sd = load("tiny", device="cpu")
    ddim.timesteps(args.steps, sd.config.schedule)  # a UserError now, not one in every cell
    bench = Bench(sd, Judge(sd), args.steps)
    cases = _cases(args)
    fill(out, done, bench.jobs(cases, pairs, args.start), settings, PICTURES, bench.judge.detector.names)
    print_table(out, report(done, pairs, cases, args.steps))
    if args.report:
        from ..evaluation.page.picture_report import picture_report
        from ..evaluation.page.samples import picture_sheets

        def full_report() -> Report:
            sheets = picture_sheets(bench, done, [pair for pair in pairs if pair.row in samples], cases, args.start)
            return picture_report(done, pairs, cases, args.command, settings, sheets)

        write_report(out, full_report)


def _check(args: argparse.Namespace) -> Sequence[Pair]:
    """The pairs to measure. UserError for names and settings that no cell could be measured with."""
    from ..methods import parse_method
    from ..protocol import Method
    from ..start.invert import parse_inversion

    Method(steps=args.steps, **({} if args.start is None else {"start": args.start}))
    if args.limit is not None:
        whole_number("limit", args.limit, 1)
    pairs = choose(args.only or (), args.inversions, args.all_pairs)
    for pair in pairs:
        parse_inversion(pair.inversion)
        if pair.spec.partition(":")[0] not in CONTROLS:
            try:
                parse_method(pair.spec)
            except UserError as error:
                raise UserError(f"{error}; the table has the rows {', '.join(METHODS)}") from None
    return pairs


def _cases(args: argparse.Namespace) -> list[PictureCase]:
    from ..evaluation.pictures import picture_cases

    cases = [case for case in picture_cases() if args.half in ("all", case.half)]
    return cases[: args.limit]


def report(
    done: Mapping[cells.Key, cells.Cell], pairs: Sequence[Pair], cases: Sequence[PictureCase], steps: int
) -> str:
    """Markdown: the tables of all pairs that were measured on these pictures."""
    from ..evaluation import picture_table
    from ..evaluation.measure_pictures import IDEAL, VAE

    names = [VAE, IDEAL, *(pair.row for pair in pairs)]
    rows = picture_table.measured_rows(done, names, cases)
    skipped = sum(case.skipped for case in cases)
    return "\n\n".join(
        part
        for part in (
            f"**{len(cases)} drawn pictures, {steps} steps, guidance {GUIDANCE:g}** (captions skipped because they do "
            f"not name the target: {skipped})",
            picture_table.edits(rows),
            picture_table.by_kind(rows),
            picture_table.best(rows, pairs),
            picture_table.reconstructions(rows, pairs),
            _failures(done, names, cases),
        )
        if part
    )


def _failures(done: Mapping[cells.Key, cells.Cell], names: Sequence[str], cases: Sequence[PictureCase]) -> str:
    """One line for each row that could not draw a picture: how many, and the first reason."""
    lines = []
    for name in names:
        reasons = [reason for case in cases if (reason := done.get((name, case.number), {}).get("reason"))]
        if reasons:
            lines.append(f"- {name}: {len(reasons)} pictures without a result ({reasons[0].splitlines()[0]})")
    return "\n".join(lines)

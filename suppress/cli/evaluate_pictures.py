"""`suppress eval --pictures`: the tables of (inversion × method) on drawn pictures, whose ideal edit is known."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from minisd import UserError
from minisd.base.arguments import whole_number

from ..evaluation.cells import check_out
from ..evaluation.pairs import CONTROLS, DEFAULT, METHODS, NOTHING, STANDARD, Pair, choose, product
from ..protocols import PICTURE_PROTOCOLS
from .evaluate_table import MEASURED, evaluate_table, model_device

if TYPE_CHECKING:
    from ..evaluation.pictures import PictureCase


QUICK_METHODS = (NOTHING, STANDARD)  # of --quick, on the default inversion


def evaluate_pictures(args: argparse.Namespace) -> None:
    pairs = _check(args)
    check_out(args.out)  # before PyTorch is imported
    from ..evaluation.picture_plan import PicturePlan

    plan = PicturePlan(
        tuple(pairs),
        tuple(_cases(args)),
        args.steps,
        args.start,
        model_device(args),
        args.judge,
        os.getcwd(),
        args.protocol,
    )
    evaluate_table(args, plan)


def _check(args: argparse.Namespace) -> Sequence[Pair]:
    """The pairs to measure. UserError for names and settings that no cell could be measured with."""
    from ..methods import check_removes, parse_method
    from ..protocol import Method
    from ..start.invert import parse_inversion

    Method(steps=args.steps, **({} if args.start is None else {"start": args.start}))
    if args.limit is not None:
        whole_number("limit", args.limit, 1)
    pairs = _pairs(args)
    for pair in pairs:
        parse_inversion(pair.inversion)
        if pair.spec.partition(":")[0] not in CONTROLS:
            try:
                parse_method(pair.spec)
            except UserError as error:
                raise UserError(f"{error}; the table has the rows {', '.join(METHODS)}") from None
            check_removes(pair.spec, "--only", MEASURED)
    return pairs


def _pairs(args: argparse.Namespace) -> Sequence[Pair]:
    """The pairs of a run: those of the protocol, or of the table. With a protocol, --only names its rows."""
    if args.protocol is None:
        if args.quick and not (args.only or args.inversions or args.all_pairs):
            return product(QUICK_METHODS, [DEFAULT])
        return choose(args.only or (), args.inversions, args.all_pairs)
    rows = PICTURE_PROTOCOLS[args.protocol].rows
    known = {pair.row: pair for pair in rows}
    if unknown := [name for name in args.only or () if name not in known]:
        raise UserError(f"no row {', '.join(unknown)} in --protocol {args.protocol}; it has {', '.join(known)}")
    return rows if args.only is None else [known[name] for name in known if name in args.only]


def _cases(args: argparse.Namespace) -> list[PictureCase]:
    """The pictures of a run. A protocol may have more than the table has: as many of each kind as --limit needs."""
    from ..evaluation.pictures import EACH, TARGETS, as_instruction, picture_cases

    if args.protocol is None:
        return [case for case in picture_cases() if args.half in ("all", case.half)][: args.limit]
    protocol = PICTURE_PROTOCOLS[args.protocol]
    kinds = protocol.kinds or tuple(TARGETS)
    cases = picture_cases(max(EACH, -(-(args.limit or 0) // len(kinds))))
    chosen = [case for case in cases if case.kind in kinds][: args.limit]
    return [as_instruction(case) for case in chosen] if protocol.instructions else chosen

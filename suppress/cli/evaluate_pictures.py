"""`suppress eval --pictures`: the tables of (inversion × method) on drawn pictures, whose ideal edit is known."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from minisd import UserError
from minisd.base.arguments import whole_number

from ..evaluation.cells import check_out
from ..evaluation.pairs import CONTROLS, METHODS, Pair, choose
from .evaluate_table import evaluate_table, model_device

if TYPE_CHECKING:
    from ..evaluation.pictures import PictureCase


def evaluate_pictures(args: argparse.Namespace) -> None:
    pairs = _check(args)
    check_out(args.out)  # before PyTorch is imported
    from ..evaluation.picture_plan import PicturePlan

    device, cases = model_device(args), tuple(_cases(args))
    evaluate_table(args, PicturePlan(tuple(pairs), cases, args.steps, args.start, device, args.judge, os.getcwd()))


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

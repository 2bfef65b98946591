"""`suppress eval`: the tables of methods on the drawn world. Every measured cell is kept, so a stopped run can go on.

The parser needs no PyTorch: help comes at once.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from minisd import UserError
from minisd.base.arguments import whole_number
from minisd.cli import options
from minisd.cli.answer import add_answer_options
from minisd.cli.model_choice import ModelChoice

from ..evaluation import cases as usual
from ..evaluation import pairs
from ..evaluation.all_methods import all_rows
from ..evaluation.cases import CASES, KINDS, ROWS, VARIANT_ROWS, Case
from ..evaluation.cells import check_out
from ..evaluation.implied import IMPLYING
from ..evaluation.implied import KIND as IMPLIED_KIND
from ..evaluation.own_prompts import OwnCase
from ..methods import METHODS, check_removes, parse_method
from ..protocols import PICTURE_PROTOCOLS, PROTOCOLS
from .evaluate_defaults import QUICK_SEEDS, fill_in
from .evaluate_report import add_report_options
from .evaluate_table import MEASURED, add_scale_options, check_scale, evaluate_table, model_device


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv[:1] == ["merge"]:
        from .merge import main as merge

        return merge(argv[1:])
    args = options.parse(_parser(), argv)
    args.command = shlex.join(["suppress", "eval", *argv])
    return options.run("suppress eval", _evaluate, args)


def _parser() -> argparse.ArgumentParser:
    protocols = PROTOCOLS | PICTURE_PROTOCOLS
    width = max(map(len, protocols))
    p = argparse.ArgumentParser(
        prog="suppress eval",
        description="Compare methods on the drawn world: on prompts, or, with --pictures, on pictures whose ideal edit "
        "is known.",
        epilog="protocols:\n" + "\n".join(f"  {name:<{width}}  {each.source}" for name, each in protocols.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--only",
        metavar="ROW",
        nargs="+",
        help="only these rows, by their names in the table, or other methods, as --method takes them",
    )
    p.add_argument("--steps", type=int, help=f"default {usual.STEPS}, for pictures {pairs.STEPS}")
    p.add_argument(
        "--start", type=float, help=f"R of all rows (default {usual.START}; for pictures each method has its own)"
    )
    p.add_argument("--out", help="a .jsonl file, one cell per line, to which new cells are added; tables go beside it")
    p.add_argument("--judge", metavar="MODULE:CLASS", help="a detector of your own (suppress/metrics/own_detector.py)")
    quick = f"a few rows, prompts and steps, and {QUICK_SEEDS} seeds, to see that all runs; also with --protocol"
    p.add_argument("--quick", action="store_true", help=quick)
    papers = "a table of a paper, on prompts or pictures of the drawn world, with the paper's figures beside ours (see "
    p.add_argument("--protocol", choices=protocols, metavar="NAME", help=papers + "below)")
    p.add_argument("--limit", type=int, metavar="N", help="only N pictures, or N prompts of a file")
    options.add_model_options(p)
    add_scale_options(p)
    add_report_options(p)
    add_answer_options(p)
    prompts = p.add_argument_group("prompts")
    tables = "which table (default methods); all: every method that removes something, against the default"
    prompts.add_argument("--rows", choices=("methods", "variants", "all"), help=tables)
    kinds = (
        f"which kinds of prompts (default {', '.join(KINDS)}); {IMPLIED_KIND}: no word of the prompt names the target"
    )
    prompts.add_argument("--kinds", nargs="+", choices=(*KINDS, IMPLIED_KIND), help=kinds)
    own = "your own prompts, with the columns prompt, target, seed, and if you like deleted, picture, mask; or COCO's "
    own += "captions (.json), or I2P (.csv)"
    prompts.add_argument("--prompts", metavar="FILE", help=own)
    words = "what is to be removed from the prompts of COCO (default: what the drawn world knows) or of I2P"
    prompts.add_argument("--target", metavar="WORD", nargs="+", help=words)
    prompts.add_argument("--seeds", type=int, help=f"seeds per prompt (default {usual.SEEDS}; 1 for COCO's captions)")
    pictures = p.add_argument_group("pictures")
    pictures.add_argument("--pictures", action="store_true", help="edit drawn pictures (inversion × method)")
    pictures.add_argument(
        "--inversions",
        metavar="NAME",
        nargs="+",
        help="only these inversions, or other ones, as --inversion takes them; with --only: all of their pairs",
    )
    pictures.add_argument("--all-pairs", action="store_true", default=None, help="every method on every inversion")
    pictures.add_argument("--half", choices=("develop", "report", "all"), help="which pictures (default all)")
    return p


def _evaluate(args: argparse.Namespace) -> None:
    fill_in(args)
    check_scale(args)
    if args.pictures:
        from .evaluate_pictures import evaluate_pictures

        evaluate_pictures(args)
    else:
        _evaluate_prompts(args)


def _evaluate_prompts(args: argparse.Namespace) -> None:
    _check(args)
    rows = _rows(args)
    cases = _cases(args)
    check_out(args.out)  # before PyTorch is imported
    from ..evaluation.prompt_plan import PromptPlan

    plan = PromptPlan(
        tuple(rows.items()),
        cases,
        args.steps,
        args.start,
        None if args.prompts else args.seeds,
        every_method=args.rows == "all",
        device=model_device(args),
        protocol=args.protocol,
        judge=args.judge,
        judge_folder=os.getcwd(),
        folder=str(Path(args.prompts or "").absolute().parent),
        model=ModelChoice.of(args),
        at_once=args.batch,
    )
    evaluate_table(args, plan, plan.forecast if plan.every_method else None)


def _cases(args: argparse.Namespace) -> tuple[Case, ...] | tuple[OwnCase, ...]:
    if args.prompts is not None:
        return _from_file(args)
    if args.protocol is not None:
        protocol = PROTOCOLS[args.protocol]
        return tuple(protocol.first_of_each if args.quick else protocol.cases)
    chosen = [case for case in (*CASES, *IMPLYING) if case.kind in args.kinds]
    return tuple({case.kind: case for case in reversed(chosen)}.values() if args.quick else chosen)


def _from_file(args: argparse.Namespace) -> tuple[OwnCase, ...]:
    from ..evaluation.public_prompts import read_prompt_file

    if args.limit is not None:
        whole_number("limit", args.limit, 1)
    cases, told = read_prompt_file(Path(args.prompts), args.target or (), args.limit, args.seeds)
    if told:
        print(told, flush=True)
    return cases


def _check(args: argparse.Namespace) -> None:
    """UserError for settings that no row could be measured with."""
    from ..protocol import Method

    if args.seeds is not None:
        whole_number("seeds", args.seeds, 1, options.MOST_SEEDS)
    Method(steps=args.steps, start=args.start)


def _rows(args: argparse.Namespace) -> dict[str, str]:
    """Name of a row -> its method: those of a table, and with --only any other method under its own name."""
    if args.protocol is not None:
        rows = dict(PROTOCOLS[args.protocol].rows)
    else:
        rows = all_rows() if args.rows == "all" else ROWS if args.rows == "methods" else VARIANT_ROWS
    if not args.only:
        return rows
    others = [name for name in args.only if name not in rows]
    unknown = [name for name in others if name.partition(":")[0] not in METHODS]
    if unknown:
        raise UserError(f"no row {', '.join(unknown)}; there is {', '.join(rows)}, and every method by its name")
    for name in others:
        parse_method(name)  # a UserError now, not in every cell
        check_removes(name, "--only", MEASURED)
    return {name: spec for name, spec in rows.items() if name in args.only} | {name: name for name in others}


if __name__ == "__main__":
    raise SystemExit(main())

"""`suppress eval`: the tables of methods on the drawn world. Every measured cell is kept, so a stopped run can go on.

The parser needs no PyTorch: help comes at once.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minisd import UserError
from minisd.base.arguments import whole_number
from minisd.base.outputs import write_text
from minisd.cli import options

from ..evaluation import cases as protocol
from ..evaluation import cells, pairs
from ..evaluation.all_methods import DELETED, OURS, SWR, all_rows, descending, forecast
from ..evaluation.cases import CASES, KINDS, ROWS, VARIANT_ROWS, Case
from ..evaluation.implied import IMPLYING
from ..evaluation.implied import KIND as IMPLIED_KIND
from ..methods import METHODS, parse_method
from .evaluate_report import add_report_options, check_report, write_report

if TYPE_CHECKING:
    from minisd import StableDiffusion

    from ..evaluation.page.parts import Report
    from ..metrics import Judge
    from ..protocol import Method

# options of one of the two tables only, with their defaults
_OF_PROMPTS: dict[str, Any] = {"rows": "methods", "kinds": KINDS, "seeds": protocol.SEEDS}
_OF_PICTURES: dict[str, Any] = {"inversions": (), "half": "all", "limit": None, "all_pairs": False}
# rows whose pictures the report shows, in either table
SAMPLED = (OURS, DELETED, SWR, "SWR", "Unread", "unread")
_COMMON = {  # option -> its default (for prompts, for pictures)
    "steps": (protocol.STEPS, pairs.STEPS),
    "start": (protocol.START, None),
    "out": ("suppress-eval.jsonl", "suppress-pictures.jsonl"),
}


def main(argv: Sequence[str] | None = None) -> int:
    args = options.parse(_parser(), argv)
    args.command = shlex.join(["suppress", "eval", *(sys.argv[1:] if argv is None else argv)])
    return options.run("suppress eval", _evaluate, args)


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="suppress eval",
        description="Compare methods on the drawn world: on prompts, or, with --pictures, on pictures whose ideal edit "
        "is known.",
    )
    p.add_argument(
        "--only",
        metavar="ROW",
        nargs="+",
        help="only these rows, by their names in the table, or other methods, as --method takes them",
    )
    p.add_argument("--steps", type=int, help=f"default {protocol.STEPS}, for pictures {pairs.STEPS}")
    p.add_argument(
        "--start", type=float, help=f"R of all rows (default {protocol.START}; for pictures each method has its own)"
    )
    p.add_argument("--out", help="a .jsonl file, one cell per line; new cells are added")
    prompts = p.add_argument_group("prompts")
    tables = "which table (default methods); all: every method that removes something, against the default"
    prompts.add_argument("--rows", choices=("methods", "variants", "all"), help=tables)
    kinds = (
        f"which kinds of prompts (default {', '.join(KINDS)}); {IMPLIED_KIND}: no word of the prompt names the target"
    )
    prompts.add_argument("--kinds", nargs="+", choices=(*KINDS, IMPLIED_KIND), help=kinds)
    prompts.add_argument("--seeds", type=int, help=f"seeds per prompt (default {protocol.SEEDS})")
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
    pictures.add_argument("--limit", type=int, metavar="N", help="only the first N pictures")
    add_report_options(p)
    return p


def _evaluate(args: argparse.Namespace) -> None:
    _fill_in(args)
    if args.pictures:
        from .evaluate_pictures import evaluate_pictures

        evaluate_pictures(args)
    else:
        _evaluate_prompts(args)


def _fill_in(args: argparse.Namespace) -> None:
    """Gives the options that were left out their defaults. UserError for an option of the other table."""
    own, other = (_OF_PICTURES, _OF_PROMPTS) if args.pictures else (_OF_PROMPTS, _OF_PICTURES)
    foreign = [f"--{name.replace('_', '-')}" for name in other if getattr(args, name) is not None]
    if foreign:
        advice = "leave --pictures out" if args.pictures else "add --pictures"
        raise UserError(f"{', '.join(foreign)} is for {'prompts' if args.pictures else 'pictures'}; {advice}")
    for name, default in (own | {name: both[args.pictures] for name, both in _COMMON.items()}).items():
        if getattr(args, name) is None:
            setattr(args, name, default)


def settings_of(args: argparse.Namespace, **others: Any) -> dict[str, Any]:
    """What all cells of a run share. A file with cells of other settings is refused."""
    return {"steps": args.steps, "start": args.start, **others, "device": platform.processor() or "cpu"}


def _evaluate_prompts(args: argparse.Namespace) -> None:
    from minisd import ddim, load

    from ..evaluation.jobs import Job, fill
    from ..evaluation.measure import method_of
    from ..metrics import Judge

    _check(args)
    rows = _rows(args)
    cases = [case for case in (*CASES, *IMPLYING) if case.kind in args.kinds]
    out = cells.check_out(args.out)
    samples = check_report(args, out, rows, SAMPLED)
    settings = settings_of(args, seeds=args.seeds)
    done = cells.read_cells(out, settings, cells.PROMPTS)
    sd: StableDiffusion = load("tiny", device="cpu")
    ddim.timesteps(args.steps, sd.config.schedule)  # a UserError now, not one in every cell
    judge = Judge(sd).load()

    def job(row: str, spec: str, case: Case) -> Job:
        method = method_of(sd, spec, case, args.steps, args.start)
        return Job(row, case, method, lambda: _measure(sd, judge, case, method, args.seeds))

    jobs = [job(row, spec, case) for case in cases for row, spec in rows.items()]
    classes = judge.detector.names
    if args.rows == "all":
        fill(out, done, jobs[:1], settings, cells.PROMPTS, classes)
        print(forecast(rows, cases, done, args.seeds), flush=True)
    fill(out, done, jobs, settings, cells.PROMPTS, classes)
    make = report_all if args.rows == "all" else report
    print_table(out, make(done, rows, cases, judge.detector))
    if args.report:
        from ..evaluation.page.prompt_report import prompt_report
        from ..evaluation.page.samples import prompt_sheets

        def full_report() -> Report:
            sheets = prompt_sheets(sd, judge.detector, done, {row: rows[row] for row in samples}, cases, settings)
            return prompt_report(done, rows, cases, judge.detector, args.command, settings, sheets)

        write_report(out, full_report)


def print_table(out: Any, text: str) -> None:
    """Prints the table, and writes it beside the cells."""
    print(text)
    write_text(out.with_suffix(".md"), f"{cells.HEADING}\n\n{text}\n")


def _measure(sd: StableDiffusion, judge: Judge, case: Case, method: Method, seeds: int) -> cells.Cell:
    from ..evaluation.measure import measure

    return measure(sd, judge, case, method, list(range(seeds)))


def _check(args: argparse.Namespace) -> None:
    """UserError for settings that no row could be measured with."""
    from ..protocol import Method

    whole_number("seeds", args.seeds, 1, options.MOST_SEEDS)
    Method(steps=args.steps, start=args.start)


def _rows(args: argparse.Namespace) -> dict[str, str]:
    """Name of a row -> its method: those of a table, and with --only any other method under its own name."""
    rows = all_rows() if args.rows == "all" else ROWS if args.rows == "methods" else VARIANT_ROWS
    if not args.only:
        return rows
    others = [name for name in args.only if name not in rows]
    unknown = [name for name in others if name.partition(":")[0] not in METHODS]
    if unknown:
        raise UserError(f"no row {', '.join(unknown)}; there is {', '.join(rows)}, and every method by its name")
    for name in others:
        parse_method(name)  # a UserError now, not in every cell
    return {name: spec for name, spec in rows.items() if name in args.only} | {name: name for name in others}


def report(done: dict, rows: dict[str, str], cases: Sequence[Case], detector: Any) -> str:
    """Markdown: a table for prompts with words after the target, one for prompts that end in it, and the bar.

    done: cells by (row, prompt). rows: name -> method, in the order of the table.
    """
    from ..evaluation.table import Summary, bar, by_prompt, markdown, summarise

    parts: list[str] = []
    groups = (
        ("words after the target", {"first", "list", "long"}),
        ("target last", {"last"}),
        ("implied, not named", {IMPLIED_KIND}),
    )
    for title, kinds in groups:
        chosen = [case for case in cases if case.kind in kinds]
        table: dict[str, Summary] = {}
        for row in rows:
            measured = [
                (detector.match(case.target).name, done[row, case.prompt])
                for case in chosen
                if "after" in done.get((row, case.prompt), {})
            ]
            if not measured:
                continue
            if not table:
                table["original"] = summarise(measured, "before")
            table[row] = summarise(measured)
        if not table:
            continue
        seeds = table["original"].pictures // len(chosen)
        parts.append(f"**{title}** ({len(chosen)} prompts × {seeds} seeds)\n\n{markdown(table)}\n\n{by_prompt(table)}")
        if title == "words after the target" and {"Unread", "phrase deleted", "SWR"} <= set(table):
            verdict = bar(table["Unread"], table["phrase deleted"], table["SWR"])
            lines = [f"- {'yes' if holds else 'no'}: {what} ({value})" for what, (holds, value) in verdict.items()]
            parts.append("Unread against the bar for a default:\n\n" + "\n".join(lines))
    parts.append(by_kind(done, rows, cases, detector))
    parts += unfair(rows)
    return "\n\n".join(parts)


def unfair(rows: dict[str, str]) -> list[str]:
    """One line for each row whose method descends on a score of the table, so that this score says nothing of it."""
    return [
        f"**{row}** makes the {score} small by itself: judge it by the other columns"
        for row, score in descending(rows).items()
    ]


def report_all(done: dict, rows: dict[str, str], cases: Sequence[Case], detector: Any) -> str:
    """Markdown: the table of all methods, each against the default, and the table by kind of prompt."""
    from ..evaluation.all_table import compare_all

    return "\n\n".join([compare_all(done, rows, cases, detector), *unfair(rows), by_kind(done, rows, cases, detector)])


def by_kind(done: dict, rows: dict[str, str], cases: Sequence[Case], detector: Any) -> str:
    """Markdown: the mean DetScore of the target, with one column per kind of prompt."""
    kinds = [kind for kind in (*KINDS, IMPLIED_KIND) if any(case.kind == kind for case in cases)]
    lines = [f"| DetScore of the target | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    for row in rows:
        means = []
        for kind in kinds:
            found = [(c, done.get((row, c.prompt), {})) for c in cases if c.kind == kind]
            scores = [s for c, cell in found if "after" in cell for s in cell["after"][detector.match(c.target).name]]
            means.append(f"{sum(scores) / len(scores):.3f}" if scores else "–")
        lines.append(f"| {row} | {' | '.join(means)} |")
    return "**by kind of prompt**\n\n" + "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())

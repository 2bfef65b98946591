"""`suppress eval`: the table of methods on the drawn world. Every measured cell is kept, so a stopped run can go on.

The parser needs no PyTorch: help comes at once.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from minisd import UserError
from minisd.base.arguments import whole_number
from minisd.base.outputs import write_text
from minisd.cli import options

from ..evaluation import cases as protocol
from ..evaluation import cells
from ..evaluation.cases import CASES, KINDS, ROWS, VARIANT_ROWS, Case
from ..methods import METHODS, parse_method

if TYPE_CHECKING:
    from minisd import StableDiffusion

    from ..metrics import Judge
    from ..protocol import Method

    Job = tuple[str, Case, Method]  # a row of the table, a case, the row's method for it


def main(argv: Sequence[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="suppress eval", description="Compare methods on the drawn world.")
    p.add_argument("--rows", choices=("methods", "variants"), default="methods", help="which table (default methods)")
    p.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="which kinds of prompts (default all)")
    p.add_argument(
        "--only",
        metavar="ROW",
        nargs="+",
        help="only these rows, by their names in the table, or other methods, as --method takes them",
    )
    p.add_argument("--seeds", type=int, default=protocol.SEEDS, help=f"seeds per prompt (default {protocol.SEEDS})")
    p.add_argument("--steps", type=int, default=protocol.STEPS, help=f"default {protocol.STEPS}")
    p.add_argument("--start", type=float, default=protocol.START, help=f"R of all rows (default {protocol.START})")
    p.add_argument("--out", default="suppress-eval.jsonl", help="a .jsonl file, one cell per line; new cells are added")
    return options.run("suppress eval", _evaluate, options.parse(p, argv))


def _evaluate(args: argparse.Namespace) -> None:
    from minisd import ddim, load

    from ..evaluation.measure import method_of
    from ..metrics import Judge

    _check(args)
    rows = _rows(args)
    cases = [case for case in CASES if case.kind in args.kinds]
    out = cells.check_out(args.out)
    settings = {"steps": args.steps, "start": args.start, "seeds": args.seeds, "device": platform.processor() or "cpu"}
    done = cells.read_cells(out, settings)
    sd: StableDiffusion = load("tiny", device="cpu")
    ddim.timesteps(args.steps, sd.config.schedule)  # a UserError now, not one in every cell
    judge = Judge(sd).load()
    jobs = [
        (row, case, method_of(sd, spec, case, args.steps, args.start)) for case in cases for row, spec in rows.items()
    ]
    try:
        for row, case, method in _not_done(jobs, done, judge):
            cell = {"row": row, "case": asdict(case), "method": asdict(method), "settings": settings}
            cell |= _measure(sd, judge, case, method, args.seeds)
            cells.keep(out, cell, replace=(row, case.prompt) in done)
            done[row, case.prompt] = cell
    except KeyboardInterrupt:
        print(f"\nsuppress eval: interrupted; what is measured is in {out}, the same command goes on", file=sys.stderr)
        raise SystemExit(130) from None
    text = report(done, rows, cases, judge.detector)
    print(text)
    write_text(out.with_suffix(".md"), f"{cells.HEADING}\n\n{text}\n")


def _not_done(jobs: Sequence[Job], done: Mapping[cells.Key, cells.Cell], judge: Judge) -> Iterable[Job]:
    """The jobs without a current cell, with a progress bar. Says which of them had a cell before."""
    from tqdm import tqdm

    classes = judge.detector.names
    todo = [
        (row, case, method)
        for row, case, method in jobs
        if (row, case.prompt) not in done or not cells.is_current(done[row, case.prompt], case, method, classes)
    ]
    stale = [f"{row} on {case.prompt!r}" for row, case, _ in todo if (row, case.prompt) in done]
    if stale:
        print(f"measured again, because method, case or detector have changed: {'; '.join(stale)}", file=sys.stderr)
    return tqdm(todo, desc="measuring", unit="cell", disable=None)


def _measure(sd: StableDiffusion, judge: Judge, case: Case, method: Method, seeds: int) -> cells.Cell:
    """What the cell holds of the pictures, or the reason why the method cannot draw this prompt."""
    from ..evaluation.measure import measure

    try:
        return measure(sd, judge, case, method, list(range(seeds)))
    except UserError as error:
        return {"reason": str(error)}


def _check(args: argparse.Namespace) -> None:
    """UserError for settings that no row could be measured with."""
    from ..protocol import Method

    whole_number("seeds", args.seeds, 1, options.MOST_SEEDS)
    Method(steps=args.steps, start=args.start)


def _rows(args: argparse.Namespace) -> dict[str, str]:
    """Name of a row -> its method: those of a table, and with --only any other method under its own name."""
    rows = ROWS if args.rows == "methods" else VARIANT_ROWS
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
    for title, kinds in (("words after the target", {"first", "list", "long"}), ("target last", {"last"})):
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
    return "\n\n".join(parts)


def by_kind(done: dict, rows: dict[str, str], cases: Sequence[Case], detector: Any) -> str:
    """Markdown: the mean DetScore of the target, with one column per kind of prompt."""
    kinds = [kind for kind in KINDS if any(case.kind == kind for case in cases)]
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

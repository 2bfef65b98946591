"""The tables of measured prompts, as `suppress eval` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from minisd.base.counted import counted

from .all_methods import about_start, descending, left_out
from .all_table import compare_all, measured_rows, unmeasured
from .cases import KINDS
from .implied import KIND as IMPLIED_KIND
from .own_prompts import KIND as OWN_KIND
from .table import bar, by_prompt, markdown


def report(done: dict, rows: dict[str, str], cases: Sequence[Any], detector: Any) -> str:
    """Markdown: a table for prompts with words after the target, one for prompts that end in it, and the bar.

    done: cells by (row, key of the case). rows: name -> method, in the order of the table.
    """
    parts: list[str] = []
    groups = (
        ("words after the target", {"first", "list", "long"}),
        ("target last", {"last"}),
        ("implied, not named", {IMPLIED_KIND}),
        ("your prompts", {OWN_KIND}),
    )
    for title, kinds in groups:
        chosen = [case for case in cases if case.kind in kinds]
        measured = measured_rows(done, rows, chosen, detector)
        if not measured:
            continue
        fullest = max(measured.values(), key=lambda row: len(row.cells))  # a row may lack some prompts
        table = {"original": fullest.originals} | {name: row.summary for name, row in measured.items()}
        pictures = table["original"].pictures
        count = f"{counted(len(chosen), 'prompt')} × {counted(pictures // len(chosen), 'seed')}"
        if title == "your prompts":
            count = f"{counted(len(chosen), 'case')}, {counted(pictures, 'picture')}"
        parts.append(f"**{title}** ({count})\n\n{markdown(table)}\n\n{by_prompt(table)}")
        if title == "words after the target" and {"Unread", "phrase deleted", "SWR"} <= set(table):
            verdict = bar(table["Unread"], table["phrase deleted"], table["SWR"])
            lines = [f"- {'yes' if holds else 'no'}: {what} ({value})" for what, (holds, value) in verdict.items()]
            parts.append("Unread against the bar for a default:\n\n" + "\n".join(lines))
    parts.append(by_kind(done, rows, cases, detector))
    parts += [*unfair(rows), *unmeasured(done, rows, cases)]
    return "\n\n".join(parts)


def unfair(rows: dict[str, str]) -> list[str]:
    """One line for each row whose method descends on a score of the table, so that this score says nothing of it."""
    return [
        f"**{row}** makes the {score} small by itself: judge it by the other columns"
        for row, score in descending(rows).items()
    ]


def report_all(done: dict, rows: dict[str, str], cases: Sequence[Any], detector: Any, model: str, start: float) -> str:
    """Markdown: the table of all methods, each against the default, and the table by kind of prompt.

    model: what its figures are about, in words. start: the R that the rows share.
    """
    compared = compare_all(done, rows, cases, detector, model)
    about = f"{about_start(done, start)} {left_out()}"
    return "\n\n".join([compared, about, *unfair(rows), by_kind(done, rows, cases, detector)])


def by_kind(done: dict, rows: dict[str, str], cases: Sequence[Any], detector: Any) -> str:
    """Markdown: the mean DetScore of the target, with one column per kind of prompt."""
    kinds = [kind for kind in (*KINDS, IMPLIED_KIND, OWN_KIND) if any(case.kind == kind for case in cases)]
    lines = [f"| DetScore of the target | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    measured = [measured_rows(done, rows, [case for case in cases if case.kind == kind], detector) for kind in kinds]
    for row in rows:
        means = [f"{fmean(found[row].det.values()):.3f}" if row in found else "–" for found in measured]
        lines.append(f"| {row} | {' | '.join(means)} |")
    return "**by kind of prompt**\n\n" + "\n".join(lines)

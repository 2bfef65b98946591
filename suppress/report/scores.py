"""Scores as lines for the terminal: a table, and the targets on which a method failed."""

from __future__ import annotations

from collections.abc import Sequence

from ..metrics.judge import RECONSTRUCTION, SUPPRESSED, Scores

DASH = "–"
PRESENT = 0.5  # a DetScore above this says that the target is in the picture


def join_scores(before: Scores, after: Scores) -> Scores:
    """The scores of the first seeds, followed by those of more seeds."""
    if not before:
        return after
    return {
        name: {k: [*before[name][k], *v] if isinstance(v, list) else v for k, v in values.items()}
        for name, values in after.items()
    }


def table(scores: Scores, title: str = "", label: str = SUPPRESSED) -> str:
    """One line per score: the means over the seeds, or a dash and the reason. A picture has its reconstruction, too."""
    branches, rows = score_rows(scores, label)
    lines = [f"{title:<27} {'  '.join(branches)}"]
    for name, cells, remark in rows:
        widths = [max(8, len(branch)) for branch in branches]
        line = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        lines.append(f"{name:<28}{line}" + (f"  ({remark})" if remark else ""))
    return "\n".join(lines)


def score_rows(scores: Scores, label: str = SUPPRESSED) -> tuple[list[str], list[tuple[str, list[str], str]]]:
    """The names of the columns; and for each score its name, its means as texts, and the reason or the remark."""
    rebuilt = any(RECONSTRUCTION in values for values in scores.values())
    branches = ["original", *([RECONSTRUCTION] if rebuilt else []), label]
    rows = []
    for name, values in scores.items():
        columns = [values.get(branch) for branch in branches]
        cells = [f"{sum(v) / len(v):.3f}" if isinstance(v, list) else DASH for v in columns]
        rows.append((name, cells, str(values.get("reason") or values.get("remark") or "")))
    return branches, rows


def failures(scores: Scores, targets: Sequence[str], seeds: Sequence[int] | None, label: str = SUPPRESSED) -> list[str]:
    """One line per target on which the method failed, with the seeds; an edited picture has none.

    A target that was to be removed is still there, or one that was to be strengthened is not there.
    """
    lines = []
    for target in targets:
        values = scores.get(f"DetScore {target}", {}).get(label)
        if not isinstance(values, list):
            continue
        failed = {
            seed: value
            for seed, value in zip(seeds or [0], values, strict=True)
            if (value > PRESENT if label == SUPPRESSED else value < PRESENT)
        }
        if failed:
            told = ", ".join(f"{seed} ({value:.3f})" for seed, value in failed.items())
            told = f"{values[0]:.3f}" if seeds is None else f"with seed {told}"
            state = "is still there" if label == SUPPRESSED else "is not there"
            lines.append(f"{target!r} {state} by DetScore, {told}")
    return lines

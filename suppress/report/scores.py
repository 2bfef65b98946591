"""Scores as lines for the terminal: a table, and the targets on which a method failed."""

from __future__ import annotations

from collections.abc import Sequence

from ..metrics.judge import SUPPRESSED, Scores

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
    """One line per score: the means over the seeds, or a dash and the reason."""
    lines = [f"{title:<27} original  {label}"]
    for name, values in scores.items():
        columns = [values.get("original"), values.get(label)]
        cells = [f"{sum(v) / len(v):.3f}" if isinstance(v, list) else DASH for v in columns]
        remark = values.get("reason") or values.get("remark")
        lines.append(f"{name:<28}{cells[0]:>8}    {cells[1]:>8}" + (f"  ({remark})" if remark else ""))
    return "\n".join(lines)


def failures(scores: Scores, targets: Sequence[str], seeds: Sequence[int], label: str = SUPPRESSED) -> list[str]:
    """One line per target on which the method failed, with the seeds.

    A target that was to be removed is still there, or one that was to be strengthened is not there.
    """
    lines = []
    for target in targets:
        values = scores.get(f"DetScore {target}", {}).get(label)
        if not isinstance(values, list):
            continue
        failed = {
            seed: value
            for seed, value in zip(seeds, values, strict=True)
            if (value > PRESENT if label == SUPPRESSED else value < PRESENT)
        }
        if failed:
            told = ", ".join(f"{seed} ({value:.3f})" for seed, value in failed.items())
            state = "is still there" if label == SUPPRESSED else "is not there"
            lines.append(f"{target!r} {state} by DetScore, with seed {told}")
    return lines

"""The table of measured cells: means over pictures with bootstrap intervals, and the bar for a new default method."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cases import IMPLIED

RESAMPLES = 2000
NO_ATTRIBUTE = ("", 0.0)  # the detector sees the targets alone
Moves = dict[tuple[str, str], float]  # (attribute, prompt) -> the mean change over the prompt's pictures


@dataclass(frozen=True)
class Summary:
    """A row of the table for some cases. The intervals are 95 % bootstrap intervals over pictures."""

    pictures: int
    det: float
    det_interval: tuple[float, float]
    clip: float
    clip_interval: tuple[float, float]
    other_change: float  # mean |change| of the detector's other attributes
    other_interval: tuple[float, float]
    worst: tuple[str, float]  # the attribute whose mean over all pictures changed most, and the change
    worst_prompt: tuple[str, float, str]  # the same for the mean of one prompt: attribute, change, the prompt's target
    ssim: float
    ssim_interval: tuple[float, float]
    structure: float  # mean structure distance × 10³; nan if a cell does not say
    passes: float
    gradient_passes: float  # the passes whose gradient was taken; nan if a cell does not say
    seconds: float


def summarise(cells: Iterable[tuple[str, dict[str, Any]]], side: str = "after") -> Summary:
    """cells: (the target's class, the result of `measure`). side="before" gives the row of the originals."""
    det: list[float] = []
    clip: list[float] = []
    other: list[float] = []
    ssims: list[float] = []
    structure: list[float] = []
    passes: list[float] = []
    gradients: list[float] = []
    seconds: list[float] = []
    changes: dict[str, list[float]] = {}
    prompt_changes: list[tuple[str, float, str]] = []
    for name, cell in cells:
        det += cell[side][name]
        clip += cell[f"clip {side}"]
        count = len(cell["ssim"])
        ssims += cell["ssim"] if side == "after" else [1.0] * count
        structure += cell.get("structure", [math.nan] * count) if side == "after" else [0.0] * count
        passes.append(cell["passes"])
        gradients.append(cell.get("gradient passes", math.nan))  # older cells do not have it
        seconds.append(cell["seconds"])
        kept = other_attributes(name, cell["before"])
        difference = np.array([np.subtract(cell[side][k], cell["before"][k]) for k in kept])  # (attributes, seeds)
        if kept:
            other += np.abs(difference).mean(axis=0).tolist()
        for k, values in zip(kept, difference, strict=True):
            changes.setdefault(k, []).extend(values.tolist())
            prompt_changes.append((k, float(values.mean()), name))
    # an attribute that is the target of one prompt is judged on the other prompts
    means = [(k, float(np.mean(v))) for k, v in changes.items()]
    worst = max(means, key=lambda item: abs(item[1]), default=NO_ATTRIBUTE)
    return Summary(
        len(det),
        float(np.mean(det)),
        interval(det),
        float(np.mean(clip)),
        interval(clip),
        float(np.mean(other)) if other else math.nan,
        interval(other) if other else (math.nan, math.nan),
        worst,
        max(prompt_changes, key=lambda item: abs(item[1]), default=(*NO_ATTRIBUTE, "")),
        float(np.mean(ssims)),
        interval(ssims),
        1000 * float(np.mean(structure)),
        float(np.mean(passes)),
        float(np.mean(gradients)),
        float(np.mean(seconds)),
    )


def other_attributes(target: str, names: Iterable[str]) -> list[str]:
    """Those of the detector's attributes that should stay: not the target, and not what its meaning changes."""
    return [k for k in names if k != target and k not in IMPLIED.get(target, ())]


def resampled_means(values: Sequence[float], resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """The means of samples of the values, drawn with replacement (fixed seed): (resamples,)."""
    rng, data = np.random.default_rng(0), np.asarray(values, np.float64)
    return data[rng.integers(len(data), size=(resamples, len(data)))].mean(axis=1)


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """The bootstrap interval of the mean: percentiles of the means of samples."""
    low, high = np.quantile(resampled_means(values), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def markdown(rows: dict[str, Summary]) -> str:
    """The table as the README shows it."""
    head = "DetScore of the target | CLIP score | other attributes | most changed | SSIM | passes (with gradient) | s"
    lines = [f"| | {head} |", "|---|---|---|---|---|---|---|---|"]
    for name, s in rows.items():
        cells = (
            name,
            f"{s.det:.3f} {_span(s.det_interval)}",
            f"{s.clip:.2f} {_span(s.clip_interval, 2)}",
            f"{mean_text(s.other_change)} {_span(s.other_interval)}",
            moved(s.worst),
            f"{s.ssim:.3f} {_span(s.ssim_interval)}",
            _passes(s) if name != "original" else "–",
            f"{s.seconds:.1f}" if name != "original" else "–",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def by_prompt(rows: dict[str, Summary]) -> str:
    """A sentence under the table: the attribute that changed most on a single prompt."""
    changes = [
        f"{name}: {words(s.worst_prompt[0])} {s.worst_prompt[1]:+.2f} (target {words(s.worst_prompt[2])})"
        for name, s in rows.items()
        if name != "original" and s.worst_prompt[:2] != NO_ATTRIBUTE
    ]
    if not changes:
        return "The detector sees no other attribute than the targets."
    return (
        "“Most changed” is the attribute's mean over all pictures: a gain on one prompt and a loss on another cancel. "
        f"On a single prompt, the mean over its seeds changed most for {'; '.join(changes)}."
    )


def _passes(s: Summary) -> str:
    return f"{s.passes:.0f}" + ("" if math.isnan(s.gradient_passes) else f" ({s.gradient_passes:.0f})")


def words(attribute: str) -> str:
    return attribute.replace("_", " ")


def moved(change: tuple[str, float]) -> str:
    """An attribute with its change."""
    return "–" if change == NO_ATTRIBUTE else f"{words(change[0])} {change[1]:+.2f}"


def mean_text(value: float, digits: int = 3) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _span(pair: tuple[float, float], digits: int = 3) -> str:
    """An interval; empty if there were no values."""
    if math.isnan(pair[0]):
        return ""
    return f"[{pair[0]:.{digits}f}, {pair[1]:.{digits}f}]"


def bar(ours: Summary, deleted: Summary, swr: Summary) -> dict[str, tuple[bool, str]]:
    """The conditions for a default method, on prompts with words after the target: (it holds, the value)."""
    return {
        "mean DetScore of the target at most .1": (ours.det <= 0.1, f"{ours.det:.3f}"),
        "no other attribute's mean over all pictures changed by more than .1": (
            abs(ours.worst[1]) <= 0.1,
            f"{words(ours.worst[0])} {ours.worst[1]:+.3f}",
        ),
        "no other attribute's mean over one prompt's pictures either (the strictest reading)": (
            abs(ours.worst_prompt[1]) <= 0.1,
            f"{words(ours.worst_prompt[0])} {ours.worst_prompt[1]:+.3f} where the target is "
            f"{words(ours.worst_prompt[2])}",
        ),
        "SSIM not below the phrase-deleted control's": (
            ours.ssim >= deleted.ssim,
            f"{ours.ssim:.3f} against {deleted.ssim:.3f}",
        ),
        "at most 1.1 × the passes of SWR": (
            ours.passes <= 1.1 * swr.passes,
            f"{ours.passes:.0f} against {swr.passes:.0f}",
        ),
    }


def default_bar(
    ours: Summary,
    local: Summary | None,
    moves: Moves,
    control: Moves,
    lost: Mapping[str, str],
    swr: Summary,
) -> dict[str, tuple[bool, str]]:
    """The conditions for the default, over all prompts: (it holds, the value).

    local: over the targets in one place; None: there are none. moves: by how much the attributes moved; control: under
    the deleted phrase. A move on one prompt is excused if the control moves the same attribute on the same prompt in
    the same direction, at least as far. lost: the rows that are not beaten, with the columns where they are not.
    """
    far = {key: move for key, move in moves.items() if abs(move) > 0.2 and not _excused(move, control.get(key, 0.0))}
    named = [f"{words(name)} {move:+.3f} on “{prompt}”" for (name, prompt), move in far.items()]
    return {
        "mean DetScore of the target at most .05": (ours.det <= 0.05, f"{ours.det:.3f}"),
        "pooled SSIM at least .75": (ours.ssim >= 0.75, f"{ours.ssim:.3f}"),
        "SSIM of the local targets at least .85": (
            local is not None and local.ssim >= 0.85,
            "none was measured" if local is None else f"{local.ssim:.3f}",
        ),
        "no other attribute's mean over all pictures moved by more than .1": (
            abs(ours.worst[1]) <= 0.1,
            f"{words(ours.worst[0])} {ours.worst[1]:+.3f}",
        ),
        "none on one prompt by more than .2, unless the deleted phrase moves it as far in the same direction": (
            not far,
            "; ".join(named) or f"the largest: {_largest(moves)}",
        ),
        "better than every other row in DetScore and SSIM at once, beyond chance (paired bootstrap)": (
            not lost,
            "; ".join(f"not {columns} of {row}" for row, columns in lost.items()) or "every row",
        ),
        "at most 1.05 × the passes of SWR": (
            ours.passes <= 1.05 * swr.passes,
            f"{ours.passes:.0f} against {swr.passes:.0f}",
        ),
    }


def _excused(move: float, control: float) -> bool:
    return move * control > 0 and abs(control) >= abs(move)


def _largest(moves: Moves) -> str:
    (name, prompt), move = max(moves.items(), key=lambda item: abs(item[1]))
    return f"{words(name)} {move:+.3f} on “{prompt}”"

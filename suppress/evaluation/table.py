"""From measured cells to a table: means over pictures with bootstrap intervals, and the bar for a new method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .protocol import IMPLIED

RESAMPLES = 2000


@dataclass(frozen=True)
class Summary:
    """A row of the table over some cases; the pairs are 95 % bootstrap intervals over pictures."""

    pictures: int
    det: float
    det_interval: tuple[float, float]
    clip: float
    other_change: float  # mean |change| of the detector's other attributes
    other_interval: tuple[float, float]
    worst: tuple[str, float]  # the attribute whose mean over the pictures changed most, and by how much
    ssim: float
    ssim_interval: tuple[float, float]
    passes: float
    seconds: float


def summarise(cells: Iterable[tuple[str, dict[str, Any]]], side: str = "after") -> Summary:
    """cells: (the target's class, what `measure` returned). side "before" gives the row of the originals."""
    det: list[float] = []
    clip: list[float] = []
    other: list[float] = []
    ssims: list[float] = []
    passes: list[float] = []
    seconds: list[float] = []
    changes: dict[str, list[float]] = {}
    for name, cell in cells:
        det += cell[side][name]
        clip += cell[f"clip {side}"]
        ssims += cell["ssim"] if side == "after" else [1.0] * len(cell["ssim"])
        passes.append(cell["passes"])
        seconds.append(cell["seconds"])
        kept = [k for k in cell["before"] if k != name and k not in IMPLIED.get(name, ())]
        difference = np.array([np.subtract(cell[side][k], cell["before"][k]) for k in kept])  # (attributes, seeds)
        other += np.abs(difference).mean(axis=0).tolist()
        for k, values in zip(kept, difference, strict=True):
            changes.setdefault(k, []).extend(values.tolist())
    # an attribute that is the target of some prompt is judged on the others
    worst = max(((k, float(np.mean(v))) for k, v in changes.items()), key=lambda item: abs(item[1]))
    return Summary(
        len(det),
        float(np.mean(det)),
        interval(det),
        float(np.mean(clip)),
        float(np.mean(other)),
        interval(other),
        worst,
        float(np.mean(ssims)),
        interval(ssims),
        float(np.mean(passes)),
        float(np.mean(seconds)),
    )


def interval(values: Sequence[float], share: float = 0.95) -> tuple[float, float]:
    """The bootstrap interval of the mean: pictures drawn with replacement, percentiles of the means (fixed seed)."""
    rng = np.random.default_rng(0)
    data = np.asarray(values)
    means = data[rng.integers(len(data), size=(RESAMPLES, len(data)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def markdown(rows: dict[str, Summary]) -> str:
    """The table as the README shows it."""
    head = "| | DetScore of the target | CLIP score | other attributes | most changed | SSIM | passes | s |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for name, s in rows.items():
        cells = (
            name,
            f"{s.det:.3f} {_span(s.det_interval)}",
            f"{s.clip:.2f}",
            f"{s.other_change:.3f} {_span(s.other_interval)}",
            f"{s.worst[0].replace('_', ' ')} {s.worst[1]:+.2f}",
            f"{s.ssim:.3f} {_span(s.ssim_interval)}",
            f"{s.passes:.0f}" if name != "original" else "–",
            f"{s.seconds:.1f}" if name != "original" else "–",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _span(pair: tuple[float, float]) -> str:
    return f"[{pair[0]:.3f}, {pair[1]:.3f}]"


def bar(ours: Summary, deleted: Summary, swr: Summary) -> dict[str, tuple[bool, str]]:
    """What a method must reach to become the default, on prompts with words after the target."""
    return {
        "mean DetScore of the target at most .1": (ours.det <= 0.1, f"{ours.det:.3f}"),
        "no other attribute's mean changed by more than .1": (
            abs(ours.worst[1]) <= 0.1,
            f"{ours.worst[0]} {ours.worst[1]:+.3f}",
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

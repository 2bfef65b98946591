"""The targets of a case. Several are written with a plus: "glasses + hat". They are removed in one run.

The DetScore of several targets is that of the one that is seen best, because none of them is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .cells import Cell

PLUS = " + "


def targets_of(target: str) -> list[str]:
    """The phrases, as `suppress.run` takes them."""
    return [phrase.strip() for phrase in target.split(PLUS)]


def phrase_of(target: str) -> str:
    """The words that a CLIP score is asked for: "glasses and hat"."""
    return " and ".join(targets_of(target))


def judged(target: str, cell: Mapping[str, Any], detector: Any) -> tuple[str, Cell]:
    """(the class of the target, the cell). detector: `match(words).name` is the class of one target.

    Several targets get a class of their own in place of theirs: in each picture, the highest of their scores.
    """
    names = list(dict.fromkeys(detector.match(phrase).name for phrase in targets_of(target)))
    if len(names) == 1:
        return names[0], dict(cell)
    joined = PLUS.join(names)
    sides = {side: _with_highest(cell[side], names, joined) for side in ("before", "after") if side in cell}
    return joined, dict(cell) | sides


def _with_highest(scores: Mapping[str, list[float]], names: list[str], joined: str) -> dict[str, list[float]]:
    highest = [max(values) for values in zip(*(scores[name] for name in names), strict=True)]
    return {name: values for name, values in scores.items() if name not in names} | {joined: highest}

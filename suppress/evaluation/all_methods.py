"""The rows of `suppress eval --rows all`: every method that removes something from words alone, by its own name.

They come from the catalogue, so that a new method is a row by itself. A method that works with a file that was trained
before has no row: `--only 'delta:FILE.safetensors'` makes one. Rows with keep=1 follow: the default has this mask
(suppress/edits/keep_outside.py), and a fair comparison gives it to rivals too. All rows share steps and noise, and all
but the rows with keep=1 share R. Those have the R that was measured on the model, if its defaults.json has one. That of
the embedded model is a step earlier than the others' R: what an earlier start changes outside the mask is set back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import Any

from minisd.base.counted import counted

from ..methods import METHODS, parse_method
from .cases import ITO

MASKED = "keep=1"
OURS, OURS_SPEC = "Unread, keep 1", f"unread:{MASKED}"  # the default, with which all others are compared
DELETED = "phrase deleted"  # the control
SWR = "suppress-eot"
KEPT = {
    f"{DELETED}, keep 1": f"deleted:{MASKED}",
    "SWR, keep 1": f"suppress-eot:{MASKED}",
    "SWR + ITO, keep 1": f"{ITO},{MASKED}",
    "value-flip, keep 1": f"value-flip:{MASKED}",
}
_WITH_OWN_START = (OURS, *KEPT)
_SAME = ("swr",)  # it is suppress-eot without ITO
_SPECS = {"ledits": "ledits:guidance=7.5"}  # without guidance it needs a picture
_USUAL = 200  # passes of a method that does not say how many it has
LARGE = 2.0  # a row is named before the start if its cells take more than this many times the median


def removing() -> dict[str, str]:
    """Name -> spec of all methods that remove something and need no file of an earlier training.

    One that needs something else says so in its cells.
    """
    names = [name for name, entry in METHODS.items() if not (entry.strengthens or entry.training or name in _SAME)]
    return {name: _SPECS.get(name, name) for name in names}


def left_out() -> str:
    """A sentence about the methods that have no row, because they need a file."""
    names = [name for name, entry in METHODS.items() if entry.training and not entry.strengthens]
    return (
        f"{' and '.join(names)} need a trained file, so they have no row here; `--rows all --only '{OURS}' "
        f"{names[0]}:FILE.safetensors` compares one with the default."
    )


def all_rows() -> dict[str, str]:
    """Name of the row -> method (`measure.method_of`). The default comes first: its first cell tells the speed."""
    return {OURS: OURS_SPEC, DELETED: "deleted", **removing(), **KEPT}


def with_own_start(rows: Mapping[str, str], start: float | None) -> dict[str, str]:
    """The rows, those with keep=1 at this R, which was measured on the model. None: they have the common R."""
    if start is None:
        return dict(rows)
    return {row: f"{spec},start={start}" if row in _WITH_OWN_START else spec for row, spec in rows.items()}


def about_start(done: Mapping[Any, Mapping[str, Any]], start: float) -> str:
    """A sentence about R. start: the R that the rows share."""
    own = {cell["method"].get("start", start) for (row, _), cell in done.items() if row in _WITH_OWN_START} - {start}
    if not own:
        return f"All rows begin at R = {start:g}."
    measured = " or ".join(f"{each:g}" for each in sorted(own))
    return f"R is {start:g}; the rows with keep=1 begin at {measured}, as measured on this model (its defaults.json)."


def descending(rows: Mapping[str, str]) -> dict[str, str]:
    """Row -> the score of the table on which its method descends, so that this score says nothing of it.

    rows: name -> method. Rows whose method descends on no score are left out.
    """
    methods = {row: parse_method(spec) for row, spec in rows.items() if spec.partition(":")[0] in METHODS}
    return {row: method.descends_on for row, method in methods.items() if method.descends_on}


def seconds_per_cell(rows: Mapping[str, str], done: Mapping[Any, Mapping[str, Any]], seeds: int) -> dict[str, float]:
    """What a cell of each row takes: the mean of its measured cells; if it has none, in proportion to its passes.

    done: cells by (row, prompt), at least one of them with scores. A pass with a gradient counts as one pass.
    """
    measured: dict[str, list[float]] = {}
    for (row, _prompt), cell in done.items():
        if "seconds" in cell and row in rows:
            measured.setdefault(row, []).append(cell["seconds"] * seeds)
    if not measured:
        return {}
    known = {row: mean(values) for row, values in measured.items()}
    each = mean(seconds / _passes(rows[row]) for row, seconds in known.items())
    return {row: known.get(row, each * _passes(spec)) for row, spec in rows.items()}


def _passes(spec: str) -> int:
    """At 50 steps; only their proportions matter."""
    if spec.startswith(f"{ITO},"):
        return METHODS["official"].passes
    name = spec.partition(":")[0]
    return (METHODS[name].passes if name in METHODS else METHODS[SWR].passes) or _USUAL


def forecast(rows: Mapping[str, str], cases: Sequence[Any], done: Mapping[Any, Mapping[str, Any]], seeds: int) -> str:
    """A sentence about the time that the missing cells take, and about the slow rows."""
    missing = [(row, case.key) for case in cases for row in rows if (row, case.key) not in done]
    seconds = seconds_per_cell(rows, done, seeds)
    told = f"missing: {len(missing)} of {counted(len(rows) * len(cases), 'cell')}"
    if not missing or not seconds:
        return told
    minutes = sum(seconds[row] for row, _ in missing) / 60
    slow = {row: s for row, s in seconds.items() if s > LARGE * median(seconds.values())}
    text = f"{told}, about {minutes:.{0 if minutes > 9 else 1}f} minutes of drawing, as the measured cells and the "
    text += "passes of each method say; gradients take longer"
    return text + "".join(f"\n  slow: {row}, about {s:.0f} s per cell" for row, s in slow.items())

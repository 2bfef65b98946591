"""Which measured cells fit a run, and why the others do not.

A cell fits if everything that it tells about its making is as it would be now. Older cells tell less:

- A setting of a method that did not exist when the cell was written counts with its default. So does a field of a case.
- A cell without "made by" says nothing of code and weights, and fits any. Such cells were judged by the checkpoint's
  own detector, so they do not fit a user's own.

Cells that do not fit stay in the file. A run with their settings finds them again. A cell that only lacks a score which
can be had now, such as LPIPS after its package was installed, is measured again; if that fails, it counts as it is.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minisd.base.arguments import shown
from minisd.base.counted import counted

from .cells import Cell, Form, Key

if TYPE_CHECKING:
    from ..protocol import Method
    from ..start.inversion import Inversion
    from .jobs import Job


@dataclass(frozen=True)
class Making:
    """What all cells of a run share."""

    settings: Mapping[str, Any]
    classes: Collection[str]  # of the detector
    made_by: Mapping[str, str]  # `provenance.made_by`
    own_judge: bool = False  # the detector is the user's own


def fitting(out: Path, cells: Iterable[Cell], jobs: Sequence[Job], making: Making, form: Form) -> dict[Key, Cell]:
    """The newest cell of each job that fits. Says how many jobs have none but cells that do not fit, and why."""
    wanted = {job.key: job for job in jobs}
    found: dict[Key, Cell] = {}
    reasons: dict[Key, str] = {}
    for cell in cells:
        key = form.key(cell)
        if key in wanted:
            reason = misfit(cell, wanted[key], making)
            if reason:
                reasons[key] = reason
            else:
                found[key] = cell
    _tell(out, found, {key: reason for key, reason in reasons.items() if key not in found}, making)
    return found


def misfit(cell: Cell, job: Job, making: Making) -> str:
    """Why the cell does not fit, in a few words; empty if it fits."""
    return _made_otherwise(cell, job, making) or _lacking(cell, job)


def incomplete(cells: Iterable[Cell], jobs: Sequence[Job], making: Making, form: Form) -> dict[Key, Cell]:
    """The newest cell of each job that would fit, if it did not lack scores that can be had now."""
    wanted = {job.key: job for job in jobs}
    known = ((form.key(cell), cell) for cell in cells)
    return {
        key: cell
        for key, cell in known
        if key in wanted and _lacking(cell, wanted[key]) and not _made_otherwise(cell, wanted[key], making)
    }


def _lacking(cell: Cell, job: Job) -> str:
    """The scores that a cell lacks, although they can be had now, in a few words; empty: none."""
    if "reason" in cell:
        return ""
    found = cell.get("extra", {})
    missing = [name for name in job.extras if name not in found or ("reason" in found[name] and job.at_hand(name))]
    return f"no {', '.join(missing)}" if missing else ""


def _made_otherwise(cell: Cell, job: Job, making: Making) -> str:
    """What differs in its making, in a few words; empty: nothing."""
    if why := difference(cell, {"settings": making.settings, "made by": making.made_by}):
        return why
    if making.own_judge and "made by" not in cell:
        return "other judge"
    if set(cell.get("before", making.classes)) != set(making.classes):
        return "other classes of the detector"
    if _with_defaults(job.case) | cell["case"] != plain(asdict(job.case)):
        return "another case"
    if not _same(cell["method"], job.method) or not _same(cell.get("inversion", {}), job.inversion):
        return "other settings of the method or the inversion"
    return ""


def difference(one: Cell, other: Cell) -> str:
    """What two cells do not share of the making of a run, in a few words; empty: they may be of one run.

    What only one of them tells is no difference.
    """
    if changed := _changed(one["settings"], other["settings"]):
        return changed
    a, b = one.get("made by", {}), other.get("made by", {})
    if "code" in a and "code" in b and version(a["code"]) != version(b["code"]):
        return f"version was {version(a['code'])} and is {version(b['code'])}"
    both = [name for name in ("weights", "judge") if name in a and name in b]
    return ", ".join(f"other {name}" for name in both if a[name] != b[name])


def version(code: str) -> str:
    """The version without the commit: "0.1.0" of "0.1.0+7f1edc6"."""
    return code.partition("+")[0]


def _with_defaults(case: Any) -> dict[str, Any]:
    """The fields of a case that may be left out, with what they are then."""
    return {each.name: plain(each.default) for each in fields(case) if each.default is not MISSING}


def plain(value: Any) -> Any:
    """As it is after it was written and read: a tuple is a list in JSON."""
    return json.loads(json.dumps(value))


def _changed(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    names = [name for name in sorted({*was, *now}) if was.get(name) != now.get(name)]
    return ", ".join(f"{name} was {shown(was.get(name))} and is {shown(now.get(name))}" for name in names)


def _same(written: dict[str, Any], settings: Method | Inversion | None) -> bool:
    """Whether these are the settings. One that did not exist when they were written counts with its default."""
    if settings is None:
        return not written
    usual, now = (plain(asdict(each)) for each in (type(settings)(), settings))
    return usual | written == now


def _tell(out: Path, found: Mapping[Key, Cell], misfits: Mapping[Key, str], making: Making) -> None:
    """One line for each kind of cells that the user should know of."""
    if misfits:
        why = "; ".join(f"{count}: {reason}" for reason, count in Counter(misfits.values()).most_common())
        _say(
            f"{out}: {counted(len(misfits), 'cell')} to be measured again, because of lines that do not fit ({why}). "
            "The lines are kept"
        )
    code = making.made_by["code"]
    old = sum("made by" not in cell for cell in found.values())
    if old:
        _say(f"{out}: {counted(old, 'cell')} without a note of the code and weights that made them, taken as they are")
    others = {cell["made by"].get("code", code) for cell in found.values() if "made by" in cell} - {code}
    if others:
        count = sum(cell.get("made by", {}).get("code") in others for cell in found.values())
        _say(
            f"{out}: {counted(count, 'cell')} of another state of version {version(code)} "
            f"({', '.join(sorted(others))}), taken as they are. To measure them again, name another --out"
        )


def _say(text: str) -> None:
    print(f"suppress eval: {text}", file=sys.stderr)

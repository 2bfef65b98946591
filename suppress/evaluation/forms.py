"""What the cells of each table hold: those of prompts, of a user's own prompts, and of drawn pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .cells import Cell, Form, check, is_score

_BY_CLASS = ("before", "after")  # for each class of the detector one score per seed
_LISTS = ("ssim", "clip before", "clip after", "structure")  # one score per seed
_NUMBERS = ("passes", "seconds", "gradient passes")
_NEWER = ("structure", "gradient passes")  # older files do not have them


def _check_prompt(cell: Cell) -> None:
    """ValueError if a score is missing, or if a list has more or fewer scores than seeds."""
    seeds = len(cell["ssim"]) if isinstance(cell.get("ssim"), list) else 0
    expected = f"a list of {seeds} numbers"
    for name in _expected(_LISTS, cell):
        check(name, cell, bool(seeds) and _are_scores(cell.get(name), seeds), "a list of numbers, one a seed")
    for name in _BY_CLASS:
        scores = cell.get(name)
        fits = isinstance(scores, dict) and bool(scores) and all(_are_scores(v, seeds) for v in scores.values())
        check(name, cell, fits, f"{expected} for each class")
    if set(cell["before"]) != set(cell["after"]):
        raise ValueError("before and after are of other classes")
    for name in _expected(_NUMBERS, cell):
        check(name, cell, is_score(cell.get(name)), "a number")
    _check_extra(cell, seeds)


def _expected(names: Sequence[str], cell: Cell) -> list[str]:
    """Those that the cell must have right: all but newer ones that it lacks."""
    return [name for name in names if name in cell or name not in _NEWER]


def _check_extra(cell: Cell, pictures: int) -> None:
    """ValueError if a score that only some tables have is neither one value per picture nor a reason (extras.py)."""
    extra = cell.get("extra", {})
    check("extra", cell, isinstance(extra, dict), "scores by their names")
    for name, found in extra.items():
        fits = isinstance(found, dict) and bool(found)
        if fits and "reason" in found:
            fits = isinstance(found["reason"], str)
        elif fits:
            fits = all(
                isinstance(values, list)
                and len(values) == pictures
                and all(is_score(v) or isinstance(v, str) for v in values)
                for values in found.values()
            )
        check(name, extra, fits, f"lists of {pictures} values, or a reason")


def _are_scores(values: Any, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(is_score(value) for value in values)


PROMPTS = Form(dict.fromkeys(("kind", "prompt", "target", "deleted"), str), ("prompt",), _check_prompt)
OWN = Form(
    dict.fromkeys(("kind", "prompt", "target", "deleted", "picture", "mask", "files"), str)
    | {"seeds": list, "guidance": float},
    ("prompt", "target", "picture"),
    _check_prompt,
    newer=("guidance",),
)

# ---------------------------------------------------------------------- drawn pictures

SIDES = ("before", "reconstruction", "after")  # the pictures of a cell; one score for each class of the detector
_OUTSIDE = "psnr outside"  # None for a target that is everywhere
_OF_PICTURES = (
    "psnr photo",
    "error inside",
    "psnr ideal",
    "ssim ideal",
    "psnr vae",
    "psnr reconstruction",
    "passes",
    "inversion passes",
    "seconds",
    "inversion seconds",
)


def _check_picture(cell: Cell) -> None:
    """ValueError if a score is missing or is no number."""
    for name in SIDES:
        scores = cell.get(name)
        fits = isinstance(scores, dict) and bool(scores) and all(is_score(value) for value in scores.values())
        check(name, cell, fits, "one number for each class")
    if not set(cell["before"]) == set(cell["after"]) == set(cell["reconstruction"]):
        raise ValueError("before, reconstruction and after are of different classes")
    check(_OUTSIDE, cell, _OUTSIDE in cell and (cell[_OUTSIDE] is None or is_score(cell[_OUTSIDE])), "a number or null")
    for name in _OF_PICTURES:
        check(name, cell, is_score(cell.get(name)), "a number")
    _check_extra(cell, 1)


_TEXTS = ("kind", "name", "prompt", "target", "deleted")
PICTURES = Form(
    {"number": int, "seed": int, "skipped": int} | dict.fromkeys(_TEXTS, str),
    ("number",),
    _check_picture,
    ("method", "inversion", "settings"),
)

FORMS = (PROMPTS, PICTURES, OWN)

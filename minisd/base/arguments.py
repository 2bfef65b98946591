"""Checks of the values that callers give: numbers, seeds, prompts, settings. Each raises UserError for a bad value.

A number may be Python's, numpy's or PyTorch's, a fraction or a decimal. A bool is not a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

from .errors import UserError

LONGEST = 100  # characters of a value in an error
MOST = 2**31 - 1  # of a count: more than any machine can do, and small enough that floats are exact


# ---------------------------------------------------------------------- numbers


def plain(value: Any) -> Any:
    """A number as Python's int or float; anything else unchanged. A tensor or array without dimensions is a number."""
    try:
        if isinstance(value, bool):
            return value
        if isinstance(value, Integral):
            return int(value)
        if isinstance(value, Real | Decimal):
            return float(value)
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            item = value.item()
            return plain(item) if isinstance(item, int | float) else value
    except (ValueError, OverflowError, RuntimeError):  # a signaling NaN, a fraction beyond floats, a tensor on "meta"
        pass
    return value


def is_whole(value: Any) -> bool:
    """Whether it is an integer. Python counts True as one; as a setting it is surely a mistake."""
    value = plain(value)
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether it is a real number. Infinity and NaN count."""
    return is_whole(value) or isinstance(plain(value), float)


def is_finite(value: int | float) -> bool:
    """Whether it fits a finite float. An integer may be larger than any float; no tensor can be multiplied by it."""
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def whole_number(name: str, value: Any, least: int, most: int = MOST) -> int:
    """The value as Python's int; UserError unless it is a whole number from `least` to `most`."""
    if not (is_whole(value) and least <= plain(value) <= most):
        bounded = most < MOST or (is_whole(value) and plain(value) > most)
        bounds = f" from {least} to {most}" if bounded else f", {least} or more"
        raise UserError(f"{name} = {shown(value)}; expected a whole number{bounds}")
    return plain(value)


def number(name: str, value: Any, least: float = 0) -> float:
    """The value as Python's number; UserError unless it is finite and at least `least`."""
    if not (is_number(value) and is_finite(plain(value)) and plain(value) >= least):
        bound = f", {least:g} or more" if least > -math.inf else ""
        raise UserError(f"{name} = {shown(value)}; expected a finite number{bound}")
    value = plain(value)
    return value if abs(value) <= MOST else float(value)  # PyTorch cannot multiply by an integer above 64 bits


def fraction(name: str, value: Any) -> float:
    """The value as Python's number; UserError unless it is a number from 0 to 1."""
    if number(name, value) > 1:
        raise UserError(f"{name} = {shown(value)}; expected a number from 0 to 1")
    return plain(value)


# ---------------------------------------------------------------------- what a picture is drawn with


def pair(prompt: str | Sequence[str], seed: int | Sequence[int]) -> tuple[list[str], list[int]]:
    """Prompts and seeds as two lists of one length; a single prompt or seed is repeated.

    UserError if two lists have different lengths, or if one value is no prompt or no seed.
    """
    prompts = [check_prompt(p) for p in listed(prompt)]
    seeds = [check_seed(s) for s in listed(seed)]
    n, m = len(prompts), len(seeds)
    if not n or not m or (n != m and 1 not in (n, m)):
        raise UserError(f"{n} prompts and {m} seeds; expected the same number of both, or one prompt, or one seed")
    return prompts * (m if n == 1 else 1), seeds * (n if m == 1 else 1)


def listed(value: Any) -> list[Any]:
    """The values of any iterable. A string, and an array without dimensions, count as one value."""
    many = isinstance(value, Iterable) and not isinstance(value, str | bytes) and getattr(value, "ndim", 1) > 0
    return list(value) if many else [value]


def check_seed(seed: int) -> int:
    """The seed as Python's int; UserError unless PyTorch accepts it."""
    if not is_whole(seed) or not 0 <= plain(seed) < 2**64:
        means_any = is_whole(seed) and plain(seed) == -1
        hint = "; other programs take -1 for any seed, here leave the seed out or choose one" if means_any else ""
        raise UserError(f"seed {shown(seed)}; expected a whole number from 0 to 2^64 - 1{hint}")
    return plain(seed)


def check_prompt(prompt: str) -> str:
    """The prompt; UserError unless it is a string that can be encoded."""
    if not isinstance(prompt, str):
        raise UserError(f"a prompt is a string, not {shown(prompt)}")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair, which cannot be written to a file either
        raise UserError(f"the prompt {prompt!r} is not valid text: {error}") from None
    return prompt


def check_negative(prompt: Any) -> str:
    """The negative prompt; UserError unless it is one string."""
    if not isinstance(prompt, str):
        raise UserError(f"the negative prompt is one string for all pictures, not {shown(prompt)}")
    return check_prompt(prompt)


def check_settings(**settings: float) -> list[Any]:
    """The settings as Python's numbers; UserError, with the value and its range, for one that draws no picture."""
    checks: dict[str, Callable[[Any], Any]] = {
        "steps": lambda v: whole_number("steps", v, 1),
        "guidance": lambda v: number("guidance", v, -math.inf),
        "strength": _check_strength,
        "batch_size": lambda v: whole_number("batch_size", v, 1),
    }
    return [checks[name](value) for name, value in settings.items()]


def _check_strength(value: float) -> float:
    if not (is_number(value) and 0 < plain(value) <= 1):
        raise UserError(f"strength = {shown(value)}; expected a number above 0, at most 1")
    return plain(value)


def check_progress(progress: Any) -> None:
    """UserError unless it is a function, such as tqdm, or None."""
    if progress is not None and not callable(progress):
        raise UserError(f"progress = {shown(progress)}; expected a function, called as progress(iterator, total=…)")


# ---------------------------------------------------------------------- values in error messages


def one_of(name: str, value: Any, choices: Collection[str]) -> None:
    """UserError, with the choices, unless the value is one of them."""
    if not (isinstance(value, str) and value in choices):
        raise UserError(f"{name} = {shown(value)}; expected one of {', '.join(choices)}")


def step_number(name: str, value: int | float, steps: int) -> int:
    """A step number from 0 to steps; a number below 1 is a fraction of them. UserError for anything else.

    A fraction is rounded down, as the authors' code does: .1 of 25 steps is step 2.
    """
    value = plain(value)
    if isinstance(value, float) and 0 <= value < 1:
        return int(value * steps + 1e-9)  # .29 × 100 is 28.999999999999996
    if not (is_number(value) and 0 <= value <= steps and value == int(value)):
        expected = f"a step from 0 to {steps}, or a fraction of the steps below 1"
        raise UserError(f"{name} = {shown(value)}; expected {expected}")
    return int(value)


def shown(value: Any) -> str:
    """A value for an error message: the first line of its repr, cut if it is long."""
    try:
        text = (repr(value).splitlines() or [""])[0]
    except Exception:  # an integer of 5000 digits, or a bug in the repr of a caller's class
        text = f"<{type(value).__name__}>"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def printable(name: str) -> str:
    """A name from a stranger's file, for an error message: cut, and without characters that act on the terminal."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name[:200])
    return text if len(name) <= 200 else f"{text}…"

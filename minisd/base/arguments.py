"""What callers give as numbers: Python's, numpy's, PyTorch's, fractions and decimals all count, and bool does not."""

from __future__ import annotations

import math
import os
from decimal import Decimal
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from .errors import UserError

LONGEST = 100  # characters of a value in an error
MOST = 2**31 - 1  # of what is counted; more than any machine can do, and far from where floats lose whole numbers


def plain(value: Any) -> Any:
    """A number as Python's int or float; anything else as it is. A tensor or array without dimensions is its value."""
    try:
        if isinstance(value, bool):
            return value
        if isinstance(value, Integral):
            return int(value)
        if isinstance(value, Real | Decimal):
            return float(value)
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            number = value.item()
            return plain(number) if isinstance(number, int | float) else value
    except (ValueError, OverflowError, RuntimeError):  # a signaling NaN, a fraction beyond floats, a tensor on "meta"
        pass
    return value


def is_whole(value: Any) -> bool:
    """bool is an integer to Python, and as a setting surely a mistake."""
    value = plain(value)
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """A real number, infinities and NaN included."""
    return is_whole(value) or isinstance(plain(value), float)


def whole_number(name: str, value: Any, least: int, most: int = MOST) -> int:
    """The value as Python's; UserError unless it is a whole number from `least` to `most`."""
    if not (is_whole(value) and least <= plain(value) <= most):
        expected = f"a whole number, {least} or more"
        if is_whole(value) and plain(value) > most:
            expected = f"a whole number from {least} to {most}"
        raise UserError(f"{name} = {shown(value)}; expected {expected}")
    return plain(value)


def number(name: str, value: Any, least: float = 0) -> float:
    """The value as Python's; UserError unless it is a finite number, `least` or more."""
    if not (is_number(value) and is_finite(plain(value)) and plain(value) >= least):
        expected = "a finite number" + (f", {least:g} or more" if least > -math.inf else "")
        raise UserError(f"{name} = {shown(value)}; expected {expected}")
    value = plain(value)
    return value if abs(value) <= MOST else float(value)  # PyTorch multiplies with no integer above 64 bits


def is_finite(value: int | float) -> bool:
    """An integer may be larger than any float, and no tensor can be multiplied with it."""
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def output_path(name: str) -> Path:
    """The place that --out names; UserError for what no file can be called."""
    try:
        os.lstat(name)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as error:  # longer than names may be, with NUL, or no text
        raise UserError(f"--out {shown(name)}: no file can have this name ({error}); give another") from None
    return Path(name)


def shown(value: Any) -> str:
    """A value for an error: the first line of its repr, and not too much of it."""
    try:
        text = (repr(value).splitlines() or [""])[0]
    except Exception:  # an integer of 5000 digits, or a fault in somebody's class
        text = f"<{type(value).__name__}>"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def printable(name: str, longest: int = 200) -> str:
    """A name out of a stranger's file, for an error: cut, and no sign in it can move the cursor or hide text."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name[:longest])
    return text if len(name) <= longest else f"{text}…"

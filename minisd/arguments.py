"""What callers give as numbers: Python's, numpy's, PyTorch's, fractions and decimals all count, and bool does not."""

from __future__ import annotations

from decimal import Decimal
from numbers import Integral, Real
from typing import Any

LONGEST = 100  # characters of a value in an error


def plain(value: Any) -> Any:
    """A number as Python's int or float; anything else as it is. A tensor or an array without dimensions is one."""
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


def shown(value: Any) -> str:
    """A value for an error: its repr, one line of it, and what is sure to exist of it."""
    try:
        text = (repr(value).splitlines() or [""])[0]
    except Exception:  # an integer of 5000 digits, or a class of somebody's with a fault
        text = f"<{type(value).__name__}>"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"

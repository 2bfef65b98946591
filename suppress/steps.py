"""Steps as settings give them: a step number, or a share of all steps."""

from __future__ import annotations

from minisd import UserError
from minisd.base.arguments import is_number, plain, shown


def step_number(name: str, value: int | float, steps: int) -> int:
    """A step number from 0 to steps; a number below 1 is a share of them. UserError for anything else.

    A share is rounded down, as the authors' code does: .1 of 25 steps is step 2.
    """
    value = plain(value)
    if isinstance(value, float) and 0 <= value < 1:
        return int(value * steps + 1e-9)  # .29 × 100 is 28.999999999999996
    if not (is_number(value) and 0 <= value <= steps and value == int(value)):
        raise UserError(f"{name} = {shown(value)}; expected a step from 0 to {steps}, or a share of the steps below 1")
    return int(value)

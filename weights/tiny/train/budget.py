"""How long each stage trains: a number of steps, or a number of seconds.

With steps, a seed gives the same weights each time on the same machine. With seconds, the machine's speed decides how
many steps there are, and so the weights differ from run to run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from minisd import UserError
from minisd.base.arguments import number, shown, whole_number

STAGES = ("clip", "vae", "detector", "unet")  # those that descend, in their order


@dataclass(frozen=True)
class Budget:
    """What one stage may spend."""

    unit: str  # "steps" or "seconds"
    amount: float

    def __post_init__(self) -> None:
        if self.unit == "steps":
            whole_number("steps", self.amount, 1)
        elif number("seconds", self.amount) == 0:
            raise UserError("seconds = 0; expected more than 0")

    def share(self, steps: int, seconds: float) -> float:
        """How much of the budget is spent, from 0 on; the stage ends at 1."""
        return (steps if self.unit == "steps" else seconds) / self.amount


def budgets(steps: Sequence[str], seconds: Sequence[str]) -> dict[str, Budget]:
    """The budgets that the options --steps and --seconds give. Stages that they leave out are missing.

    Each value is a number, for all stages, or STAGE=NUMBER. UserError for anything else, and if a stage gets two.
    """
    found: dict[str, Budget] = {}
    for unit, values in (("steps", steps), ("seconds", seconds)):
        for value in values:
            stage, equals, amount = value.rpartition("=")
            if equals and stage not in STAGES:
                raise UserError(f"--{unit} {shown(value)}: there is no stage {stage!r}; expected {', '.join(STAGES)}")
            for name in [stage] if equals else STAGES:
                if name in found:
                    raise UserError(f"--{unit} {shown(value)}: the stage {name} has a budget already; give one")
                found[name] = Budget(unit, _amount(unit, value, amount))
    return found


def _amount(unit: str, value: str, amount: str) -> float:
    try:
        return int(amount) if unit == "steps" else float(amount)
    except ValueError:
        kind = "a whole number" if unit == "steps" else "a number"
        raise UserError(f"--{unit} {shown(value)}; expected {kind}, or STAGE={kind}, such as unet=900") from None


def rate(share: float, warm: float = 0.03, least: float = 0.02) -> float:
    """The learning rate, as a part of the highest: it rises linearly, then falls along a cosine (Loshchilov & Hutter
    2017). share: how much of the budget is spent, from 0 to 1."""
    share = min(share, 1.0)
    return least + (1 - least) * min(1.0, share / warm) * (1 + math.cos(math.pi * share)) / 2

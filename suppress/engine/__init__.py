"""How the loop of two branches is executed: the reference as the paper has it, or fast. Never what it computes."""

from typing import TYPE_CHECKING

from minisd.base.lazy import attributes

from .plan import ENGINES, Plan, find_engine

if TYPE_CHECKING:
    from .fast import Fast

__getattr__ = attributes(__name__, {"Fast": "fast"})

__all__ = ["ENGINES", "Fast", "Plan", "find_engine"]

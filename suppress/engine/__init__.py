"""How the loop of two branches is executed: the reference as the paper has it, or fast. Never what it computes."""

from .fast import Fast
from .plan import ENGINES, Plan, find_engine

__all__ = ["ENGINES", "Fast", "Plan", "find_engine"]

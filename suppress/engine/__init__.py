"""The engines execute the loop of two branches. They differ in how they compute it, never in what they compute."""

from typing import TYPE_CHECKING

from minisd.base.lazy import attributes

from .plan import ENGINES, Plan, find_engine

if TYPE_CHECKING:
    from .fast import Fast
    from .plan import Engine
    from .reference import Reference

__getattr__ = attributes(__name__, {"Fast": "fast", "Reference": "reference"})

__all__ = ["ENGINES", "Engine", "Fast", "Plan", "Reference", "find_engine"]

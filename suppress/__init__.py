"""Ways to keep unwanted content out of a picture, on minisd's Stable Diffusion.

import minisd, suppress
result = suppress.run(minisd.load("tiny"), "a man without glasses", remove="glasses")
result.image.save("without.png")
"""

from typing import TYPE_CHECKING

from minisd.base.lazy import attributes

if TYPE_CHECKING:
    from .edits.spectrum import soft_weight
    from .engine import Fast, Plan
    from .job import Job, Result, default_settings, run, run_batch
    from .methods import METHODS, Method, SuppressEOT, Unread
    from .prompt import find_rows

_MODULES = {
    "edits.spectrum": ("soft_weight",),
    "engine": ("Fast", "Plan"),
    "job": ("Job", "Result", "default_settings", "run", "run_batch"),
    "methods": ("METHODS", "Method", "SuppressEOT", "Unread"),
    "prompt": ("find_rows",),
}
__getattr__ = attributes(__name__, {name: module for module, names in _MODULES.items() for name in names})

__all__ = [
    "METHODS",
    "Fast",
    "Job",
    "Method",
    "Plan",
    "Result",
    "SuppressEOT",
    "Unread",
    "default_settings",
    "find_rows",
    "run",
    "run_batch",
    "soft_weight",
]

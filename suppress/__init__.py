"""Ways to keep unwanted content out of a picture, on minisd's Stable Diffusion.

import minisd, suppress
result = suppress.run(minisd.load("tiny"), "a man without glasses", remove="glasses")
result.image.save("without.png")
"""

from .embedding import soft_weight
from .engine import Fast, Plan
from .job import Job, Result, default_settings, run, run_batch
from .methods import METHODS, Method, SuppressEOT, Unread
from .target import find_rows

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

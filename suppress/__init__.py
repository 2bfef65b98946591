"""Ways to keep unwanted content out of a picture, on minisd's Stable Diffusion.

    import minisd, suppress
    result = suppress.run(minisd.load("tiny"), "a man without glasses", remove="glasses")
    result.image.save("without.png")

`run` is the way in. The README says where to read on.
"""

from typing import TYPE_CHECKING

from minisd.base.lazy import attributes

if TYPE_CHECKING:
    from . import world
    from .defaults import default_settings
    from .edits.masks import paste
    from .edits.spectrum import soft_weight
    from .engine import Fast, Plan, Reference
    from .job import run, run_batch
    from .methods import METHODS, SuppressEOT, Unread, register
    from .pipe import apply
    from .prompt import find_rows
    from .protocol import Edit, Inputs, Method, Start
    from .result import Result
    from .start.catalogue import INVERSIONS
    from .start.invert import invert
    from .step import Step
    from .task import Job

_MODULES = {
    "defaults": ("default_settings",),
    "edits.masks": ("paste",),
    "edits.spectrum": ("soft_weight",),
    "engine": ("Fast", "Plan", "Reference"),
    "job": ("run", "run_batch"),
    "methods": ("METHODS", "SuppressEOT", "Unread", "register"),
    "pipe": ("apply",),
    "prompt": ("find_rows",),
    "protocol": ("Edit", "Inputs", "Method", "Start"),
    "result": ("Result",),
    "start.catalogue": ("INVERSIONS",),
    "start.invert": ("invert",),
    "step": ("Step",),
    "task": ("Job",),
}
__getattr__ = attributes(__name__, {name: module for module, names in _MODULES.items() for name in names})

__all__ = [
    "INVERSIONS",
    "METHODS",
    "Edit",
    "Fast",
    "Inputs",
    "Job",
    "Method",
    "Plan",
    "Reference",
    "Result",
    "Start",
    "Step",
    "SuppressEOT",
    "Unread",
    "apply",
    "default_settings",
    "find_rows",
    "invert",
    "paste",
    "register",
    "run",
    "run_batch",
    "soft_weight",
    "world",
]

"""`suppress eval --judge module:Class`: a detector of the user's own, in place of the checkpoint's.

    class Mine:                                   # in my_detector.py: --judge my_detector:Mine
        names = ["glasses", "accordion"]          # what it can see
        def scores(self, pictures):               # a list of PIL pictures
            return {name: [0.5] * len(pictures) for name in self.names}     # from 0 to 1, one per picture

Its cells carry a checksum of the module's file, and `version` if the class has one: a changed detector is another one.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from minisd import UserError
from minisd.base.arguments import shown

from .detector import Match, without_article
from .unavailable import Unavailable


class OwnDetector:
    """spec: "module:Class". folder: where the module is looked for first.

    UserError if there is no such class, or if it does not do what is asked of it with two grey pictures.
    """

    def __init__(self, spec: str, folder: Path):
        self.spec = spec
        made = _class(spec, folder)
        self.judge: Any = self._call("making it", made)
        names = getattr(self.judge, "names", None)
        self.names = list(names) if isinstance(names, list | tuple) else []
        if not self.names or not all(isinstance(name, str) and name for name in self.names):
            raise UserError(f"--judge {spec}: names = {shown(names)}; expected a list of what it can see")
        self.identity = f"{spec} {_checksum(made, getattr(self.judge, 'version', ''))}"
        self.scores([Image.new("RGB", (64, 64), "grey")] * 2)

    def match(self, phrase: str) -> Match:
        """The class of this name; articles and upper case do not matter. Unavailable if there is none."""
        for name in self.names:
            if without_article(name) == without_article(phrase):
                return Match(name, wider=False)
        raise Unavailable(f"the detector {self.spec} has no class for {phrase!r}; it has {', '.join(self.names)}")

    def scores(self, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
        """For each class the scores (B,), from 0 to 1. UserError for anything else."""
        given = self._call("scores()", lambda: self.judge.scores(list(pictures)))
        if not isinstance(given, dict) or not set(self.names) <= set(given):
            raise UserError(f"--judge {self.spec}: scores() gave {shown(given)}; expected scores for all of its names")
        return {name: self._checked(name, given[name], len(pictures)) for name in self.names}

    def _checked(self, name: str, values: Any, count: int) -> Tensor:
        try:
            scores = torch.as_tensor(values).detach().float().cpu()
        except (TypeError, ValueError, RuntimeError):
            scores = torch.empty(0)
        if scores.shape != (count,) or not ((scores >= 0) & (scores <= 1)).all():
            expected = f"{count} numbers from 0 to 1, one per picture"
            raise UserError(f"--judge {self.spec}: scores()[{name!r}] = {shown(values)}; expected {expected}")
        return scores

    def _call(self, what: str, function: Callable[[], Any]) -> Any:
        """UserError, with its place, for whatever error is in the user's own code."""
        try:
            return function()
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            told = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
            raise UserError(f"--judge {self.spec}: {what} failed with {told}") from error


def _class(spec: str, folder: Path) -> Callable[[], Any]:
    module, _, name = spec.partition(":")
    if not module or not name:
        raise UserError(f"--judge {spec!r}; expected module:Class, such as my_detector:Mine for my_detector.py")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # the user's module may do anything
        raise UserError(f"--judge {spec}: {module} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise UserError(f"--judge {spec}: {module} has no class {name}")
    return found


def _checksum(made: Any, version: Any) -> str:
    """16 hexadecimal digits for the file of the class, and its version."""
    file = inspect.getsourcefile(inspect.getmodule(made) or made)
    content = Path(file).read_bytes() if file else b""
    return hashlib.sha256(content + str(version).encode()).hexdigest()[:16]

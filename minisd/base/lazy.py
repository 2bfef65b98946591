"""Packages that import their modules when a name is first used.

This keeps `import minisd` and --help quick: PyTorch, whose import takes one to two seconds, is imported by the first
name that needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def attributes(package: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package (PEP 562). names: public name -> the module of the package that defines it.

    The package's modules themselves are found by name too, as after an ordinary import.
    """

    def __getattr__(name: str) -> Any:
        if name in names:
            found = getattr(import_module(f"{package}.{names[name]}"), name)
            setattr(sys.modules[package], name, found)  # so that it is looked up once
            return found
        if not name.startswith("_") and find_spec(f"{package}.{name}"):
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__

"""The names of the methods and what each does. It does not import PyTorch, so that `suppress methods` is quick.

The file of a method is imported when its class is needed (`Entry.kind`, `Entry.make`). `register` adds a user's own
method.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, fields, is_dataclass
from inspect import get_annotations
from typing import TYPE_CHECKING

from minisd import UserError
from minisd.base.arguments import shown

from .attention import ATTENTION
from .context import CONTEXT
from .entry import Entry
from .listing import table
from .noise import NOISE
from .settings import describe
from .variants import VARIANTS

if TYPE_CHECKING:
    from ...protocol import Method

DEFAULT = "unread"  # it meets the bar of suppress/evaluation/table.py
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

METHODS: dict[str, Entry] = CONTEXT | ATTENTION | NOISE | VARIANTS
_FAMILIES = {
    "what the UNet reads, and its weights": CONTEXT,
    "attention inside the UNet": ATTENTION,
    "noise predictions and latents": NOISE,
    "variants of soft weighting": VARIANTS,
}


def register(name: str, method: type[Method], about: str = "") -> None:
    """Adds your own method under a name. `suppress.run(method=…)`, --method, --sheet and `suppress eval` then know it.

    method: a subclass of `suppress.Method`, a frozen dataclass. If it defines `start`, or inherits one that is not
    `Method`'s, a checkpoint's measured start does not replace it. about: one line for the list of methods; default:
    the first line of the docstring.
    You may register a name again, as happens if a notebook's cell runs twice.
    UserError if the name belongs to a method of this project, if it has characters other than a-z, 0-9 and "-", or if
    `method` is not a method whose settings all have defaults.
    """
    from ...protocol import Method

    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise UserError(f"name = {shown(name)}; expected small letters, digits and '-', such as 'my-method'")
    if name in METHODS and isinstance(METHODS[name].factory, str):
        raise UserError(f"the name {name!r} belongs to a method of this project; give yours another name")
    if not (isinstance(method, type) and issubclass(method, Method) and is_dataclass(method)):
        raise UserError(f"method = {shown(method)}; expected a subclass of suppress.Method, not an instance")
    if "__dataclass_fields__" not in vars(method) and get_annotations(method):
        raise UserError(f"{method.__name__} has settings, but no @dataclass(frozen=True) before it")
    needed = [f.name for f in fields(method) if f.init and f.default is MISSING and f.default_factory is MISSING]
    if needed:
        raise UserError(f"{method.__name__} has no default for {', '.join(needed)}; every setting needs one")
    about = about or (method.__doc__ or name).strip().splitlines()[0]
    bases = [base for base in method.mro() if base not in Method.mro()]
    METHODS[name] = Entry(method, about, preset=any("start" in get_annotations(base) for base in bases))


def find_entry(name: str) -> Entry:
    """The entry of a name. UserError if there is none."""
    if name not in METHODS:
        raise UserError(f"method {name!r} is unknown; expected one of {', '.join(METHODS)}")
    return METHODS[name]


def describe_methods() -> list[str]:
    """The lines of the table of all methods: what they do, what they need and cost, and who published them."""
    known = {name for family in _FAMILIES.values() for name in family}
    yours = {name: entry for name, entry in METHODS.items() if name not in known}
    return table({**_FAMILIES, "your own": yours})


def describe_method(name: str) -> list[str]:
    """The lines that describe a method: its settings with their sources, and its presets. UserError if unknown."""
    find_entry(name)
    return describe(name, METHODS)

"""A method's settings as a form: one field for each, made from its dataclass and the comment beside it.

fields(sd, "unread", …) -> [Field("start", "0.06", "R, the step at which the edit begins …"), …]
method_of(sd, "unread", …, {"start": "0.1"}) -> "unread:start=0.1"
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minisd import StableDiffusion

from ..defaults import default_settings
from ..methods import METHODS
from ..methods.catalogue.listing import constant, source
from ..methods.catalogue.settings import read
from ..methods.names import value_text

ELSEWHERE = ("steps", "guidance", "keep")  # every method has them, and the page has a place of its own for them
TEXT, FLAG, CHOICE = "text", "flag", "choice"  # the kinds of fields: a box to type in, to tick, to choose from


@dataclass(frozen=True)
class Field:
    name: str
    value: str  # as it stands in a method's spec
    about: str  # what it is, and where its value is from
    kind: str
    choices: tuple[str, ...] = ()


def removing() -> list[str]:
    """The names of the methods that remove something."""
    return [name for name, entry in METHODS.items() if not entry.strengthens]


def about(name: str) -> str:
    """What a method does, what it needs, and who published it."""
    entry = METHODS[name]
    needs = f" It needs {entry.needs}." if entry.needs else ""
    return f"{entry.about}{constant(name)}.{needs} Source: {source(entry)}."


def fields(sd: StableDiffusion, name: str, picture: bool) -> list[Field]:
    """The settings of a method with the values that it has by default. picture: whether a picture is edited."""
    defaults, _origin = default_settings(sd, name, picture)
    entry, comments = METHODS[name], read(METHODS[name])[1]
    kinds = typing.get_type_hints(entry.kind)
    names = [field for field in entry.settings if field not in ELSEWHERE]
    return [_field(field, getattr(defaults, field), kinds[field], comments[field].comment) for field in names]


def method_of(sd: StableDiffusion, name: str, picture: bool, values: Mapping[str, str]) -> str:
    """The method's spec with the settings that were changed. values: the texts in the form, by name.

    A box that was emptied means the default, unless the setting is a text.
    """
    changed = []
    for field in fields(sd, name, picture):
        text = values.get(field.name, field.value).strip()
        is_text = typing.get_type_hints(METHODS[name].kind)[field.name] is str
        if text != field.value and (text or is_text):
            changed.append(f"{field.name}={value_text(text)}")
    return f"{name}:{','.join(changed)}" if changed else name


def _field(name: str, value: Any, kind: Any, comment: str) -> Field:
    if kind is bool:
        return Field(name, str(value).lower(), comment, FLAG)
    choices = _choices(kind)
    if choices:
        return Field(name, str(value), comment.partition("; ")[2] or comment, CHOICE, choices)
    return Field(
        name, "none" if value is None else str(value) if isinstance(value, str) else value_text(value), comment, TEXT
    )


def _choices(kind: Any) -> tuple[str, ...]:
    """The values of a Literal; none for another type."""
    if typing.get_origin(kind) is typing.Literal:
        return tuple(str(value) for value in typing.get_args(kind))
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return tuple(choice for option in typing.get_args(kind) for choice in _choices(option))
    return ()

"""Methods by name: "suppress-eot", "official:iterations=5,start=0.1", "zero". What `--method` and `--sheet` take."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from minisd import UserError
from minisd.arguments import shown

from ..variants import VARIANTS
from .base import Method
from .suppress_eot import SuppressEOT
from .unread import Unread
from .variant import AttentionToZero, Variant

DEFAULT = "unread"  # it meets the bar of suppress/evaluation/table.py


@dataclass(frozen=True)
class Entry:
    """make(**settings) gives the method; `kind` is its class."""

    kind: type[Method]
    make: Callable[..., Method]
    about: str
    preset: bool = False  # published settings as a whole: what a checkpoint brings for all methods does not change them

    @property
    def settings(self) -> list[str]:
        """The fields that can be set: all but those that make the method what its name says."""
        bound = self.make.keywords if isinstance(self.make, partial) else {}
        return [f.name for f in fields(self.kind) if f.name not in bound]


METHODS: dict[str, Entry] = {
    "suppress-eot": Entry(SuppressEOT, SuppressEOT, "soft-weighted regularisation; ITO with iterations=10"),
    "official": Entry(SuppressEOT, SuppressEOT.official, "suppress-eot with the settings of its authors' code", True),
    "paper": Entry(SuppressEOT, SuppressEOT.paper, "suppress-eot as its text has it", True),
    "value-loss": Entry(
        SuppressEOT, partial(SuppressEOT.official, loss="value"), "ITO on values instead of maps (appendix D)", True
    ),
    "unread": Entry(
        Unread, Unread, "the text encoder run again with the target hidden from every word; SWR where it is the last"
    ),
    "attn2zero": Entry(AttentionToZero, AttentionToZero, "the target's cross maps become 0 (appendix D)"),
} | {name: Entry(Variant, partial(Variant, name=name), variant.about) for name, variant in VARIANTS.items()}


def parse_method(spec: str, defaults: Mapping[str, Any] | None = None, **given: Any) -> Method:
    """ "name" or "name:field=value,field=value" -> settings.

    defaults: what a checkpoint brings (its defaults.json), settings by the name of a method; under "all" those of
    every method that is not a preset (`Entry.preset`), over which the method's own win. `given` wins over both, the
    spec over all. UserError for unknown names, fields and values.
    """
    if not isinstance(spec, str):
        raise UserError(f"method = {shown(spec)}; expected the name of a method, such as {DEFAULT!r}")
    name, _, rest = spec.partition(":")
    if name not in METHODS:
        raise UserError(f"method {name!r}; there is {', '.join(METHODS)}")
    entry = METHODS[name]
    kinds = typing.get_type_hints(entry.kind)
    known = entry.settings
    values = _defaults(defaults or {}, name) | given
    for part in filter(None, rest.split(",")):
        field, equals, text = (s.strip() for s in part.partition("="))
        if field not in known or not equals:
            raise UserError(f"{part!r} in {spec!r}; expected field=value with a field of {name}: {', '.join(known)}")
        values[field] = _value(field, text, kinds[field])
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise UserError(f"{name} has no setting {', '.join(unknown)}; it has {', '.join(known)}")
    return entry.make(**values)


def _defaults(defaults: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A checkpoint's settings of a method."""
    values: dict[str, Any] = {}
    for key in (name,) if METHODS[name].preset else ("all", name):
        found = defaults.get(key, {})
        if not isinstance(found, Mapping):
            raise UserError(f"the checkpoint's defaults for {key!r} are {found!r}; expected settings by their names")
        values |= found
    return values


def describe_methods() -> list[str]:
    """A line a method: name, what it does, and the constant that it has."""
    width = max(map(len, METHODS))
    return [f"{name:<{width}}  {entry.about}{_constant(name)}" for name, entry in METHODS.items()]


def _constant(name: str) -> str:
    variant = VARIANTS.get(name)
    return f"; value={variant.published:.3g} is {variant.constant}" if variant and variant.constant else ""


def _value(field: str, text: str, kind: Any) -> Any:
    """text as the field's type: the first of int, float, str that reads it; "none" where None may be."""
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if types.NoneType in options and text.lower() == "none":
        return None
    for option in (int, float):
        if option in options:
            try:
                return option(text)
            except ValueError:
                continue
    if str in options or typing.get_origin(kind) is typing.Literal:
        return text
    raise UserError(f"{field} = {text!r}; expected a number")

"""Methods by name: "suppress-eot", "official:iterations=5,start=0.1", "zero". What `--method` and `--sheet` take."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from minisd import UserError

from ..variants import VARIANTS
from .base import Method
from .suppress_eot import SuppressEOT
from .unread import Unread
from .variant import AttentionToZero, Variant

DEFAULT = "suppress-eot"


@dataclass(frozen=True)
class Entry:
    """make(**settings) gives the method; `kind` is its class."""

    kind: type[Method]
    make: Callable[..., Method]
    about: str


METHODS: dict[str, Entry] = {
    "suppress-eot": Entry(SuppressEOT, SuppressEOT, "soft-weighted regularisation; ITO with iterations=10"),
    "official": Entry(SuppressEOT, SuppressEOT.official, "suppress-eot with the settings of its authors' code"),
    "paper": Entry(SuppressEOT, SuppressEOT.paper, "suppress-eot as its text has it"),
    "value-loss": Entry(
        SuppressEOT, partial(SuppressEOT.official, loss="value"), "ITO on values instead of maps (appendix D)"
    ),
    "unread": Entry(
        Unread, Unread, "the text encoder run again with the target hidden from every word; SWR where it is the last"
    ),
    "attn2zero": Entry(AttentionToZero, AttentionToZero, "the target's cross maps become 0 (appendix D)"),
} | {name: Entry(Variant, partial(Variant, name=name), variant.about) for name, variant in VARIANTS.items()}


def parse_method(spec: str, defaults: Mapping[str, Mapping[str, Any]] | None = None, **given: Any) -> Method:
    """ "name" or "name:field=value,field=value" -> settings.

    defaults: per name, values that a checkpoint brings (its defaults.json); `given` wins over them, the spec over all.
    UserError for unknown names, fields and values.
    """
    name, _, rest = spec.partition(":")
    if name not in METHODS:
        raise UserError(f"method {name!r}; there is {', '.join(METHODS)}")
    entry = METHODS[name]
    kinds = typing.get_type_hints(entry.kind)
    known = [f.name for f in fields(entry.kind)]
    values = dict((defaults or {}).get(name, {})) | given
    for part in filter(None, rest.split(",")):
        field, equals, text = (s.strip() for s in part.partition("="))
        if field not in known or not equals:
            raise UserError(f"{part!r} in {spec!r}; expected field=value with a field of {name}: {', '.join(known)}")
        values[field] = _value(field, text, kinds[field])
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise UserError(f"{name} has no setting {', '.join(unknown)}; it has {', '.join(known)}")
    return entry.make(**values)


def describe_methods() -> list[str]:
    """A line a method: name, what it does."""
    width = max(map(len, METHODS))
    return [f"{name:<{width}}  {entry.about}" for name, entry in METHODS.items()]


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

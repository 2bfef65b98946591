"""Methods by name: "suppress-eot", "official:iterations=5,start=0.1", "zero". What `--method` and `--sheet` take."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minisd import UserError
from minisd.base.arguments import shown

from .catalogue import DEFAULT, METHODS

if TYPE_CHECKING:
    from ..protocol import Method


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


def method_spec(name: str, settings: Method, base: Method) -> str:
    """The reverse of `parse_method`: the name, with every setting in which `settings` differs from `base`."""
    pairs = {field: getattr(settings, field) for field in METHODS[name].settings}
    changed = [f"{field}={value}" for field, value in pairs.items() if value != getattr(base, field)]
    return f"{name}:{','.join(changed)}" if changed else name


def _defaults(defaults: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A checkpoint's settings of a method."""
    values: dict[str, Any] = {}
    for key in (name,) if METHODS[name].preset else ("all", name):
        found = defaults.get(key, {})
        if not isinstance(found, Mapping):
            raise UserError(f"the checkpoint's defaults for {key!r} are {found!r}; expected settings by their names")
        values |= found
    return values


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

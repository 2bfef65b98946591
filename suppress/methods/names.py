"""Methods by name, as `--method` and `--sheet` take them: "suppress-eot", "official:iterations=5,start=0.1", "zero".

A value is put in double quotes, as in JSON, if it has a comma or is another method with settings:
`negative-prompt:text="glasses, hat",to="unread:shared_until=3"`.
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minisd import UserError
from minisd.base.arguments import shown

from ..naming import Named
from .catalogue import DEFAULT, METHODS, find_entry

if TYPE_CHECKING:
    from ..protocol import Method

_PAIR = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,"])+')  # the text up to the next comma outside quotes
_PLAIN = re.compile(r'[^,;"\s](?:[^,;"]*[^,;"\s])?')  # a text that needs no quotes


def parse_method(spec: str, defaults: Mapping[str, Any] | None = None, **given: Any) -> Method:
    """ "name" or "name:field=value,field=value" -> settings.

    defaults: the content of a checkpoint's defaults.json, which has settings by the name of a method. Its entry "all"
    is for every method that is not a preset (`Entry.preset`).
    Later ones win: "all", the method's entry, `given`, `spec`. UserError for unknown names, fields and values.
    """
    if not isinstance(spec, str):
        raise UserError(f"method = {shown(spec)}; expected the name of a method, such as {DEFAULT!r}")
    name = spec.partition(":")[0]
    entry = find_entry(name)
    return make_named(name, entry, _defaults(defaults or {}, name) | given | read_settings(spec, entry))


def check_removes(spec: str, option: str, why: str) -> None:
    """UserError if the method draws more of its words instead of removing them. why: what `option` takes instead."""
    if find_entry(spec.partition(":")[0]).strengthens:
        raise UserError(
            f"{option} {spec} draws more of what it is given; {why}; use it as `suppress PROMPT --strengthen WORD "
            f"--method {spec}`"
        )


def make_named(name: str, entry: Named, values: Mapping[str, Any]) -> Any:
    """The settings of a name with these values. UserError for a setting that it does not have."""
    unknown = sorted(set(values) - set(entry.settings))
    if unknown:
        raise UserError(f"{name} has no setting {', '.join(unknown)}; it has {', '.join(entry.settings)}")
    return entry.make(**values)


def read_settings(spec: str, entry: Named) -> dict[str, Any]:
    """The settings of "name:field=value,…", each of its field's type. UserError for unknown fields and values."""
    name, _, rest = spec.partition(":")
    kinds, known = typing.get_type_hints(entry.kind), entry.settings
    values = {}
    for field, text in _pairs(spec, rest, entry):
        if field not in known:
            pair = f"{field}={text}"
            raise UserError(f"{pair!r} in {spec!r}; expected field=value with a field of {name}: {', '.join(known)}")
        values[field] = _value(field, text, kinds[field])
    return values


def method_spec(name: str, settings: Method, base: Method) -> str:
    """The reverse of `parse_method`: the name, and each setting in which `settings` differs from `base`."""
    pairs = {field: getattr(settings, field) for field in METHODS[name].settings}
    changed = [f"{field}={value_text(value)}" for field, value in pairs.items() if value != getattr(base, field)]
    return f"{name}:{','.join(changed)}" if changed else name


def name_of(settings: Any) -> str | None:
    """The name under which the settings' class is registered; None if there is none."""
    for name, entry in METHODS.items():
        if type(settings) is entry.kind and all(getattr(settings, k) == v for k, v in entry.bound.items()):
            return name
    return None


def value_text(value: Any) -> str:
    """The value of a setting, as it is written in a spec."""
    if isinstance(value, str | int | float | None):
        text = str(value)
        # in a list of methods, even a ";" in quotes would end the method
        return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False).replace(";", "\\u003b")
    if (name := name_of(value)) is not None:
        return value_text(method_spec(name, value, METHODS[name].make()))
    raise UserError(f"{shown(value)} has no name; register its class with suppress.register(name, class)")


def _pairs(spec: str, rest: str, entry: Named) -> list[tuple[str, str]]:
    """(field, text) pairs of "field=value,field=value".

    If the text does not begin with a field, all of it is the value of `entry.takes`.
    """
    if entry.takes and rest and rest.partition("=")[0] not in entry.settings:
        return [(entry.takes, rest)]
    found = _PAIR.findall(rest)
    if ",".join(found) != rest.strip(","):
        raise UserError(f"{rest!r} in {spec!r}: a double quote is not closed, or two commas follow each other")
    pairs = []
    for pair in found:
        field, equals, text = (s.strip() for s in pair.partition("="))
        if not equals:
            raise UserError(f"{pair!r} in {spec!r}; expected field=value")
        pairs.append((field, text))
    return pairs


def _defaults(defaults: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The settings of a method in a checkpoint's defaults."""
    values: dict[str, Any] = {}
    for key in (name,) if METHODS[name].preset else ("all", name):
        found = defaults.get(key, {})
        if not isinstance(found, Mapping):
            raise UserError(f"the checkpoint's defaults for {key!r} are {found!r}; expected settings by their names")
        values |= found
    return values


def _value(field: str, text: str, kind: Any) -> Any:
    """The text as a value of the field's type `kind`.

    bool, int, float, str and a method are tried in this order. "none" is None, if the type allows it.
    """
    from ..protocol import Method

    options = typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)
    if types.NoneType in options and text.lower() == "none":
        return None
    if bool in options and text.lower() in ("true", "false"):
        return text.lower() == "true"
    for option in (int, float):
        if option in options:
            try:
                return option(text)
            except ValueError:
                continue
    if text.startswith('"'):
        try:
            text = json.loads(text)
        except ValueError:
            raise UserError(f"{field} = {text}; expected a text in double quotes, as in JSON") from None
    choices = [value for o in options if typing.get_origin(o) is typing.Literal for value in typing.get_args(o)]
    if str in options or choices:  # a choice may be a number; any other text is left to the method to refuse
        return next((value for value in choices if str(value) == text), text)
    if any(isinstance(option, type) and issubclass(option, Method) for option in options):
        return parse_method(text)
    expected: dict[type, str] = {float: "a number", int: "a whole number", bool: "true or false"}
    for wanted, words in expected.items():
        if wanted in options:
            raise UserError(f"{field} = {text!r}; expected {words}")
    raise UserError(f"{field} = {text!r}: this setting is no number and no text, so it can be set in Python only")

"""How a picture was made, as text in the PNG: the `parameters` convention of the field's programs.

    a man without glasses
    Negative prompt: blurry
    Steps: 50, Sampler: DDIM, CFG scale: 7.5, Seed: 0, Size: 128x128, Model: tiny

A value with a comma, a colon or a quote is written as a JSON string. The prompts may have several lines; the
convention has no sign for a line of a negative prompt that itself begins with "Negative prompt:".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

from .errors import UserError
from .picture import open_picture

_NEGATIVE = re.compile(r"^Negative prompt:[ ]?", re.MULTILINE)
_FIELD = re.compile(r'\s*([\w][\w \-/]*?):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')


def to_text(prompt: str, negative_prompt: str, fields: Mapping[str, object]) -> str:
    """The three lines above; fields keep their order, those that are None are left out."""
    pairs = ", ".join(f"{name}: {_quote(str(value))}" for name, value in fields.items() if value is not None)
    # the last line that looks like a negative prompt is one: a prompt with such a line needs one after it
    negative = negative_prompt or _NEGATIVE.search(prompt)
    return "\n".join([prompt, *([f"Negative prompt: {negative_prompt}"] if negative else []), pairs])


def from_text(text: str) -> tuple[str, str, dict[str, str]]:
    """(prompt, negative prompt, fields). UserError where the last line has no fields."""
    body, _, last = text.rstrip("\n").rpartition("\n")
    fields = {name: _unquote(value) for name, value in _FIELD.findall(last)}
    if "Steps" not in fields:
        raise UserError("the parameters end without a line 'Steps: …, Seed: …'")
    found = list(_NEGATIVE.finditer(body))
    if not found:
        return body, "", fields
    return body[: found[-1].start()].removesuffix("\n"), body[found[-1].end() :], fields


def read(path: str | os.PathLike[str]) -> tuple[str, str, dict[str, str]]:
    """The parameters stored in a picture; UserError where it has none."""
    text = open_picture(path).info.get("parameters")
    if not isinstance(text, str):
        raise UserError(f"{os.fspath(path)!r} holds no parameters (a PNG text chunk of that name)")
    try:
        return from_text(text)
    except UserError as error:
        raise UserError(f"{os.fspath(path)!r}: {error}") from None


def _quote(value: str) -> str:
    """As a JSON string where it would not be read back as it is."""
    plain = not re.search(r'[,:"\n]', value) and value == value.strip()
    return value if plain else json.dumps(value, ensure_ascii=False)


def _unquote(value: str) -> str:
    """Other programs also write a quote that is no JSON string; it is then taken as it stands."""
    try:
        return str(json.loads(value)) if value.startswith('"') else value.strip()
    except json.JSONDecodeError:
        return value.strip()

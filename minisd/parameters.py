"""How a picture was made, as text in the PNG: the `parameters` convention of the field's programs.

    a man without glasses
    Negative prompt: blurry
    Steps: 50, Sampler: DDIM, CFG scale: 7.5, Seed: 0, Size: 128x128, Model: tiny

A value with a comma, a colon or a quote is written as a JSON string.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

from .errors import UserError
from .picture import open_picture

_NEGATIVE = "Negative prompt: "
_FIELD = re.compile(r'\s*([\w][\w \-/]*?):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')


def to_text(prompt: str, negative_prompt: str, fields: Mapping[str, object]) -> str:
    """The three lines above; fields keep their order, those that are None are left out."""
    pairs = ", ".join(f"{name}: {_quote(str(value))}" for name, value in fields.items() if value is not None)
    return "\n".join([prompt, *([_NEGATIVE + negative_prompt] if negative_prompt else []), pairs])


def from_text(text: str) -> tuple[str, str, dict[str, str]]:
    """(prompt, negative prompt, fields). UserError where the last line has no fields."""
    *head, last = text.strip("\n").split("\n")
    fields = {name: _unquote(value) for name, value in _FIELD.findall(last)}
    if "Steps" not in fields:
        raise UserError("the parameters end without a line 'Steps: …, Seed: …'")
    body = "\n".join(head)
    prompt, found, negative = ("\n" + body).rpartition("\n" + _NEGATIVE)
    return (prompt.removeprefix("\n"), negative, fields) if found else (body, "", fields)


def read(path: str | os.PathLike[str]) -> tuple[str, str, dict[str, str]]:
    """The parameters stored in a picture; UserError where it has none."""
    text = open_picture(path).info.get("parameters")
    if not isinstance(text, str):
        raise UserError(f"{os.fspath(path)!r} holds no parameters (a PNG text chunk of that name)")
    return from_text(text)


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r'[,:"\n]', value) else value


def _unquote(value: str) -> str:
    return str(json.loads(value)) if value.startswith('"') else value.strip()

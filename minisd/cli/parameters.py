"""How a picture was made, as text in its PNG file: the `parameters` text that many programs write.

    a man without glasses
    Negative prompt: blurry
    Steps: 50, Sampler: DDIM, CFG scale: 7.5, Seed: 0, Size: 128x128, Model: tiny

A value with a comma, a colon or a quote is written as a JSON string. The prompts may have several lines. A line of the
negative prompt must not begin with "Negative prompt:", which this format cannot express.

Other programs write the same text into the EXIF comment of a JPEG or WebP file. It is read too.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

from PIL import Image

from ..base.errors import UserError
from ..base.picture_files import load_picture
from ..emphasis import Weighted, markup

LONGEST = 2**20  # characters; Pillow's limit for a compressed text chunk, in bytes

_NEGATIVE = re.compile(r"^Negative prompt:[ ]?", re.MULTILINE)
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"(?=,|$)')

_EXIF, _USER_COMMENT = 0x8769, 0x9286  # tags


def to_text(prompt: str, negative_prompt: str, fields: Mapping[str, object]) -> str:
    """The three lines above. Fields keep their order; fields that are None are left out.

    Prompts with weights (`minisd.weighted`) are written with their signs, and "Prompt weights: yes" tells so.
    """
    if isinstance(prompt, Weighted) or isinstance(negative_prompt, Weighted):
        fields = {**fields, "Prompt weights": "yes"}
        prompt, negative_prompt = markup(prompt), markup(negative_prompt)
    pairs = ", ".join(f"{name}: {_quote(str(value))}" for name, value in fields.items() if value is not None)
    # a reader takes the last line that looks like a negative prompt; a prompt with such a line needs another after it
    negative = negative_prompt or _NEGATIVE.search(prompt)
    return "\n".join([prompt, *([f"Negative prompt: {negative_prompt}"] if negative else []), pairs])


def from_text(text: str) -> tuple[str, str, dict[str, str]]:
    """(prompt, negative prompt, fields). UserError if the last line has no fields."""
    if len(text) > LONGEST:
        raise UserError(f"the parameters have {len(text):,} characters; at most {LONGEST:,} are read")
    body, _, last_line = text.rstrip("\n").rpartition("\n")
    fields = _fields(last_line)
    if "Steps" not in fields:
        raise UserError("the parameters end without a line 'Steps: …, Seed: …'")
    found = list(_NEGATIVE.finditer(body))
    if not found:
        return body, "", fields
    return body[: found[-1].start()].removesuffix("\n"), body[found[-1].end() :], fields


def _fields(line: str) -> dict[str, str]:
    """ "Steps: 5, Model: tiny" -> {"Steps": "5", "Model": "tiny"}, in one pass over the line."""
    fields: dict[str, str] = {}
    position = 0
    while (colon := line.find(":", position)) >= 0:
        name = line[position:colon].rpartition(",")[2].strip()  # text without a colon is not a field
        start = colon + 1
        while line[start : start + 1] == " ":
            start += 1
        quoted = _QUOTED.match(line, start)
        comma = line.find(",", start)
        end = quoted.end() if quoted else comma if comma >= 0 else len(line)
        if name:
            fields[name] = _unquote(line[start:end])
        position = end + 1
    return fields


def read(path: str | os.PathLike[str]) -> tuple[str, str, dict[str, str]]:
    """The parameters stored in a picture; UserError if it has none."""
    image, _ = load_picture(path)
    text = image.info.get("parameters")
    if not isinstance(text, str):
        text = _exif_comment(image)
        if "Steps:" not in text:  # no comment, or a comment about something else
            raise UserError(
                f"{os.fspath(path)!r} holds no parameters: neither a PNG text chunk of that name nor an EXIF comment"
            )
    try:
        return from_text(text)
    except UserError as error:
        raise UserError(f"{os.fspath(path)!r}: {error}") from None


def _exif_comment(image: Image.Image) -> str:
    """The EXIF field UserComment: eight bytes that name an encoding, then the text. "" if there is none."""
    try:
        raw = image.getexif().get_ifd(_EXIF).get(_USER_COMMENT, b"")
    except Exception:  # Pillow raises many types of errors for damaged EXIF data
        return ""
    if not isinstance(raw, bytes):
        return str(raw)
    code, text = raw[:8], raw[8:]
    if code == b"UNICODE\0":  # the standard does not fix the byte order
        big, little = (text.decode(f"utf-16-{order}", "replace").lstrip("\ufeff") for order in ("be", "le"))
        return big if "Steps:" in big else little
    return (text if code in (b"ASCII\0\0\0", bytes(8)) else raw).decode("utf-8", "replace")


def _quote(value: str) -> str:
    """The value, as a JSON string if it would not be read back unchanged."""
    plain = not re.search(r'[,:"\n]', value) and value == value.strip()
    return value if plain else json.dumps(value, ensure_ascii=False)


def _unquote(value: str) -> str:
    """The value without its quotes. Other programs write quotes that are no JSON string; these are left unchanged."""
    try:
        return str(json.loads(value)) if value.startswith('"') else value.strip()
    except json.JSONDecodeError:
        return value.strip()

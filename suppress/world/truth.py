"""The truth about a drawn picture: what it shows, what it would be without that, and which pixels that concerns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from minisd.base.errors import UserError

from .picture import render
from .spec import EXPRESSIONS, KINDS, OBJECTS, SCENES, STYLES, Spec

# attribute -> (field of Spec, the value that the field must have; None: any that means "present")
_FIELDS: dict[str, tuple[str, str | None]] = {
    "glasses": ("eyewear", None),
    "sunglasses": ("eyewear", "sunglasses"),
    **{name: (name, None) for name in ("hat", "beard", "moustache", "earrings", "scarf", "bow_tie", "mask")},
    "headphones": ("headphones", None),
    "rain": ("weather", "rain"),
    "snow": ("weather", "snow"),
    **{name: ("obj", name) for name in OBJECTS},
    **{name: ("kind", name) for name in KINDS},
    **{name: ("style", name) for name in STYLES},
    **{name: ("back", name) for name in SCENES},
    **{name: ("expression", name) for name in EXPRESSIONS if name != "neutral"},
}

ATTRIBUTES = tuple(_FIELDS)  # the 37 names
REMOVABLE = tuple(name for name in ATTRIBUTES if name not in KINDS)  # no picture is left without its subject

_VISIBLE = 10  # levels of 255: a smaller difference does not count as a change


def attributes(spec: Spec) -> dict[str, bool]:
    """Whether the picture shows each of the 37 attributes. Sunglasses are glasses; a mask hides the expression."""
    shown = {name: _has(spec, name) for name in ATTRIBUTES}
    if spec.mask:
        shown |= {name: False for name in EXPRESSIONS if name in shown}
    return shown


def without(spec: Spec, name: str) -> Spec:
    """The ideal edit: the same spec without one attribute. It is unchanged if the attribute is not there.

    A scene becomes the plain background `spec.plain`, an expression the neutral one. UserError for names that are not
    in REMOVABLE.
    """
    if name not in REMOVABLE:
        raise UserError(f"the drawn world cannot remove {name!r}; it can remove {', '.join(REMOVABLE)}")
    if not _has(spec, name):
        return spec
    field = _FIELDS[name][0]
    absent: dict[str, Any] = {"back": spec.plain, "expression": "neutral"}
    absent |= dict.fromkeys(("moustache", "earrings", "mask"), False)
    return replace(spec, **{field: absent.get(field, "")})


def region(spec: Spec, name: str, size: int = 128) -> NDArray[np.bool_]:
    """(size, size): True where removing the attribute changes the picture, and 2 pixels around.

    False everywhere if the attribute is not there. Differences of up to 10 levels of 255 do not count: the filters of
    the styles spread such differences a few pixels further. UserError as from `without`.
    """
    ideal = without(spec, name)
    if ideal == spec:
        return np.zeros((size, size), bool)
    a = np.asarray(render(spec, size), np.int16)
    b = np.asarray(render(ideal, size), np.int16)
    changed = Image.fromarray((np.abs(a - b).max(2) > _VISIBLE).astype(np.uint8) * 255)
    return np.asarray(changed.filter(ImageFilter.MaxFilter(5))) > 0


def _has(spec: Spec, name: str) -> bool:
    field, value = _FIELDS[name]
    return bool(getattr(spec, field)) if value is None else getattr(spec, field) == value

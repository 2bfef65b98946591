"""The `parameters` of a picture that `suppress` drew, and `suppress --params-from`, which draws it again.

There are these fields besides those of `minisd generate` (minisd/cli/repeat.py):

    Suppress: hat                              the targets, as `remove` takes them; several as a JSON list.
                                               "Strengthen" instead, if the targets were strengthened
    Suppress method: zero:start=3              its name, and every setting that is not the method's own default.
                                               "Suppress sheet" instead, for a sheet: its methods, separated by "; "
    Suppress seeds: 0 1 2                      only if there are several
    Suppress engine: fast
    Image, Image hash, Inversion, Crop         only if a picture was edited, which the file does not hold; and if a mask
    Mask, Mask hash, Paste                     was given, and if the picture was pasted back
    Suppress start: 3                          R as a step, for readers only: it is among the method's settings

Settings that are not named have the method's own defaults. The checkpoint's defaults.json, which may have changed
since, is not used.
"""

from __future__ import annotations

import argparse
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from minisd import UserError
from minisd.cli import parameters, repeat
from minisd.cli.repeat import Fields

from ..engine import ENGINES
from ..methods import METHODS, method_spec, parse_method
from ..prompt import Request

if TYPE_CHECKING:
    from ..protocol import Method

PICTURE = ("Image", "Image hash", "Inversion", "Crop", "Mask", "Mask hash", "Paste")
USED = ("Suppress", "Strengthen", "Suppress method", "Suppress sheet", "Suppress seeds", "Suppress engine", *PICTURE)
ABOUT = ("Suppress start",)


# ---------------------------------------------------------------------- writing


def suppress_fields(
    args: argparse.Namespace,
    request: Request,
    methods: Sequence[tuple[str, Method]],
    seeds: Sequence[int],
    sheet: bool = False,
) -> dict[str, object]:
    """The fields that repeat the suppression with these options. methods: (name, settings)."""
    return method_fields(request.named, methods, seeds, bool(args.strengthen), args.engine, sheet)


def method_fields(
    named: Sequence[str],
    methods: Sequence[tuple[str, Method]],
    seeds: Sequence[int],
    strengthen: bool = False,
    engine: str | None = None,
    sheet: bool = False,
) -> dict[str, object]:
    """The same of targets as `remove` takes them. A name that is not registered stands alone.

    Steps and guidance of the first method are not repeated here: `minisd generate` has fields for them.
    """
    common = methods[0][1]
    specs = [
        method_spec(name, s, METHODS[name].make(steps=common.steps, guidance=common.guidance))
        if name in METHODS
        else name
        for name, s in methods
    ]
    return {
        "Strengthen" if strengthen else "Suppress": _as_text(named),
        "Suppress sheet" if sheet else "Suppress method": "; ".join(specs),
        "Suppress start": common.start_step,
        "Suppress seeds": " ".join(map(str, seeds)) if len(seeds) > 1 else None,
        "Suppress engine": engine or "fast",
    }


def _as_text(targets: Sequence[str]) -> str:
    plain = len(targets) == 1 and not targets[0].startswith("[")
    return targets[0] if plain else json.dumps(list(targets), ensure_ascii=False)


# ---------------------------------------------------------------------- reading


def fill_from(args: argparse.Namespace) -> list[str]:
    """Gives the options that the user did not set the values of the picture `args.params_from`.

    Returns the picture's methods as specs with all their settings (`parse_method`); none if the user chose others.
    """
    path = args.params_from
    prompt, negative, fields = parameters.read(path)
    found: dict[str, Any] = {
        "prompt": prompt,
        "negative": negative,
        **repeat.shared(path, fields),
        **_picture(args, fields),
    }
    found["engine"] = fields.get("Suppress engine")
    if args.image is not None:
        found["seed"] = None  # a picture is edited without noise
    elif "Suppress seeds" in fields:
        found["seed"] = _seeds(path, fields["Suppress seeds"])
    chosen = any(value is not None for value in (args.method, args.preset, args.sheet))
    targets = {name: _targets(path, fields[name]) for name in ("Suppress", "Strengthen") if name in fields}
    if args.remove is None and args.strengthen is None:
        found |= {"remove": targets.get("Suppress"), "strengthen": targets.get("Strengthen")}
    repeat.fill(args, found)
    repeat.warn_ignored(path, fields, (*USED, *ABOUT))
    if args.engine not in (None, *ENGINES):
        raise UserError(f"{path} was drawn with the engine {args.engine!r}; there is {', '.join(ENGINES)}: --engine")
    same = bool(args.strengthen) == ("Strengthen" in targets)
    return [] if chosen or not same else _methods(args, fields)


def _picture(args: argparse.Namespace, fields: Fields) -> dict[str, Any]:
    """The options of an edited picture. UserError if it, or its mask, is not given again."""
    path = args.params_from
    args.repeats = fields
    for name, given in (("Image", args.image), ("Mask", args.mask)):
        if name in fields and given is None:
            what = {"Image": "drawn over another picture", "Mask": "drawn with a mask"}[name]
            raise UserError(
                f"{path} was {what} ({fields[name]}), which the file does not hold: give it as --{name.lower()}"
            )
    if "Image" not in fields:
        return {}
    crop = re.fullmatch(r"(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})", fields.get("Crop", "0,0,0,0"))
    if not crop:
        raise UserError(f"{path}: its parameters hold a crop that cannot be read ({fields['Crop'][:100]!r})")
    return {
        "inversion": fields.get("Inversion"),
        "crop": tuple(map(int, crop.groups())) if "Crop" in fields else None,
        "paste": True if fields.get("Paste") == "yes" else None,
    }


def check_same(args: argparse.Namespace, about: Mapping[str, object]) -> None:
    """Warns if the picture or its mask is not the one of the picture that is repeated. about: its fields."""
    for name in ("Image", "Mask"):
        before, now = args.repeats.get(f"{name} hash"), about.get(f"{name} hash")
        if before is not None and before != now:
            warnings.warn(
                f"--{name.lower()} {about.get(name)} is not the one that {args.params_from} was drawn with "
                f"({args.repeats.get(name)}), or it was changed since",
                stacklevel=2,
            )


def _methods(args: argparse.Namespace, fields: Fields) -> list[str]:
    if "Suppress sheet" in fields:
        args.sheet = fields["Suppress sheet"].split("; ")
    specs = args.sheet or ([fields["Suppress method"]] if "Suppress method" in fields else [])
    if specs and str(parse_method(specs[0], steps=args.steps).start_step) != fields.get("Suppress start"):
        raise UserError(
            f"{args.params_from} names its method, {specs[0]!r}, without all settings, as older versions wrote it; "
            f"give --method and --start (R was step {fields.get('Suppress start', 'unknown')})"
        )
    return specs


def _seeds(path: str, text: str) -> list[int]:
    if not all(part.isascii() and part.isdecimal() for part in text.split()):
        raise UserError(f"{path}: its parameters hold seeds that cannot be read ({text[:100]!r})")
    return [int(part) for part in text.split()]


def _targets(path: str, text: str) -> list[str]:
    if not text.startswith("["):
        return [text]
    try:
        targets = json.loads(text)
    except (ValueError, RecursionError):
        targets = None
    if not isinstance(targets, list) or not targets or not all(isinstance(target, str) for target in targets):
        raise UserError(f"{path}: its parameters hold targets that cannot be read ({text[:100]!r})")
    return targets

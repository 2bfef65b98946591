"""`--params-from`: options that were not given get the values in a picture's parameters.

A warning names the parameters that this program cannot use.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from PIL import Image

from ..base.errors import UserError
from . import options, parameters

Fields = Mapping[str, str]

SHARED = (
    "Steps",
    "Sampler",
    "CFG scale",
    "Seed",
    "Size",
    "Model",
    "Variant",
    "Revision",
    "EMA",
    "Precision",
    "Clip skip",
    "Prompt weights",
)
OWN = ("LoRA", "VAE")  # names of files: other programs write names that mean nothing without their own folders
ABOUT = ("Version", "Torch", "Device", "Date", "Model hash")  # describe how a picture was made; not options


def generate_options(args: argparse.Namespace) -> Fields:
    """Fills in the options of `minisd generate` from the picture `args.params_from`. Returns the picture's fields."""
    path = args.params_from
    prompt, negative, fields = parameters.read(path)
    if any(name == "Strengthen" or name.startswith("Suppress") for name in fields):
        raise UserError(
            f"{path} was drawn by `suppress`, and this command would draw it with its target: repeat it with `suppress "
            f"--params-from`, or give `minisd generate` its prompt, {prompt!r}"
        )
    found = {"prompt": prompt, "negative": negative, **shared(path, fields)}
    strength = fields.get("Denoising strength")
    if strength is not None and args.image is not None:
        found["strength"] = _number(path, float, strength)
    elif strength is not None and is_own(fields):
        raise UserError(
            f"{path} was drawn over a picture, which the file does not hold: give it as --image "
            f"({fields.get('Image', 'its name is not known')})"
        )
    elif strength is not None:  # other programs write it for a second pass, or always
        warnings.warn(
            f"{path}: its Denoising strength of {strength} is ignored, and the picture is drawn from text alone; if "
            "it was drawn over another picture, give that as --image",
            stacklevel=2,
        )
    fill(args, found)
    warn_ignored(path, fields, ("Denoising strength", "Image", "Image hash"))
    return fields


def shared(path: str, fields: Fields) -> dict[str, Any]:
    """The options of several commands, by their names in `args`. None: the picture does not name it."""
    if fields.get("Sampler", "DDIM") != "DDIM":
        raise UserError(f"{path} was drawn with the sampler {fields['Sampler']}; minisd has DDIM")
    precision = fields.get("Precision")
    size = re.fullmatch(r"(\d{1,9})x(\d{1,9})", fields.get("Size", "0x0"))
    if not size:
        raise UserError(f"{path}: its parameters hold a size that cannot be read ({fields['Size']!r})")
    width, height = (int(side) if "Size" in fields else None for side in size.groups())
    return {
        "steps": _number(path, int, fields.get("Steps")),
        "guidance": _number(path, float, fields.get("CFG scale")),
        "seed": [_number(path, int, fields["Seed"])] if "Seed" in fields else None,
        "width": width,
        "height": height,
        "model": fields.get("Model"),
        "variant": fields.get("Variant"),
        "revision": fields.get("Revision"),
        "ema": True if fields.get("EMA") == "yes" else None,
        "dtype": precision,
        "clip_skip": _clip_skip(path, fields.get("Clip skip")),
        "weights": True if fields.get("Prompt weights") == "yes" else None,
        **({"lora": _loras(path, fields.get("LoRA")), "vae": fields.get("VAE")} if is_own(fields) else {}),
    }


def _clip_skip(path: str, text: str | None) -> int | None:
    """Other programs count from the end: 1 means that no layer is left out."""
    counted = _number(path, int, text)
    return None if counted is None else counted - 1


def _loras(path: str, text: str | None) -> list[str] | None:
    try:
        loras = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        loras = ""
    if loras is not None and not (isinstance(loras, list) and all(isinstance(lora, str) for lora in loras)):
        raise UserError(f"{path}: its parameters hold LoRAs that cannot be read ({text!r})")
    return loras


def fill(args: argparse.Namespace, found: Mapping[str, Any]) -> None:
    """Options that were not given get the values found."""
    other_model = args.model not in (None, found["model"])
    for name, value in found.items():
        if other_model and name in ("variant", "revision", "ema"):
            continue  # these belong to the picture's model
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.dtype not in (None, *options.DTYPES):
        known = ", ".join(options.DTYPES)
        raise UserError(
            f"{args.params_from} was drawn with the precision {args.dtype}; minisd has {known}: give one as --dtype"
        )


def warn_ignored(path: str, fields: Fields, used: Collection[str] = ()) -> None:
    """Warns about fields that are neither in `SHARED` nor in `used`."""
    known = (*SHARED, *ABOUT, *used, *(OWN if is_own(fields) else ()))
    ignored = [f"{name}: {value}" for name, value in fields.items() if name not in known]
    if ignored:
        text = ", ".join(ignored)
        text = text if len(text) <= 400 else f"{text[:399]}…"
        warnings.warn(f"{path}: ignored, as minisd has no such settings: {text}", stacklevel=2)


def is_own(fields: Fields) -> bool:
    """Whether this program wrote the parameters."""
    return fields.get("Version", "").startswith("minisd ")


def image_fields(name: str, image: Image.Image) -> dict[str, object]:
    """The parameters that name the picture that a drawing started from."""
    return {"Image": name, "Image hash": hashlib.sha256(image.tobytes()).hexdigest()[:16]}


def _number(path: str, kind: type, text: str | None) -> Any:
    try:
        return None if text is None else kind(text)
    except ValueError as error:
        raise UserError(f"{path}: its parameters hold a value that cannot be read ({error})") from None

"""All that is asked for on the page: as the arguments of `suppress`, and as a call in Python.

The page draws what `suppress` draws with these arguments (suppress/ui/draw.py), so the command that it shows cannot say
something else than what was done.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from minisd import UserError
from minisd.cli import options
from minisd.emphasis import Weighted, markup

from ..cli.commands import make_parser

MASK_FILE = "mask.png"  # what the page calls the painted mask when it is saved
# options of `suppress` about the model, besides --lora and --ema
_MODEL = ("model", "device", "dtype", "variant", "revision", "threads", "vae", "clip_skip")


@dataclass(frozen=True)
class Photo:
    """A picture that was loaded, with the options that belong to it."""

    name: str
    content: bytes  # of the file
    mask: bytes | None = None  # of a PNG file, in the size of the upright picture
    inversion: str | None = None
    paste: bool = False
    crop: tuple[int, ...] | None = None  # (left, top, right, bottom) in pixels of the upright picture


@dataclass(frozen=True)
class Order:
    """What to draw. None: the default of `suppress`."""

    prompt: str  # with the weights of its words, if they were asked for; the negative prompt likewise
    remove: tuple[str, ...]  # as `--remove` takes it
    method: str | None = None  # a spec
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    width: int | None = None
    height: int | None = None
    keep: float | None = None
    negative: str = ""
    photo: Photo | None = None


def argv(order: Order, model: argparse.Namespace) -> list[str]:
    """The arguments of `suppress`. model: those of `suppress ui`, which name the model."""
    photo = order.photo
    words: list[str] = []
    if photo is not None:
        words += _option("--image", photo.name)
        words += _option("--crop", None if photo.crop is None else ",".join(map(str, photo.crop)))
        words += _option("--inversion", photo.inversion)
        words += ["--mask", MASK_FILE] if photo.mask is not None else []
        words += ["--paste"] if photo.paste else []
    words += _remove(order.remove)
    words += _option("--negative", markup(order.negative) or None)
    words += ["--weights"] if isinstance(order.prompt, Weighted) else []
    words += _option("--seed", order.seed) if photo is None else []  # a picture is inverted without noise
    for name, value in (("method", order.method), ("keep-outside", order.keep)):
        words += _option(f"--{name}", value)
    for name in ("steps", "guidance", "width", "height"):
        words += _option(f"--{name}", getattr(order, name))
    for name in _MODEL:
        words += _option(f"--{name.replace('_', '-')}", getattr(model, name))
    for lora in model.lora or []:
        words += _option("--lora", lora)
    words += ["--ema"] if model.ema else []
    # a prompt such as "-5 degrees" would be read as an option
    prompt = markup(order.prompt)
    return [*words, "--", prompt] if prompt.startswith("-") else [prompt, *words]


def command(order: Order, model: argparse.Namespace) -> str:
    """The command line that makes the same picture, for a shell."""
    return shlex.join(["suppress", *argv(order, model)])


def arguments(order: Order, model: argparse.Namespace) -> argparse.Namespace:
    """The parsed command line. UserError for an empty prompt."""
    if not order.prompt.strip():
        raise UserError("The prompt is empty. Say what to draw, for example: a man without glasses")
    try:
        return options.parse(make_parser(), argv(order, model))
    except SystemExit:  # argparse has told standard error what is wrong
        raise UserError(f"{command(order, model)} is no command; change the prompt or the words to remove") from None


def python_call(order: Order, model: argparse.Namespace) -> str:
    """The call in Python that makes the same picture."""
    photo = order.photo
    lines = ["import minisd", "import suppress"]
    lines += ["import torch"] if model.dtype not in (None, "fp32") else []
    lines += ["from PIL import Image"] if photo else []
    lines += ["", f"sd = minisd.load({', '.join(_load(model))})"]
    lines += _open(order, photo) if photo is not None else []
    lines += ["result = suppress.run(", "    sd,"]
    remove = order.remove[0] if len(order.remove) == 1 else list(order.remove)
    lines += [f"    {_prompt(order.prompt)},", f"    {_text(remove)},"]
    spec = _spec(order)
    lines += [f"    method={_text(spec)},"] if spec else []
    lines += [f"    seed={order.seed},"] if photo is None else []
    if photo is not None:
        lines += ["    image=photo,"]
        lines += [f"    inversion={_text(photo.inversion)},"] if photo.inversion else []
        lines += ["    mask=mask,"] if photo.mask is not None else []
    lines += [f"    {name}={getattr(order, name)}," for name in ("width", "height") if getattr(order, name) is not None]
    lines += [f"    negative_prompt={_prompt(order.negative)},"] if order.negative else []
    lines += ["    maps=True,", ")"]
    if photo is None or not photo.paste:
        lines += ["picture = result.image"]
    elif photo.mask is None:
        around = "around=sd.vae.config.factor // 2"
        lines += [f"picture = suppress.paste(result.image, result.original, result.mask, {around})"]
    else:
        lines += ["mask = mask.resize(result.image.size, Image.Resampling.BILINEAR, box=photo.box)"]
        lines += ["picture = suppress.paste(result.image, result.original, mask)"]
    return "\n".join([*lines, 'picture.save("without.png")'])


def _open(order: Order, photo: Photo) -> list[str]:
    """The lines that read the photo, and its mask, which has the photo's size before the crop."""
    height, width = (getattr(order, name) or "sd.side" for name in ("height", "width"))
    crop = "" if photo.crop is None else f", crop={photo.crop}"
    lines = [f"photo = minisd.picture.prepare(Image.open({_text(photo.name)}), {height}, {width}{crop})"]
    return lines + ([f"mask = Image.open({_text(MASK_FILE)})"] if photo.mask is not None else [])


def _option(name: str, value: object) -> list[str]:
    if value is None:
        return []
    return [f"{name}={value}"] if str(value).startswith("-") else [name, str(value)]


def _remove(words: Sequence[str]) -> list[str]:
    if any(word.startswith("-") for word in words):
        return [f"--remove={word}" for word in words]
    return ["--remove", *words] if words else []


def _spec(order: Order) -> str | None:
    """The method with all its settings, as `suppress.run` takes them."""
    from ..methods import DEFAULT

    shared = [(name, getattr(order, name)) for name in ("steps", "guidance", "keep")]
    given = ",".join(f"{name}={value}" for name, value in shared if value is not None)
    if not given:
        return order.method
    name, _, rest = (order.method or DEFAULT).partition(":")
    return f"{name}:{rest},{given}" if rest else f"{name}:{given}"


def _load(model: argparse.Namespace) -> list[str]:
    parts = [_text("tiny" if model.model is None else model.model)]
    parts += [f"device={_text(model.device)}"] if model.device else []
    parts += [f"dtype=torch.{options.DTYPES[model.dtype]}"] if model.dtype not in (None, "fp32") else []
    parts += [f"{name}={_text(getattr(model, name))}" for name in ("variant", "revision") if getattr(model, name)]
    parts += [f"lora={_text(model.lora)}"] if model.lora else []
    parts += [f"vae={_text(model.vae)}"] if model.vae else []
    parts += [f"clip_skip={model.clip_skip}"] if model.clip_skip else []
    return [*parts, "ema=True"] if model.ema else parts


def _prompt(text: str) -> str:
    return f"minisd.weighted({_text(markup(text))})" if isinstance(text, Weighted) else _text(text)


def _text(value: object) -> str:
    """A Python literal in double quotes."""
    return json.dumps(value, ensure_ascii=False)

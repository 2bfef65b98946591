"""Tensors <-> pictures (PIL), maps laid over a picture, sheets of pictures.

Files of pictures are read and written in `minisd/base/picture_files.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from .base.errors import UserError

# colours for maps, dark to bright; the brightness grows evenly, so that a map can be read in grey too
_RAMP = np.array([(0, 0, 30), (70, 10, 100), (170, 40, 90), (240, 120, 40), (255, 240, 160)], dtype=np.float32)
_MIX = 0.65  # share of the map's colour; the rest is the picture in grey
_GAP = 4  # pixels between the pictures of a sheet


def to_pil(x: Tensor) -> list[Image.Image]:
    """x (B,3,H,W) in [-1,1] -> B pictures, 8 bits per channel, rounded to the nearest level."""
    levels = ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return [Image.fromarray(p) for p in levels.permute(0, 2, 3, 1).cpu().numpy()]


def from_pil(image: Image.Image, height: int | None = None, width: int | None = None) -> Tensor:
    """A picture -> x (1,3,H,W) in [-1,1], scaled and cropped around its centre to height × width if these are given."""
    image = to_rgb(image)
    if height and width and image.size != (width, height):
        image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    x = torch.from_numpy(np.array(image, dtype=np.float32))
    return (x / 127.5 - 1).permute(2, 0, 1)[None]


@dataclass(frozen=True, eq=False)
class Prepared:
    picture: Image.Image
    remarks: list[str]
    size: tuple[int, int]


def prepare(image: Image.Image, height: int, width: int, crop: Sequence[int] | None = None) -> Prepared:
    """The picture with exactly height × width pixels, and what was done to it."""
    rgb = to_rgb(image)
    part = rgb if crop is None else rgb.crop(tuple(crop))
    fitted = ImageOps.fit(part, (width, height), Image.Resampling.LANCZOS)
    return Prepared(fitted, [f"resized to {width} × {height}"], rgb.size)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any picture as RGB, 8 bits per channel. UserError if the range of its values is unknown.

    Grey of more than 8 bits is scaled. Transparent parts become white, with a warning: the colours that the file
    stores for them are arbitrary, often black.
    """
    if not image.width or not image.height:
        raise UserError(f"the picture has {image.width}×{image.height} pixels (width × height)")
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image)
    try:
        if not image.has_transparency_data:
            return image.convert("RGB")
        layer = image.convert("RGBA")
        if np.asarray(layer)[..., 3].min() < 255:
            warnings.warn("the picture has transparent parts; they are laid on white", stacklevel=2)
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), layer).convert("RGB")
    except (OSError, TypeError, ValueError) as error:
        raise UserError(f"a picture of mode {image.mode} that cannot be converted to RGB: {error}") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, 32 bits or floating point -> grey of 8 bits, scaled. Pillow alone would clip the values."""
    values = np.asarray(image).astype(np.float64)
    low, high = values.min(), values.max()
    tops = {"I": (255, 65535), "F": (1, 255, 65535)}.get(image.mode, (65535,))  # the other modes are variants of I;16
    top = next((top for top in tops if low >= 0 and high <= top), None)
    found = f"the picture holds numbers from {low:g} to {high:g}"
    if top is None:
        known = " or ".join(f"0 to {top}" for top in tops)
        raise UserError(f"{found}; expected {known}. Save it with 8 bits per channel")
    if len(tops) > 1:
        warnings.warn(f"{found}; they are read as 0 (black) to {top} (white)", stacklevel=3)
    grey = Image.fromarray((values * (255 / top)).round().astype(np.uint8))
    clear = image.info.get("transparency")  # a PNG may declare one level to be transparent
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def overlay(image: Image.Image, heat: Tensor, span: tuple[float, float] | None = None) -> Image.Image:
    """A map (h,w) in colour over the picture in grey.

    span: the values of the darkest and the brightest colour (default: the map's minimum and maximum). To compare
    maps, give all of them the same span.
    """
    heat = heat.detach().float().cpu()
    low, high = (float(heat.min()), float(heat.max())) if span is None else span
    size = (image.height, image.width)
    level = F.interpolate(heat[None, None], size=size, mode="bicubic", align_corners=False)[0, 0]
    at = ((level - low) / max(high - low, 1e-12)).clamp(0, 1).numpy() * (len(_RAMP) - 1)
    below = np.minimum(at.astype(int), len(_RAMP) - 2)
    colour = _RAMP[below] + (at - below)[..., None] * (_RAMP[below + 1] - _RAMP[below])
    grey = np.asarray(image.convert("L"), dtype=np.float32)[..., None]
    return Image.fromarray((_MIX * colour + (1 - _MIX) * grey).astype(np.uint8))


def sheet(rows: Sequence[Sequence[Image.Image]], labels: Sequence[Sequence[str]] | None = None) -> Image.Image:
    """Pictures in rows. labels: one line of text for each picture, drawn under it."""
    cell_w = max(p.width for row in rows for p in row)
    cell_h = max(p.height for row in rows for p in row)
    height = max(11, cell_w // 14)
    font = ImageFont.load_default(height)
    line = 0 if labels is None else round(height * 1.6)
    step_x, step_y = cell_w + _GAP, cell_h + line + _GAP
    size = (max(len(row) for row in rows) * step_x + _GAP, len(rows) * step_y + _GAP)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            x, y = _GAP + c * step_x, _GAP + r * step_y
            canvas.paste(picture, (x, y))
            if labels is not None:
                draw.text((x + 2, y + cell_h + 1), _fit(_drawable(labels[r][c], font), font, cell_w - 2), "black", font)
    return canvas


def _drawable(text: str, font) -> str:
    """The text, with an escape ("\\u0142") for each character that the font lacks: nearly all beyond ASCII."""
    empty = bytes(font.getmask("\U0010ffff"))  # the box drawn for every missing character; no character has this code
    return "".join(
        c.encode("ascii", "backslashreplace").decode() if bytes(font.getmask(c)) == empty else c for c in text
    )


def _fit(text: str, font, width: int) -> str:
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-2].rstrip() + "…"
    return text

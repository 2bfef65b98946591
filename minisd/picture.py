"""Tensors <-> pictures (PIL), maps laid over a picture, sheets of pictures.

`prepare` and `to_rgb` read any picture that Pillow opens (minisd/base/picture_fit.py, picture_colours.py). Files of
pictures are read and written in minisd/base/picture_files.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .base.picture_fit import Prepared, prepare, to_rgb, upright

__all__ = ["Prepared", "from_pil", "overlay", "prepare", "sheet", "to_pil", "to_rgb", "upright"]

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
    if height and width:
        image = prepare(image, height, width).picture
    x = torch.from_numpy(np.array(image, dtype=np.float32))
    return (x / 127.5 - 1).permute(2, 0, 1)[None]


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

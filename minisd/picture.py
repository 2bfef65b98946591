"""Tensors <-> pictures, sheets of pictures, maps laid over them, PNG files with their parameters."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin
from torch import Tensor

from .errors import UserError
from .outputs import Writer, write_file

# a dark-to-bright ramp for maps; brightness grows evenly, so that it reads in grey as well
_RAMP = np.array([(0, 0, 30), (70, 10, 100), (170, 40, 90), (240, 120, 40), (255, 240, 160)], dtype=np.float32)


def to_pil(x: Tensor) -> list[Image.Image]:
    """x (B,3,H,W) in [-1,1] -> B pictures, 8 bits a channel, rounded to the nearest level."""
    levels = ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return [Image.fromarray(p) for p in levels.permute(0, 2, 3, 1).cpu().numpy()]


def from_pil(image: Image.Image, height: int | None = None, width: int | None = None) -> Tensor:
    """A picture -> x (1,3,H,W) in [-1,1]; scaled and cropped about the centre to height × width if given."""
    image = image.convert("RGB")
    if height and width and image.size != (width, height):
        image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    x = torch.from_numpy(np.array(image, dtype=np.float32))
    return (x / 127.5 - 1).permute(2, 0, 1)[None]


def open_picture(path: str | os.PathLike[str]) -> Image.Image:
    """The picture in a file, upright; UserError where there is none."""
    try:
        with Image.open(path) as image:
            image.load()
            return ImageOps.exif_transpose(image)  # cameras store how they were held, not a turned picture
    except FileNotFoundError:
        raise UserError(f"no picture {os.fspath(path)!r}: there is no such file") from None
    # damaged files raise OSError, ValueError or SyntaxError, according to the place of the damage
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{os.fspath(path)!r} is not a picture that can be read: {error}") from error


def overlay(
    image: Image.Image, heat: Tensor, span: tuple[float, float] | None = None, mix: float = 0.65
) -> Image.Image:
    """A map (h,w) in colour over the picture in grey.

    span: the values drawn darkest and brightest (default: the map's least and greatest). Give one span to
    maps that are to be compared.
    """
    heat = heat.detach().float().cpu()
    low, high = (float(heat.min()), float(heat.max())) if span is None else span
    size = (image.height, image.width)
    level = F.interpolate(heat[None, None], size=size, mode="bicubic", align_corners=False)[0, 0]
    at = ((level - low) / max(high - low, 1e-12)).clamp(0, 1).numpy() * (len(_RAMP) - 1)
    below = np.minimum(at.astype(int), len(_RAMP) - 2)
    colour = _RAMP[below] + (at - below)[..., None] * (_RAMP[below + 1] - _RAMP[below])
    grey = np.asarray(image.convert("L"), dtype=np.float32)[..., None]
    return Image.fromarray((mix * colour + (1 - mix) * grey).astype(np.uint8))


def sheet(
    rows: Sequence[Sequence[Image.Image]], labels: Sequence[Sequence[str]] | None = None, gap: int = 4
) -> Image.Image:
    """Pictures in rows, each with a line of text under it where `labels` gives one."""
    cell_w = max(p.width for row in rows for p in row)
    cell_h = max(p.height for row in rows for p in row)
    height = max(11, cell_w // 14)
    font = ImageFont.load_default(height)
    line = 0 if labels is None else round(height * 1.6)
    step_x, step_y = cell_w + gap, cell_h + line + gap
    size = (max(len(row) for row in rows) * step_x + gap, len(rows) * step_y + gap)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            x, y = gap + c * step_x, gap + r * step_y
            canvas.paste(picture, (x, y))
            if labels is not None:
                draw.text((x + 2, y + cell_h + 1), _fit(labels[r][c], font, cell_w - 2), "black", font)
    return canvas


def _fit(text: str, font, width: int) -> str:
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-2].rstrip() + "…"
    return text


def save(image: Image.Image, path: Path, parameters: str = "") -> Path:
    """Writes a PNG with its parameters, over a file of that name; no half picture is ever left. Returns the path."""
    return write_file(path, png(image, parameters))


def png(image: Image.Image, parameters: str = "") -> Writer:
    """Writes the picture as PNG with its parameters into an open file, e.g. for `outputs.write_output`."""
    info = PngImagePlugin.PngInfo()
    if parameters:
        info.add_itxt("parameters", parameters)
    return lambda file: image.save(file, format="PNG", pnginfo=info)

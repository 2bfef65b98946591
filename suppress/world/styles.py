"""The four styles: filters of the finished picture, and the spirals that Van Gogh's backgrounds get before."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from .pen import Pen
from .spec import Spec
from .textures import Floats, brush_strokes, hatching, noise, running_colour


def draw_swirls(pen: Pen, spec: Spec) -> None:
    """Painted spirals at five places, each of three lines."""
    random = Random(spec.seed * 31 + 9)
    for x, y in ((20, 22), (106, 24), (16, 74), (112, 78), (64, 8)):
        cx, cy = x + random.uniform(-7, 7), y + random.uniform(-7, 7)
        direction = random.choice((-1, 1))
        lines = ((4, (255, 224, 96), 5.0), (9, (64, 112, 206), 3.2), (14, (240, 240, 214), 3.2))
        for radius, colour, width in lines:
            start = random.uniform(0, 6.3)
            angles = np.linspace(start, start + direction * 4.6, 16)
            r = radius + np.linspace(-1.5, 2.5, 16)
            pen.line(np.stack([cx + r * np.cos(angles), cy + r * np.sin(angles)], 1), colour, width)


def _colour(*values: float) -> Floats:
    return np.array(values, np.float32)


def _to_picture(a: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))


def _van_gogh(image: Image.Image, spec: Spec) -> Image.Image:
    """Colours run along a swirling flow, become stronger, and lean to night blue and yellow."""
    size = image.width
    neighbours, texture = brush_strokes(size, spec.seed % 6)
    a: Floats = np.asarray(image, np.float32).reshape(-1, 3)
    gray = _colour(0.3, 0.59, 0.11)
    ink = np.clip((a @ gray) / 105, 0, 1).reshape(size, size, 1)  # 0 where outlines and frames must stay dark
    total = a * 2
    for pixels in neighbours:
        total += a[pixels]
    a = (total / (2 + len(neighbours))).reshape(size, size, 3)
    m = (a @ gray)[..., None]
    a = m + 1.5 * (a - m)
    t = np.clip(m / 255, 0, 1)
    low, middle, high = _colour(12, 26, 84), _colour(70, 128, 176), _colour(255, 226, 112)
    palette = np.where(t < 0.5, low + (middle - low) * (2 * t), middle + (high - middle) * (2 * t - 1))
    a = a * 0.64 + palette * 0.36 + texture * _colour(14, 13, 8)
    return _to_picture(a * (0.38 + 0.62 * ink) + _colour(4, 8, 34) * (1 - ink))


def _pencil(image: Image.Image, spec: Spec) -> Image.Image:
    """Gray: dark lines where the picture is dark, hatching where it is gray."""
    size, variant = image.width, spec.seed % 5
    gray = np.asarray(image.convert("L"), np.float32)
    ink = np.clip((150 - gray) / 105, 0, 1)
    tone = np.clip((235 - gray) / 235, 0, 1)
    value = 250 - 26 * tone - 66 * tone * hatching(size, variant) - 140 * ink**1.4
    value = value + 3.5 * noise(size, variant, size // 2)
    return _to_picture(np.clip(value, 30, 255)).convert("RGB")


def _watercolor(image: Image.Image, spec: Spec) -> Image.Image:
    """Soft shapes that run, with more pigment at their edges, on white paper."""
    size = image.width
    source, pigment = running_colour(size, spec.seed % 5)
    a = np.asarray(image.filter(ImageFilter.GaussianBlur(0.8 * size / 128)), np.float32)
    wide = image.filter(ImageFilter.BoxBlur(4 * size / 128))
    a = a + 0.5 * (a - np.asarray(wide, np.float32))  # pigment collects at edges
    a = a.reshape(-1, 3)[source].reshape(size, size, 3)
    m = a.mean(2, keepdims=True)
    a = m + 1.2 * (a - m)
    return _to_picture(_colour(253, 250, 243) - (253 - a) * pigment)


def _pixel(image: Image.Image, spec: Spec) -> Image.Image:
    """32 × 32 large pixels of few colours: eight levels each of red, green and blue."""
    a = np.asarray(image.resize((32, 32), Image.Resampling.HAMMING), np.float32)
    a = 128 + (a - 128) * 1.18
    return _to_picture(np.rint(a / 36.4) * 36.4).resize(image.size, Image.Resampling.NEAREST)


STYLE_FILTERS: dict[str, Callable[[Image.Image, Spec], Image.Image]] = {
    "van_gogh": _van_gogh,
    "pencil": _pencil,
    "pixel": _pixel,
    "watercolor": _watercolor,
}

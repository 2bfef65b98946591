"""Textures of the styles: smooth noise, brush strokes, hatching, and how watercolor runs. All depend on a variant."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Floats = NDArray[np.floating]
Indices = NDArray[np.int_]  # of pixels, row by row: y · size + x


@lru_cache(maxsize=64)
def noise(size: int, seed: int, cells: int) -> Floats:
    """(size, size) smooth noise in [-1, 1] from cells × cells random numbers."""
    rng = np.random.default_rng(1000 + seed)
    coarse = Image.fromarray((rng.random((cells, cells)) * 255).astype(np.uint8))
    a = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.float32)
    return (a - a.mean()) / (np.abs(a - a.mean()).max() + 1e-6)


def _swirling_flow(rng: np.random.Generator, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """A field of unit vectors: seven whirls, in both directions."""
    vx, vy = np.full_like(x, 0.012), np.zeros_like(x)
    for _ in range(7):
        cx, cy, strength = rng.uniform(0, 128), rng.uniform(0, 128), rng.choice([-1, 1]) * rng.uniform(0.7, 1.3)
        q = (x - cx) ** 2 + (y - cy) ** 2
        e = strength * np.exp(-q / 1400) / (np.sqrt(q) + 6)
        vx, vy = vx - e * (y - cy), vy + e * (x - cx)
    n = np.sqrt(vx**2 + vy**2) + 1e-6
    return vx / n, vy / n


@lru_cache(maxsize=8)
def brush_strokes(size: int, variant: int) -> tuple[list[Indices], Floats]:
    """(four lists of the pixels that lie one or two steps up or down the flow, texture (size, size, 1)).

    The texture is noise summed along the flow (line integral convolution), with standard deviation 1.
    """
    rng = np.random.default_rng(77 + variant)
    g = (np.arange(size, dtype=np.float32) + 0.5) * 128 / size
    x, y = np.meshgrid(g, g)
    vx, vy = _swirling_flow(rng, x, y)
    grain = (rng.random((size, size)).astype(np.float32) * 255).astype(np.uint8)
    grain = np.asarray(Image.fromarray(grain).filter(ImageFilter.GaussianBlur(0.7)), np.float32)

    def cell(p: Floats) -> Indices:
        return np.clip((p * size / 128).astype(int), 0, size - 1)

    neighbours, texture = [], grain.copy()
    for sign in (1, -1):
        px, py = x.copy(), y.copy()
        for step in range(9):
            ix, iy = cell(px), cell(py)
            px, py = px + sign * 1.2 * vx[iy, ix], py + sign * 1.2 * vy[iy, ix]
            jx, jy = cell(px), cell(py)
            texture += grain[jy, jx]
            if step < 2:
                neighbours.append((jy * size + jx).ravel())
    texture = (texture - texture.mean()) / texture.std()
    return neighbours, np.clip(texture, -2, 2)[..., None].astype(np.float32)


@lru_cache(maxsize=16)
def hatching(size: int, variant: int) -> Floats:
    """(size, size) in [0, 1]: diagonal lines that waver."""
    y, x = np.mgrid[0:size, 0:size] * (128.0 / size)
    wavering = 2.2 * noise(size, 50 + variant, 9)
    return (0.5 + 0.5 * np.sin((x + y + wavering) * 2 * np.pi / 5.2)).astype(np.float32)


@lru_cache(maxsize=16)
def running_colour(size: int, variant: int) -> tuple[Indices, Floats]:
    """(from which pixel each pixel takes its colour, how much pigment lies there (size, size, 1)).

    There is no pigment at the ragged edge of the paper.
    """
    unit = size / 128
    y, x = np.mgrid[0:size, 0:size]
    jx = np.clip(np.rint(x + 1.3 * unit * noise(size, 20 + variant, 24)).astype(int), 0, size - 1)
    jy = np.clip(np.rint(y + 1.3 * unit * noise(size, 30 + variant, 24)).astype(int), 0, size - 1)
    u, v = (x + 0.5) / size, (y + 0.5) / size
    to_edge = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v)) * 128 + 3.5 * noise(size, 40 + variant, 16)
    wash = 1 + 0.30 * noise(size, 60 + variant, 10) + 0.10 * noise(size, 70 + variant, size // 3)
    pigment = np.clip((to_edge - 3) / 5, 0, 1) * np.clip(wash, 0.4, 1.5) * 0.86
    return (jy * size + jx).ravel(), pigment[..., None].astype(np.float32)

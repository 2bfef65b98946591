"""Masks: white where a picture may change. As pixels they are (B,1,H,W), as latents (B,1,h,w).

heat of a target -- from_map --> mask -- dilate --> wider mask;   edited picture, photo, mask -- paste --> picture
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from minisd import UserError
from minisd.base.arguments import shown, whole_number
from minisd.picture import Prepared, to_rgb, upright

MIDDLE = 127  # of 255 levels; brighter is white


def read_mask(mask: Any, height: int, width: int, image: Prepared | None = None) -> Tensor:
    """A black and white picture as (1,1,H,W): 1 where it is brighter than middle grey, else 0; transparent parts are 0.

    image: the picture to which the mask belongs. A mask of the size that it had before it was cropped is cropped and
    resized with it. A mask of height × width is taken as it is. A mask of another size is first resized to the
    picture's, with a warning. There is a warning, too, if everything is white.

    UserError if it is no picture, or if nothing is white: then nothing could change.
    """
    if not isinstance(mask, Image.Image):
        raise UserError(f"mask = {shown(mask)}; expected a PIL picture, such as PIL.Image.open('MASK.png') gives")
    grey = upright(mask, ground="black")[0].convert("L")
    brightest = int(np.asarray(grey).max())
    size, box = ((width, height), (0, 0, width, height)) if image is None else (image.size, image.box)
    if grey.size == size or grey.size != (width, height):
        if grey.size != size:
            sizes = f"{grey.width} × {grey.height} pixels, the picture {size[0]} × {size[1]}"
            warnings.warn(f"the mask has {sizes}; the mask is resized", stacklevel=2)
            grey = grey.resize(size, Image.Resampling.BILINEAR)
        grey = grey.resize((width, height), Image.Resampling.BILINEAR, box=box)
    white = np.asarray(grey) > MIDDLE
    if not white.any():
        raise UserError(_nothing_white(brightest))
    if white.all():
        warnings.warn("the mask is white everywhere, so nothing is kept; paint black what is to stay", stacklevel=2)
    return torch.from_numpy(white.astype(np.float32))[None, None]


def _nothing_white(brightest: int) -> str:
    if brightest > MIDDLE:
        return (
            "none of the mask's white is left in the part of the picture that is used, at the size of the model; paint "
            "a larger part white, or take another crop"
        )
    return (
        f"the mask has no white: its brightest pixel is {brightest} of 255, and white is above {MIDDLE}. Paint white "
        "what may change, on black; transparent parts count as black"
    )


def smooth(values: Tensor) -> Tensor:
    """Each value (B,1,h,w) becomes the mean of its 3 × 3 neighbours inside the picture."""
    return F.avg_pool2d(values, 3, stride=1, padding=1, count_include_pad=False)


def gaussian(values: Tensor, sigma: float = 0.5) -> Tensor:
    """A Gaussian of 3 × 3 over (B,1,h+2,w+2), which has a border of one for it: (B,1,h,w)."""
    line = torch.exp(-torch.tensor([-1.0, 0.0, 1.0], device=values.device).square() / (2 * sigma**2))
    kernel = (line[:, None] * line / line.sum() ** 2).to(values.dtype)
    return F.conv2d(values, kernel[None, None])


def coverage(values: Tensor) -> Tensor:
    """ρ = mean(v²)² / mean(v⁴) of values (B,1,h,w), per sample: (B,1,1,1). The part of the picture that v covers.

    1 if all values are equal, k/n if k of n are equal and the others 0, and 0 if all are 0.
    """
    squares = values.square()
    mean, mean_square = (x.mean(dim=(1, 2, 3), keepdim=True) for x in (squares, squares.square()))
    return mean.square() / mean_square.clamp(min=torch.finfo(values.dtype).tiny)


def largest(weights: Tensor, share: Tensor) -> Tensor:
    """The smallest mask that holds a share (B,1,1,1) of all weights (B,1,h,w) >= 0; empty where all are 0."""
    ordered, places = weights.flatten(1).sort(dim=1, descending=True)
    before = ordered.cumsum(dim=1) - ordered  # the sum of all larger ones
    inside = (before < share.flatten(1) * ordered.sum(dim=1, keepdim=True)).to(weights.dtype)
    return torch.zeros_like(inside).scatter(1, places, inside).view_as(weights)


def top(values: Tensor, quantile: float) -> Tensor:
    """1 where values (…,h,w) reach their quantile, picture by picture, else 0: a mask of the same shape and dtype."""
    bound = values.detach().flatten(-2).quantile(quantile, dim=-1)
    return (values.detach() >= bound[..., None, None]).to(values.dtype)


def from_map(heat: Tensor, threshold: float) -> Tensor:
    """1 where a map (B,C,h,w), scaled to [0,1], is above the threshold, else 0. If all its values are equal: 0."""
    low, high = heat.amin(dim=(2, 3), keepdim=True), heat.amax(dim=(2, 3), keepdim=True)
    return (heat - low > threshold * (high - low)).float()


def dilate(mask: Tensor, pixels: int) -> Tensor:
    """The mask (B,1,h,w) and `pixels` pixels around it, in a square: each value is the largest one so near to it."""
    return F.max_pool2d(mask, 2 * pixels + 1, stride=1, padding=pixels)


def feather(mask: Tensor, pixels: int) -> Tensor:
    """1 in the mask (B,1,h,w), then less with each pixel, and exactly 0 outside `dilate(mask, pixels)`.

    The ramp is outside the mask. If it were inside, the border of what was removed would shine through: a ghost.
    """
    rings = [mask]
    for _ in range(pixels):
        rings.append(dilate(rings[-1], 1))
    return torch.stack(rings).sum(dim=0) / len(rings)


def paste(
    edited: Image.Image, photo: Image.Image, mask: Image.Image, pixels: int | None = None, around: int = 0
) -> Image.Image:
    """The photo, with the edited picture in the mask, as RGB. The three pictures have one size.

    In the mask (what is brighter than middle grey) and `around` pixels around it the edited picture is used, with a
    soft border of `pixels` pixels around that (`feather`). Beyond this border, every pixel is the photo's own.
    pixels: None means 3 % of the shorter side (15 for 512), as in the script of Attentive Eraser
    (suppress/methods/attentive_eraser.py).

    UserError if the sizes differ.
    """
    sizes = [picture.size for picture in (edited, photo, mask)]
    if len(set(sizes)) > 1:
        raise UserError(f"a picture of {sizes[0]}, a photo of {sizes[1]} and a mask of {sizes[2]}; give all one size")
    pixels = round(0.03 * min(photo.size)) if pixels is None else whole_number("pixels", pixels, 0)
    white = torch.from_numpy((np.asarray(mask.convert("L")) > MIDDLE).astype(np.float32))
    white = dilate(white[None, None], whole_number("around", around, 0))
    weight = feather(white, pixels)[0, 0, :, :, None].double().numpy()
    old, new = (np.asarray(to_rgb(picture), np.float64) for picture in (photo, edited))
    return Image.fromarray(np.rint(old + weight * (new - old)).astype(np.uint8))


def reach(factor: int) -> int:
    """Pixels around a mask of latents that change with it, for `paste`. factor: pixels of a latent's side.

    The decoder draws a pixel from the latents around it. Without this border, pasting brings pieces of what was removed
    back: half a latent was enough on the twelve pictures of the half "develop" of `suppress eval --pictures`.
    """
    return factor // 2


def latent_mask(mask: Tensor, z: Tensor) -> Tensor:
    """A mask of pixels (B,1,H,W) as one of latents (B,1,h,w): a latent is inside if one of its pixels is."""
    return F.adaptive_max_pool2d(mask.to(z.device, torch.float32), z.shape[-2:])


def mask_pictures(mask: Tensor, height: int, width: int) -> list[Image.Image]:
    """Masks (B,1,h,w) with values from 0 to 1, of latents or pixels, as B grey pictures of height × width."""
    levels = (F.interpolate(mask.float(), (height, width)) * 255).round().to(torch.uint8).cpu().numpy()
    return [Image.fromarray(level) for level in levels[:, 0]]

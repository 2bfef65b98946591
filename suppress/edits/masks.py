"""Masks: white where a picture may change. As pixels they are (B,1,H,W), as latents (B,1,h,w)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from minisd import UserError
from minisd.base.arguments import shown


def read_mask(mask: Any, height: int, width: int) -> Tensor:
    """A black and white picture as (1,1,H,W): 1 where it is brighter than middle grey, else 0.

    It is scaled and cropped around its centre to height × width, as a picture is. UserError if it is no picture.
    """
    if not isinstance(mask, Image.Image):
        raise UserError(f"mask = {shown(mask)}; expected a PIL picture, such as PIL.Image.open('MASK.png') gives")
    levels = np.asarray(ImageOps.fit(mask.convert("L"), (width, height), Image.Resampling.BILINEAR))
    return torch.from_numpy((levels > 127).astype(np.float32))[None, None]


def above(values: Tensor, threshold: float) -> Tensor:
    """1 where values (B,1,h,w), smoothed and scaled to [0,1], are above the threshold, and one pixel around; else 0."""
    smooth = F.avg_pool2d(values, 3, stride=1, padding=1, count_include_pad=False)
    low, high = smooth.amin(dim=(2, 3), keepdim=True), smooth.amax(dim=(2, 3), keepdim=True)
    inside = (smooth - low > threshold * (high - low)).float()
    return F.max_pool2d(inside, 3, stride=1, padding=1)


def latent_mask(mask: Tensor, z: Tensor) -> Tensor:
    """A mask of pixels (B,1,H,W) as one of latents (B,1,h,w): a latent is inside if one of its pixels is."""
    return F.adaptive_max_pool2d(mask.to(z.device, torch.float32), z.shape[-2:])


def mask_pictures(mask: Tensor, height: int, width: int) -> list[Image.Image]:
    """Masks (B,1,h,w) with values from 0 to 1, of latents or pixels, as B grey pictures of height × width."""
    levels = (F.interpolate(mask.float(), (height, width)) * 255).round().to(torch.uint8).cpu().numpy()
    return [Image.fromarray(level) for level in levels[:, 0]]


def paste(edited: Image.Image, photo: Image.Image, mask: Image.Image) -> Image.Image:
    """The edited picture inside the mask (white), and the photo's own pixels outside it; all of one size."""
    return Image.composite(edited, photo, mask)

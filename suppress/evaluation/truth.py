"""An edited picture against the truth: what it should have kept is the photo, what it should have made is the ideal."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from minisd.picture import from_pil

from ..metrics import psnr, ssim

EQUAL = 100.0  # dB, in place of the infinite PSNR of equal pictures: JSON has no infinity


def against_truth(
    picture: Image.Image, photo: Image.Image, ideal: Image.Image, region: NDArray[np.bool_]
) -> dict[str, float | None]:
    """The scores of a picture. region (H,W): True where the ideal differs from the photo (`world.region`).

    psnr photo: of the whole picture, against the photo; psnr outside: over the pixels outside the region, None if there
    are none.
    error inside: mean |difference| to the ideal over the region, in levels of 0 to 255.
    psnr ideal, ssim ideal: of the whole picture, against the ideal.
    """
    x, before, wanted = from_pil(picture), from_pil(photo), from_pil(ideal)
    inside = torch.from_numpy(region)
    return {
        "psnr photo": decibels(psnr(x, before)),
        "psnr outside": decibels(psnr(x, before, ~inside)),
        "error inside": round(float((x - wanted).abs()[:, :, inside].mean()) * 127.5, 4),
        "psnr ideal": decibels(psnr(x, wanted)),
        "ssim ideal": round(float(ssim(x, wanted)), 5),
    }


def decibels(value: Tensor) -> float | None:
    """A PSNR (1,) as JSON has it: at most EQUAL, and None where no pixel was compared."""
    return None if math.isnan(float(value)) else round(min(float(value), EQUAL), 4)

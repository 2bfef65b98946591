"""LPIPS (Zhang et al. 2018): how differently two pictures look to a network that was trained on photos.

At each layer the features are normalised along the channels. Their squared differences are weighted per channel with
weights fitted to people's judgements, averaged over the positions, and added up over the layers. 0 for equal pictures.

The networks come with torchmetrics and torchvision (`pip install "minisd[eval]"`). Their weights are downloaded once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from minisd import UserError

from .unavailable import Unavailable

SMALLEST = 32  # pixels; AlexNet's layers leave nothing of less than 31


class Lpips:
    """`Lpips.load()` has the weights. It is called with two batches of pictures."""

    def __init__(self, distance: Callable[[Tensor, Tensor], Tensor]):
        """distance: the LPIPS of two pictures (1,3,H,W) in [-1,1], a number."""
        self.distance = distance

    @classmethod
    def load(cls, net: Literal["alex", "squeeze", "vgg"] = "alex") -> Lpips:
        """alex is the usual choice of the papers on erasing; PIE-Bench takes squeeze.

        Unavailable if the weights are neither on the disk nor to be fetched, or without a torchvision that fits torch.
        """
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        try:
            return cls(LearnedPerceptualImagePatchSimilarity(net_type=net))
        except ModuleNotFoundError as error:
            raise Unavailable('LPIPS needs the package torchvision (`pip install "minisd[eval]"`)') from error
        except (OSError, RuntimeError) as error:  # no network, a file cut off, a torchvision made for another torch
            raise Unavailable(f"the network of LPIPS ({net}) cannot be had: {error}") from error

    @torch.no_grad()
    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """a, b (B,3,H,W) in [-1,1] -> (B,). UserError for other shapes, and for sides below 32 pixels."""
        if a.shape != b.shape or a.dim() != 4 or min(a.shape[-2:]) < SMALLEST:
            raise UserError(
                f"pictures of shapes {tuple(a.shape)} and {tuple(b.shape)}; expected (B,3,H,W) twice, "
                f"with sides of {SMALLEST} pixels or more"
            )
        pairs = zip(a.clamp(-1, 1).split(1), b.clamp(-1, 1).split(1), strict=True)
        return torch.stack([self.distance(x, y) for x, y in pairs])

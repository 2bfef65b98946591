"""Structure distance: did the layout of the picture stay?

The keys k_i of a vision transformer's last layer say what is at patch i. Their cosines with each other hold the layout
of a picture, but hardly its colours (Tumanyan et al. 2022, "Splicing ViT Features", equation 3):

    S_ij = cos(k_i, k_j),   distance = the mean over i, j of (S_ij(a) - S_ij(b))²

PIE-Bench (Ju et al. 2024) takes the keys of DINO ViT-B/8 and prints the distance × 10³. The embedded model's CLIP has
keys too: `structure_distance(a, b, ClipScore.of(sd).keys)`. Values of different networks cannot be compared. With this
CLIP, four drawn men gave (× 10³): 8 to 16 without their glasses, 62 to 112 when they were moved by 8 of 128 units, and
46 to 83 when a robot took their place. But it does see colours: another shirt gave 26 to 64.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from minisd import UserError

from .unavailable import cached, unavailable_if_damaged

if TYPE_CHECKING:
    from transformers import ViTModel

Keys = Callable[[Tensor], Tensor]  # x (B,3,H,W) in [-1,1] -> keys (B,N,D)
SHORT_SIDE, LONGEST = 224, 480  # pixels, of what DINO reads
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures, on which DINO was trained


@torch.no_grad()
def structure_distance(a: Tensor, b: Tensor, keys: Keys) -> Tensor:
    """a, b (B,3,H,W) in [-1,1] -> (B,), 0 for equal pictures. UserError for pictures of different shapes."""
    if a.shape != b.shape or a.dim() != 4:
        raise UserError(f"pictures of shapes {tuple(a.shape)} and {tuple(b.shape)}; expected (B,3,H,W) twice")
    return (self_similarity(keys(a)) - self_similarity(keys(b))).square().mean(dim=(1, 2))


def self_similarity(keys: Tensor) -> Tensor:
    """keys (B,N,D) -> their cosines (B,N,N)"""
    keys = F.normalize(keys, dim=-1)
    return keys @ keys.transpose(1, 2)


class Dino:
    """DINO (Caron et al. 2021), through transformers. `Dino.load()` takes it from the hub's cache."""

    def __init__(self, model: ViTModel, white: float = 1.0):
        """white: what a white pixel is before the mean is subtracted.

        1 is what the network was trained with. The code of PIE-Bench does not divide the levels by 255: for numbers
        that can be compared with those in the papers, white must be 255.
        """
        self.model, self.white = model.eval().requires_grad_(False), white

    @classmethod
    def load(cls, white: float = 1.0) -> Dino:
        """Unavailable if it is not in the cache, or damaged."""
        return cls.of(cached("dino-vitb8", "DINO"), white)

    @classmethod
    def of(cls, folder: Path, white: float = 1.0) -> Dino:
        """The model in a folder: config.json and its weights. Unavailable if it cannot be read."""
        with unavailable_if_damaged(folder):
            from transformers import ViTModel

            return cls(ViTModel.from_pretrained(folder, add_pooling_layer=False, local_files_only=True), white)

    def keys(self, x: Tensor) -> Tensor:
        """x (B,3,H,W) in [-1,1] -> (B,1+patches,D): all heads side by side. The short side is resized to 224 pixels."""
        mean, std = (torch.tensor(v, device=x.device)[:, None, None] for v in (MEAN, STD))
        x = (_fitted(x).clamp(-1, 1) / 2 + 0.5) * self.white
        states = self.model((x - mean) / std, output_hidden_states=True, interpolate_pos_encoding=True).hidden_states
        # transformers 5 renamed the modules
        new = hasattr(self.model, "layers")
        last = self.model.layers[-1] if new else self.model.encoder.layer[-1]
        to_keys = last.attention.k_proj if new else last.attention.attention.key
        return to_keys(last.layernorm_before(states[-2]))  # states[-2] is what the last layer reads


def _fitted(x: Tensor) -> Tensor:
    """The short side 224 pixels, or less if the long side would be over 480."""
    height, width = x.shape[-2:]
    scale = min(SHORT_SIDE / min(height, width), LONGEST / max(height, width))
    return F.interpolate(x, (round(height * scale), round(width * scale)), mode="bilinear", antialias=True)

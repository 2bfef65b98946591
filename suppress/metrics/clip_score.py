"""CLIP score (Hessel et al. 2021): 2.5 · max(cos(picture, phrase), 0).

The embedded model comes with a CLIP that knows the drawn world. For other checkpoints, OpenAI's ViT-L/14 is taken from
the hub's cache. CLIP hardly understands negations, so score the target ("glasses"), not "without glasses".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from minisd import StableDiffusion
from minisd.base.inputs import read_json
from minisd.config import CONTEXT
from minisd.loading.tokenizer import Tokenizer, load_tokenizer
from minisd.picture import from_pil

from ..edits.fingerprint import fingerprint
from .clip import load_clip
from .unavailable import cached, unavailable_if_damaged

PUBLIC = "clip-vit-l-14"  # in weights/manifest.json


class ClipScore:
    """A CLIP and its tokenizer. `ClipScore.of(sd)` picks the CLIP that fits a checkpoint."""

    def __init__(self, folder: Path, tokenizer: Tokenizer | None = None):
        with unavailable_if_damaged(folder):
            self._load(folder, tokenizer)

    def _load(self, folder: Path, tokenizer: Tokenizer | None) -> None:
        self.clip = load_clip(folder)
        self.tokenizer = tokenizer or load_tokenizer(folder)
        file = folder / "preprocessor_config.json"  # without it, the model takes values in [-1,1]
        norm = read_json(file) if file.is_file() else {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        self.mean, self.std = (torch.tensor(norm[k])[:, None, None] for k in ("image_mean", "image_std"))

    @classmethod
    def of(cls, sd: StableDiffusion) -> ClipScore:
        """The CLIP in the checkpoint's folder clip/, else the one in the hub's cache.

        Unavailable if neither is there, or if the one that is there is damaged.
        """
        folder = sd.folder / "clip" if sd.folder else None
        if folder is not None and folder.is_dir():
            return cls(folder, sd.tokenizer)
        return cls(cached(PUBLIC, "CLIP"))

    @property
    def identity(self) -> str:
        """What tells this CLIP from others."""
        return f"CLIP {fingerprint(self.clip, torch.float32)}"

    @torch.no_grad()
    def __call__(self, pictures: Sequence[Image.Image], phrase: str) -> Tensor:
        """(B,) scores of the pictures for one phrase."""
        picture = self.picture(torch.cat([self._fitted(from_pil(p)) for p in pictures]))
        return 2.5 * F.cosine_similarity(picture, self.text(phrase)).clamp(min=0)

    def picture(self, x: Tensor) -> Tensor:
        """CLIP's vectors (B,P) of x (B,3,H,W) in [-1,1], of any size. Differentiable with respect to x."""
        return self.clip.picture(self._normalised(x))

    def keys(self, x: Tensor) -> Tensor:
        """The keys (B,1+patches,D) of the vision tower's last layer, for x as above."""
        return self.clip.vision_model.keys(self._normalised(x))

    @torch.no_grad()
    def text(self, phrase: str) -> Tensor:
        """CLIP's vector (1,P) of a phrase."""
        ids = [self.tokenizer.sot, *self.tokenizer.ids(phrase)[: CONTEXT - 2], self.tokenizer.eot]
        return self.clip.text(torch.tensor([ids], device=self.mean.device))

    def to(self, device: torch.device) -> ClipScore:
        """Moves it there, and returns it."""
        self.clip, self.mean, self.std = self.clip.to(device), self.mean.to(device), self.std.to(device)
        return self

    def _normalised(self, x: Tensor) -> Tensor:
        """x resized, with the mean and the deviation of the model's training."""
        return (self._fitted(x).clamp(-1, 1) / 2 + 0.5 - self.mean) / self.std

    def _fitted(self, x: Tensor) -> Tensor:
        """x resized to the side that the model reads."""
        size = (self.clip.side, self.clip.side)
        return x if x.shape[-2:] == size else F.interpolate(x, size, mode="bicubic", antialias=True)

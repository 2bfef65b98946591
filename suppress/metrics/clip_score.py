"""CLIP score (Hessel et al. 2021): 2.5 · max(cos(picture, phrase), 0).

The embedded model brings the CLIP it grew from, which knows the drawn world; for other checkpoints OpenAI's ViT-L/14
is taken from the hub's cache. CLIP hardly reads negations: score the target ("glasses"), not "without glasses".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from minisd import CheckpointError, StableDiffusion
from minisd.fetch import fetch
from minisd.picture import from_pil
from minisd.quiet import no_loading_bar

from .unavailable import Unavailable, reading

PUBLIC = "clip-vit-l-14"  # in weights/manifest.json


class ClipScore:
    """A CLIP and its tokenizer. `ClipScore.of(sd)` picks the one that fits a checkpoint."""

    def __init__(self, folder: Path, tokenizer: Any = None):
        with reading(folder):
            self._load(folder, tokenizer)

    def _load(self, folder: Path, tokenizer: Any) -> None:
        from transformers import CLIPModel, CLIPTokenizer

        with no_loading_bar():
            loaded: Any = CLIPModel.from_pretrained(str(folder), dtype=torch.float32, output_loading_info=True)
        model, report = loaded
        if report["missing_keys"]:  # transformers would make them up
            raise Unavailable(f"{folder} lacks weights, e.g. {min(report['missing_keys'])}")
        self.model: Any = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer or CLIPTokenizer.from_pretrained(str(folder))
        self.side: Any = self.model.config.vision_config.image_size
        file = folder / "preprocessor_config.json"  # absent: the model takes [-1,1] as it is
        norm = json.loads(file.read_text()) if file.is_file() else {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        self.mean, self.std = (torch.tensor(norm[k])[:, None, None] for k in ("image_mean", "image_std"))

    @classmethod
    def of(cls, sd: StableDiffusion) -> ClipScore:
        """Unavailable where the checkpoint carries no clip/ and the hub's cache has none either, or a damaged one."""
        folder = sd.folder / "clip" if sd.folder else None
        if folder is not None and folder.is_dir():
            return cls(folder, sd.tokenizer)
        try:
            _, public = fetch(PUBLIC, download=False)
        except CheckpointError as error:
            raise Unavailable(f"CLIP is not in the hub's cache (`minisd fetch {PUBLIC}`)") from error
        return cls(public)

    @torch.no_grad()
    def __call__(self, pictures: Sequence[Image.Image], phrase: str) -> Tensor:
        """(B,) scores of the pictures for one phrase."""
        size = (self.side, self.side)
        x = torch.cat([F.interpolate(from_pil(p), size, mode="bicubic", antialias=True) for p in pictures])
        picture = self.model.visual_projection(
            self.model.vision_model(pixel_values=(x.clamp(-1, 1) / 2 + 0.5 - self.mean) / self.std).pooler_output
        )
        ids = torch.tensor([self.tokenizer(phrase).input_ids])
        text = self.model.text_projection(self.model.text_model(input_ids=ids).pooler_output)
        return 2.5 * F.cosine_similarity(picture, text).clamp(min=0)

"""DetScore on the drawn world: how sure a detector is that the target is in the picture.

The paper (Li et al. 2024, section 4) uses the score that an open-vocabulary detector gives the target on the edited
picture. Here the detector is a small network with 37 attributes, trained on the embedded model's world.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from minisd import StableDiffusion
from minisd.base.inputs import check_regular
from minisd.picture import from_pil

from ..edits.fingerprint import fingerprint
from .unavailable import Unavailable, unavailable_if_damaged

SIDE = 128  # pixels

# other words for the 37 attributes of the drawn world. True: the class is wider than the word
_WORDS: dict[str, tuple[str, bool]] = {
    "spectacles": ("glasses", False),
    "eyeglasses": ("glasses", False),
    "eyewear": ("glasses", False),
    "round glasses": ("glasses", True),
    "square glasses": ("glasses", True),
    "cap": ("hat", True),
    "beanie": ("hat", True),
    "top hat": ("hat", True),
    "cowboy hat": ("hat", True),
    "crown": ("hat", True),
    "mustache": ("moustache", False),
    "earring": ("earrings", False),
    "headphone": ("headphones", False),
    "medical mask": ("mask", False),
    "face mask": ("mask", False),
    "happy": ("smiling", False),
    "smile": ("smiling", False),
    "gogh": ("van gogh", False),
    "pencil sketch": ("pencil", False),
    "pencil drawing": ("pencil", False),
    "sketch": ("pencil", False),
    "pixel art": ("pixel", False),
    "pixels": ("pixel", False),
    "watercolor painting": ("watercolor", False),
    "rainy day": ("rain", False),
    "rainy": ("rain", False),
    "snowy day": ("snow", False),
    "snowy": ("snow", False),
    "sea": ("beach", True),
    "night sky": ("night", False),
    "moon": ("night", True),
    "stars": ("night", True),
    "trees": ("forest", False),
    "woods": ("forest", False),
    "buildings": ("city", False),
    "living room": ("room", False),
    "lamp": ("room", True),
    "mountain": ("mountains", False),
    "bearded": ("beard", False),
}


@dataclass(frozen=True)
class Match:
    """The detector's class that stands for a phrase."""

    name: str
    wider: bool  # the class means more than the phrase: a crown is judged as any hat

    @property
    def remark(self) -> str:
        """What a reader of the score should know; empty: nothing."""
        return f"the whole class {self.name.replace('_', ' ')}" if self.wider else ""


class Network(nn.Module):
    """Four stages of two 3 × 3 convolutions, the first with stride 2. One logit per position, joined by log-sum-exp."""

    def __init__(self, classes: int, widths: Sequence[int] = (32, 64, 96, 128)):
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in widths:
            for dim, stride in ((channels, 2), (width, 1)):
                layers += [nn.Conv2d(dim, width, 3, stride, 1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x (B,3,128,128) in [-1,1] -> logits (B,classes): a soft maximum over the 8 × 8 positions."""
        h = self.head(self.body(x)).flatten(2)  # (B,classes,64)
        return torch.logsumexp(2 * h, dim=-1) / 2 - math.log(h.shape[-1]) / 2


class Detector:
    """The network and the names of its classes. `Detector.of(sd)` loads the one in the checkpoint's folder."""

    def __init__(self, folder: Path):
        with unavailable_if_damaged(folder):
            for file in ("attributes.json", "model.safetensors"):
                check_regular(folder / file)  # reading a pipe would never end
            self.names: list[str] = json.loads((folder / "attributes.json").read_text(encoding="utf-8"))
            if not isinstance(self.names, list) or not all(isinstance(name, str) for name in self.names):
                raise Unavailable(f"{folder / 'attributes.json'} is no list of names")
            self.network = Network(len(self.names))
            state = load_file(folder / "model.safetensors")
            self.network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
        self.network.eval().requires_grad_(False)

    @classmethod
    def of(cls, sd: StableDiffusion) -> Detector:
        """Unavailable if the checkpoint's folder has no detector/, or one that cannot be read."""
        folder = sd.folder / "detector" if sd.folder else None
        if folder is None or not folder.is_dir():
            raise Unavailable(f"{sd.name} comes with no detector")
        return cls(folder)

    @property
    def identity(self) -> str:
        """What tells this detector from others."""
        return f"detector {fingerprint(self.network, torch.float32)}"

    def match(self, phrase: str) -> Match:
        """The class that judges a phrase; articles and upper case do not matter. Unavailable if there is none.

        A phrase that ends in a known word ("red scarf") is judged by that word's class, which is then wider.
        """
        words = without_article(phrase).split()
        for start in range(len(words)):
            tail = " ".join(words[start:])
            name, narrower = _WORDS.get(tail, (tail, False))
            if name.replace(" ", "_") in self.names:
                return Match(name.replace(" ", "_"), narrower or start > 0)
        raise Unavailable(f"the detector has no class for {phrase!r}")

    def scores(self, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
        """For each class the probabilities (B,). Pictures may have any size: they are resized to 128 × 128."""
        x = torch.cat([_fitted(from_pil(p)) for p in pictures])
        return dict(zip(self.names, torch.sigmoid(self.logits(x)).unbind(dim=1), strict=True))

    def logits(self, x: Tensor) -> Tensor:
        """(B,classes) of x (B,3,H,W) in [-1,1], of any size. Differentiable with respect to x."""
        return self.network(_fitted(x))

    def to(self, device: torch.device) -> Detector:
        """Moves it there, and returns it."""
        self.network.to(device)
        return self


def without_article(phrase: str) -> str:
    """ "A red_Scarf" -> "red scarf" """
    words = phrase.lower().replace("_", " ").split()
    return " ".join(words[1:] if words and words[0] in ("a", "an", "the", "his", "her") else words)


def _fitted(x: Tensor) -> Tensor:
    return F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)

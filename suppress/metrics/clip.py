"""CLIP (Radford et al. 2021): a picture and a text become vectors in one space; their angle says how well they fit.

The text tower is the text encoder of Stable Diffusion (minisd/text.py). The vision tower has the same layers, without
a causal mask, over the patches of a picture. The names of the modules are those in the checkpoint files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from minisd.base.inputs import read_json
from minisd.config import TextConfig
from minisd.loading.config_files import LAYERS, activation, field_reader, text_config
from minisd.loading.weight_files import open_weights
from minisd.text import Encoder, Layer, TextEncoder

from .unavailable import Unavailable


@dataclass(frozen=True)
class VisionConfig:
    """The sizes of the vision tower.

    A file may leave fields out; the defaults are those of the library that writes such files.
    """

    dim: int = 768
    hidden: int = 3072  # width inside the MLPs
    layers: int = 12
    heads: int = 12
    image_size: int = 224  # side of the pictures, in pixels
    patch_size: int = 32
    activation: str = "quick_gelu"
    eps: float = 1e-5

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], file: str) -> VisionConfig:
        """Read the `vision_config` of a CLIP's config.json."""
        field = field_reader(file, config)
        return cls(
            dim=field("hidden_size", cls.dim),
            hidden=field("intermediate_size", cls.hidden),
            layers=field("num_hidden_layers", cls.layers, most=LAYERS),
            heads=field("num_attention_heads", cls.heads),
            image_size=field("image_size", cls.image_size),
            patch_size=field("patch_size", cls.patch_size),
            activation=activation(file, config),
            eps=field("layer_norm_eps", cls.eps),
        )


class VisionEmbeddings(nn.Module):
    """One vector per patch, and before them one for the whole picture, the class token. Positions are added to all."""

    def __init__(self, c: VisionConfig):
        super().__init__()
        self.class_embedding = nn.Parameter(torch.empty(c.dim))
        self.patch_embedding = nn.Conv2d(3, c.dim, c.patch_size, stride=c.patch_size, bias=False)
        patches = (c.image_size // c.patch_size) ** 2
        self.position_embedding = nn.Embedding.from_pretrained(torch.empty(patches + 1, c.dim))

    def forward(self, x: Tensor) -> Tensor:
        """x (B,3,side,side) -> (B,1+patches,D)"""
        patches = self.patch_embedding(x).flatten(2).transpose(1, 2)
        class_token = self.class_embedding.expand(len(x), 1, -1)
        return torch.cat([class_token, patches], dim=1) + self.position_embedding.weight


class VisionTower(nn.Module):
    def __init__(self, c: VisionConfig):
        super().__init__()
        self.embeddings = VisionEmbeddings(c)
        self.pre_layrnorm = nn.LayerNorm(c.dim, eps=c.eps)  # this is how the files spell it
        self.encoder = Encoder(c.layers, c.dim, c.heads, c.hidden, c.activation, c.eps)
        self.post_layernorm = nn.LayerNorm(c.dim, eps=c.eps)

    def forward(self, x: Tensor) -> Tensor:
        """x (B,3,side,side), normalised as in the training of the model -> the class token's vector (B,D)"""
        return self.post_layernorm(self.encoder(self.pre_layrnorm(self.embeddings(x)))[:, 0])

    def keys(self, x: Tensor) -> Tensor:
        """x as above -> the keys of the last layer's attention, all heads side by side (B,1+patches,D)"""
        h = self.pre_layrnorm(self.embeddings(x))
        for layer in self.encoder.layers[:-1]:
            h = layer(h)
        last = cast(Layer, self.encoder.layers[-1])
        return last.self_attn.k_proj(last.layer_norm1(h))


class Clip(nn.Module):
    """Both towers and their projections into one space of `projection` dimensions."""

    def __init__(self, text: TextConfig, vision: VisionConfig, projection: int):
        super().__init__()
        self.side = vision.image_size
        self.text_model = TextEncoder(text)
        self.vision_model = VisionTower(vision)
        self.text_projection = nn.Linear(text.dim, projection, bias=False)
        self.visual_projection = nn.Linear(vision.dim, projection, bias=False)

    def picture(self, x: Tensor) -> Tensor:
        """x (B,3,side,side) -> (B,P)"""
        return self.visual_projection(self.vision_model(x))

    def text(self, ids: Tensor) -> Tensor:
        """ids (B,L): [SOT], the text, one [EOT] -> (B,P), made from the embedding of [EOT]"""
        return self.text_projection(self.text_model(ids)[:, -1])


def load_clip(folder: Path) -> Clip:
    """The CLIP in a folder (config.json, model.safetensors), in float32 on the CPU.

    Unavailable if the folder lacks weights.
    """
    file = folder / "config.json"
    config = read_json(file)
    parts = {name: config.get(name) for name in ("text_config", "vision_config")}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise Unavailable(f"{file} has no {name}")
    with torch.device("meta"):
        clip = Clip(
            text_config(config["text_config"], f"{file}: text_config"),
            VisionConfig.from_dict(config["vision_config"], f"{file}: vision_config"),
            field_reader(str(file), config)("projection_dim", 512),
        )
    weights = open_weights(folder / "model.safetensors")
    expected = {key: tuple(value.shape) for key, value in clip.state_dict().items()}
    for key, shape in expected.items():
        found = weights.shapes.get(key)
        if found is None or found.shape != shape:
            raise Unavailable(f"{folder} lacks weights, e.g. {key} of shape {shape}")
    clip.load_state_dict(weights.read(expected, torch.float32, torch.device("cpu")), assign=True)
    return clip.eval().requires_grad_(False)

"""The sizes of CLIP as its config.json. Those of the other networks are in minisd/loading/config_json.py."""

from __future__ import annotations

from typing import Any

from minisd.config import TextConfig
from minisd.loading.config_json import text_json
from suppress.metrics.clip import VisionConfig


def clip_json(text: TextConfig, vision: VisionConfig, projection: int) -> dict[str, Any]:
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": projection,
        "text_config": text_json(text, projection),
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": vision.dim,
            "intermediate_size": vision.hidden,
            "num_hidden_layers": vision.layers,
            "num_attention_heads": vision.heads,
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "hidden_act": vision.activation,
            "layer_norm_eps": vision.eps,
            "projection_dim": projection,
        },
    }

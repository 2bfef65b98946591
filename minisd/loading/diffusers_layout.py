"""The layout of diffusers: a config and weights for each part, under the names that our modules have, too.

A folder (checkpoint.py) and a pipeline in memory (from_pipeline.py) are read by the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..base.errors import CheckpointError
from ..config import Config
from . import config_files
from .parts import EmptyModule, empty_parts
from .tokenizer import Tokenizer
from .weight_files import WeightFile

# where each config stands in a folder
CONFIGS = {
    "unet": "unet/config.json",
    "vae": "vae/config.json",
    "text_encoder": "text_encoder/config.json",
    "scheduler": "scheduler/scheduler_config.json",
}


def diffusers_parts(
    name: str,
    configs: Mapping[str, Mapping[str, Any]],
    weights: Mapping[str, WeightFile],
    places: Mapping[str, str] = CONFIGS,
) -> tuple[Config, dict[str, EmptyModule]]:
    """The model's sizes and its parts, from configs and headers alone.

    name: of the model, for errors. places: where each config stands, for errors. CheckpointError for another family.
    """
    config = Config(
        unet=config_files.unet_config(configs["unet"], places["unet"]),
        vae=config_files.vae_config(configs["vae"], places["vae"]),
        schedule=config_files.schedule_config(configs["scheduler"], places["scheduler"]),
        text=config_files.text_config(configs["text_encoder"], places["text_encoder"]),
    )
    width = config.text.dim
    if width != config.unet.context_dim:
        raise CheckpointError(
            f"{name}: the text encoder is {width} wide and the UNet expects {config.unet.context_dim}"
        )
    check_channels(name, config)
    rename: dict[str, Callable[[str], str]] = {
        "unet": str,
        "vae": vae_name(weights["vae"]),
        "text_encoder": text_name(weights["text_encoder"]),
    }
    return config, empty_parts(config, weights, rename)


def check_channels(name: str, config: Config) -> None:
    """CheckpointError unless the VAE's latents are what the UNet denoises."""
    channels = config.vae.latent_channels
    if channels != config.unet.in_channels:
        raise CheckpointError(
            f"{name}: the VAE's latents have {channels} channels, the UNet's {config.unet.in_channels}"
        )


def check_vocabulary(name: str, tokenizer: Tokenizer, config: Config) -> None:
    """CheckpointError if the tokenizer has tokens that the text encoder does not embed. name: of the tokenizer."""
    if tokenizer.size > config.text.vocab_size:
        raise CheckpointError(
            f"{name} has ids up to {tokenizer.size - 1}, and its text encoder embeds {config.text.vocab_size} tokens: "
            "they are not of one checkpoint"
        )


def vae_name(weights: WeightFile) -> Callable[[str], str]:
    """In files from before 2023 the layers of the VAE's attention are called query, key, value and proj_attn."""
    if not any(key.endswith("attentions.0.query.weight") for key in weights.shapes):
        return str
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    return lambda key: re.sub(r"(attentions\.0)\.(to_q|to_k|to_v|to_out\.0)\.", lambda m: f"{m[1]}.{old[m[2]]}.", key)


def text_name(weights: WeightFile) -> Callable[[str], str]:
    """In most files, every key of the text encoder begins with `text_model.`; transformers 5 leaves that out."""
    prefixed = any(key.endswith("text_model.embeddings.token_embedding.weight") for key in weights.shapes)
    bare = any(key.endswith("embeddings.token_embedding.weight") for key in weights.shapes)
    return str if bare and not prefixed else lambda key: "text_model." + key

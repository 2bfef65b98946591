"""The sizes of the networks as the config.json files of diffusers and transformers, which every loader of SD 1.x reads.

config_files.py reads them back.
"""

from __future__ import annotations

from typing import Any

from ..config import ScheduleConfig, TextConfig, UNetConfig, VAEConfig


def unet_json(c: UNetConfig) -> dict[str, Any]:
    return {
        "_class_name": "UNet2DConditionModel",
        "in_channels": c.in_channels,
        "out_channels": c.out_channels,
        "block_out_channels": list(c.channels),
        "down_block_types": ["CrossAttnDownBlock2D" if has else "DownBlock2D" for has in c.attention],
        "up_block_types": ["CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(c.attention)],
        "layers_per_block": c.layers,
        "attention_head_dim": c.heads,  # the number of heads, as in all files of SD v1
        "cross_attention_dim": c.context_dim,
        "norm_num_groups": c.groups,
        "sample_size": c.sample_size,
    }


def vae_json(c: VAEConfig, side: int) -> dict[str, Any]:
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": c.in_channels,
        "out_channels": c.in_channels,
        "latent_channels": c.latent_channels,
        "block_out_channels": list(c.channels),
        "down_block_types": ["DownEncoderBlock2D"] * len(c.channels),
        "up_block_types": ["UpDecoderBlock2D"] * len(c.channels),
        "layers_per_block": c.layers,
        "norm_num_groups": c.groups,
        "sample_size": side,
        "scaling_factor": c.scaling,
    }


def schedule_json(c: ScheduleConfig) -> dict[str, Any]:
    return {
        "_class_name": "DDIMScheduler",
        "beta_schedule": "scaled_linear",
        "beta_start": c.beta_start,
        "beta_end": c.beta_end,
        "num_train_timesteps": c.train_steps,
        "steps_offset": c.offset,
        "set_alpha_to_one": c.final_alpha_one,
        "clip_sample": False,
        "prediction_type": "epsilon",
    }


def text_json(c: TextConfig, projection: int, ends: tuple[int, int] | None = None) -> dict[str, Any]:
    """ends: the ids of [SOT] and [EOT]; None: the last two tokens. [EOT] also fills the prompt up."""
    sot, eot = ends or (c.vocab_size - 2, c.vocab_size - 1)
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "vocab_size": c.vocab_size,
        "hidden_size": c.dim,
        "intermediate_size": c.hidden,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "max_position_embeddings": c.positions,
        "hidden_act": c.activation,
        "layer_norm_eps": c.eps,
        "projection_dim": projection,
        "bos_token_id": sot,
        "eos_token_id": eot,
        "pad_token_id": eot,
    }


def pipeline_json() -> dict[str, Any]:
    """model_index.json: which library has each part."""
    return {
        "_class_name": "StableDiffusionPipeline",
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }

"""The config.json files of a folder in diffusers layout -> the dataclasses of minisd/config.py.

Each function raises CheckpointError, which names `file` and the field, if a file holds an impossible value or asks
for an architecture that is not SD v1's (SD 2, SDXL, ...).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..base.arguments import is_number, is_whole, shown
from ..base.errors import CheckpointError
from ..config import CONTEXT, ScheduleConfig, TextConfig, UNetConfig, VAEConfig

MOST = 2**16  # of any size: SD v1.4's largest is the vocabulary, 49408
LAYERS = 100  # of a transformer: with a damaged number, building the modules would take hours
BLOCKS = 16  # residual blocks per resolution, and resolutions


def unet_config(config: Mapping[str, Any], file: str = "unet/config.json") -> UNetConfig:
    """From unet/config.json."""
    _refuse_other_unets(file, config)
    attention = _attention(file, config)
    default = UNetConfig()
    field = field_reader(file, config)
    # in SD v1's files, `attention_head_dim` is really the number of heads
    heads = "num_attention_heads" if config.get("num_attention_heads") else "attention_head_dim"
    unet = UNetConfig(
        in_channels=field("in_channels", default.in_channels),
        out_channels=field("out_channels", default.out_channels),
        channels=field("block_out_channels", default.channels),
        attention=attention,
        layers=field("layers_per_block", default.layers, most=BLOCKS),
        heads=field(heads, default.heads),
        context_dim=field("cross_attention_dim", default.context_dim),
        groups=field("norm_num_groups", default.groups),
        sample_size=field("sample_size", default.sample_size),
    )
    if unet.in_channels != unet.out_channels:
        raise CheckpointError(
            f"{file} has {unet.in_channels} channels in and {unet.out_channels} out: a UNet for inpainting or for "
            "editing by instruction; minisd reads Stable Diffusion v1.x"
        )
    if len(unet.channels) != len(attention):
        raise CheckpointError(
            f"{file} has {len(attention)} down_block_types for the {len(unet.channels)} resolutions of "
            "block_out_channels"
        )
    _check_divisible(file, unet.channels, unet.groups, unet.heads)
    return unet


def _attention(file: str, config: Mapping[str, Any]) -> tuple[bool, ...]:
    """Which resolutions have transformers, finest first."""
    down = config.get("down_block_types") or ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
    up = config.get("up_block_types") or ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
    mirror = {"CrossAttnDownBlock2D": "CrossAttnUpBlock2D", "DownBlock2D": "UpBlock2D"}
    lists = isinstance(down, list | tuple) and isinstance(up, list | tuple)
    if not lists or not all(kind in list(mirror) for kind in down) or list(up) != [mirror[kind] for kind in down[::-1]]:
        raise CheckpointError(
            f"{file}: down_block_types {down} with up_block_types {up} is not an SD v1 UNet (CrossAttnDownBlock2D and "
            "DownBlock2D, mirrored in the up path)"
        )
    return tuple(kind == "CrossAttnDownBlock2D" for kind in down)


def _refuse_other_unets(file: str, config: Mapping[str, Any]) -> None:
    if config.get("addition_embed_type") or config.get("transformer_layers_per_block", 1) != 1:
        raise CheckpointError(f"{file} is an SDXL UNet; minisd reads Stable Diffusion v1.x")
    if config.get("time_cond_proj_dim") is not None:
        raise CheckpointError(
            f"{file} is the UNet of a latent-consistency model, which reads the guidance (time_cond_proj_dim); minisd "
            "reads Stable Diffusion v1.x"
        )
    if config.get("use_linear_projection") or isinstance(config.get("attention_head_dim", 8), list):
        raise CheckpointError(
            f"{file} is a Stable Diffusion 2.x UNet (linear projections); minisd reads Stable Diffusion v1.x"
        )
    _expect(
        file,
        config,
        act_fn="silu",
        flip_sin_to_cos=True,
        freq_shift=0,
        norm_eps=1e-5,
        center_input_sample=False,
        only_cross_attention=False,
        dual_cross_attention=False,
        class_embed_type=None,
        resnet_time_scale_shift="default",
        time_embedding_type="positional",
        conv_in_kernel=3,
        downsample_padding=1,
        mid_block_scale_factor=1,
        mid_block_type="UNetMidBlock2DCrossAttn",
    )


def vae_config(config: Mapping[str, Any], file: str = "vae/config.json") -> VAEConfig:
    """From vae/config.json. Old files lack the scaling factor."""
    _expect(
        file,
        config,
        act_fn="silu",
        mid_block_add_attention=True,
        use_quant_conv=True,
        use_post_quant_conv=True,
        shift_factor=None,
        latents_mean=None,
    )
    default = VAEConfig()
    field = field_reader(file, config)
    vae = VAEConfig(
        in_channels=field("in_channels", default.in_channels),
        latent_channels=field("latent_channels", default.latent_channels),
        channels=field("block_out_channels", default.channels),
        layers=field("layers_per_block", default.layers, most=BLOCKS),
        groups=field("norm_num_groups", default.groups),
        scaling=field("scaling_factor", default.scaling),
    )
    _check_divisible(file, vae.channels, vae.groups)
    return vae


def schedule_config(config: Mapping[str, Any], file: str = "scheduler/scheduler_config.json") -> ScheduleConfig:
    """From scheduler/scheduler_config.json. Files of PNDM and other samplers name the same schedule."""
    _expect(
        file,
        config,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        trained_betas=None,
        rescale_betas_zero_snr=False,
    )
    default = ScheduleConfig()
    field = field_reader(file, config)
    schedule = ScheduleConfig(
        beta_start=field("beta_start", default.beta_start),
        beta_end=field("beta_end", default.beta_end),
        train_steps=field("num_train_timesteps", default.train_steps),
        offset=field("steps_offset", default.offset, least=0),
        final_alpha_one=field("set_alpha_to_one", default.final_alpha_one),
    )
    if not schedule.beta_start <= schedule.beta_end < 1:
        raise CheckpointError(
            f"{file}: beta runs from {schedule.beta_start} to {schedule.beta_end}; expected rising values below 1"
        )
    if schedule.offset >= schedule.train_steps:
        raise CheckpointError(
            f"{file}: steps_offset = {schedule.offset}; expected less than the {schedule.train_steps} steps of "
            "num_train_timesteps"
        )
    return schedule


def text_config(config: Mapping[str, Any], file: str = "text_encoder/config.json") -> TextConfig:
    """From text_encoder/config.json: the fields that shape the network, and no others.

    If the file leaves a field out, it has the default of the library that wrote the file, which is not ViT-L/14's.
    """
    if config.get("model_type", "clip_text_model") not in ("clip_text_model", "clip"):
        raise CheckpointError(
            f"{file} is of a text encoder of the kind {config['model_type']!r}; SD v1 has clip_text_model"
        )
    field = field_reader(file, config)
    text = TextConfig(
        vocab_size=field("vocab_size", 49408),
        dim=field("hidden_size", 512),
        hidden=field("intermediate_size", 2048),
        layers=field("num_hidden_layers", 12, most=LAYERS),
        heads=field("num_attention_heads", 8),
        positions=field("max_position_embeddings", CONTEXT, least=CONTEXT),
        activation=activation(file, config),
        eps=field("layer_norm_eps", 1e-5),
    )
    _check_divisible(file, (text.dim,), 1, text.heads)
    return text


def activation(file: str, config: Mapping[str, Any]) -> str:
    """The activation of CLIP's MLPs. CheckpointError for one that no CLIP of SD v1 has."""
    name = config.get("hidden_act") or "quick_gelu"
    if name not in ("quick_gelu", "gelu"):
        raise CheckpointError(f"{file}: hidden_act = {name!r}; expected quick_gelu or gelu")
    return name


# ---------------------------------------------------------------------- fields


def field_reader(file: str, config: Mapping[str, Any]) -> Callable[..., Any]:
    """field(name, default, least, most): the file's value, which must be of the default's kind and in the bounds.

    If the field is absent or null, the value is the default.
    """

    def field(name: str, default: Any, least: int = 1, most: int = MOST) -> Any:
        value = config.get(name)
        if value is None:
            return default

        def is_size(v: Any) -> bool:
            return is_whole(v) and least <= v <= most

        if isinstance(default, tuple):
            expected = f"a list of at most {BLOCKS} whole numbers from {least} to {most}"
            fits = isinstance(value, list | tuple) and 0 < len(value) <= BLOCKS and all(map(is_size, value))
        elif isinstance(default, bool):
            expected, fits = "true or false", isinstance(value, bool)
        elif isinstance(default, int):
            expected, fits = f"a whole number from {least} to {most}", is_size(value)
        else:
            expected, fits = f"a positive number, at most {MOST}", is_number(value) and 0 < value <= MOST
        if not fits:
            raise CheckpointError(f"{file}: {name} = {shown(value)}; expected {expected}")
        return tuple(value) if isinstance(default, tuple) else value

    return field


def _check_divisible(file: str, channels: tuple[int, ...], groups: int, heads: int = 1) -> None:
    """CheckpointError unless the channels of every block divide evenly into groups and heads."""
    for what, n in {"groups": groups, "heads": heads}.items():
        if any(c % n for c in channels):
            raise CheckpointError(f"{file}: channels {list(channels)} cannot be divided into {n} {what}")


def _expect(file: str, config: Mapping[str, Any], **expected: Any) -> None:
    """CheckpointError unless every field is absent or has SD v1's value."""
    other = [f"{k} = {config[k]!r} (SD v1: {v!r})" for k, v in expected.items() if config.get(k, v) != v]
    if other:
        raise CheckpointError(f"{file} is not of the Stable Diffusion v1 family: " + "; ".join(other))

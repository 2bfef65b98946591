"""What distinguishes one SD v1.x checkpoint from another, as frozen dataclasses.

The sizes are those of "High-Resolution Image Synthesis with Latent Diffusion Models" (Rombach et al.,
CVPR 2022) as released in Stable Diffusion v1.4; `from_dict` reads the config.json files that a folder in
diffusers layout carries and refuses what this code does not implement (SD 2, SDXL, ...) by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .base.arguments import shown
from .base.errors import CheckpointError

CONTEXT = 77  # tokens of a prompt, [SOT] and [EOT] included


@dataclass(frozen=True)
class UNetConfig:
    """The denoiser. Defaults: SD v1.4."""

    in_channels: int = 4
    out_channels: int = 4
    channels: tuple[int, ...] = (320, 640, 1280, 1280)  # one entry a resolution, finest first
    attention: tuple[bool, ...] = (True, True, True, False)  # which resolutions have transformers
    layers: int = 2  # residual blocks a resolution on the way down; one more on the way up
    heads: int = 8
    context_dim: int = 768  # width of the text embeddings
    groups: int = 32  # GroupNorm
    sample_size: int = 64  # side of the latents the model was trained on

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> UNetConfig:
        """Read unet/config.json of a diffusers folder.

        Raises CheckpointError, naming the field, where the file asks for an architecture other than SD v1's.
        """
        _refuse_other_unets(config)
        down = config.get("down_block_types") or ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
        up = config.get("up_block_types") or ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
        mirror = {"CrossAttnDownBlock2D": "CrossAttnUpBlock2D", "DownBlock2D": "UpBlock2D"}
        lists = isinstance(down, list | tuple) and isinstance(up, list | tuple)
        if not lists or not all(k in list(mirror) for k in down) or list(up) != [mirror[k] for k in down[::-1]]:
            raise CheckpointError(
                f"unet/config.json: down_block_types {down} with up_block_types {up} is not an SD v1 UNet "
                "(CrossAttnDownBlock2D and DownBlock2D, mirrored on the way up)"
            )
        attention = tuple(kind == "CrossAttnDownBlock2D" for kind in down)
        read = config_reader("unet/config.json", config)
        # diffusers' `attention_head_dim` of SD v1 files is really the number of heads
        heads = "num_attention_heads" if config.get("num_attention_heads") else "attention_head_dim"
        unet = cls(
            in_channels=read("in_channels", cls.in_channels),
            out_channels=read("out_channels", cls.out_channels),
            channels=read("block_out_channels", cls.channels),
            attention=attention,
            layers=read("layers_per_block", cls.layers, most=BLOCKS),
            heads=read(heads, cls.heads),
            context_dim=read("cross_attention_dim", cls.context_dim),
            groups=read("norm_num_groups", cls.groups),
            sample_size=read("sample_size", cls.sample_size),
        )
        if unet.in_channels != unet.out_channels:
            raise CheckpointError(
                f"unet/config.json has {unet.in_channels} channels in and {unet.out_channels} out: a UNet "
                "for inpainting or for editing by instruction; minisd reads Stable Diffusion v1.x"
            )
        if len(unet.channels) != len(attention):
            raise CheckpointError(
                f"unet/config.json has {len(attention)} down_block_types for the {len(unet.channels)} "
                "resolutions of block_out_channels"
            )
        _divisible("unet/config.json", unet.channels, unet.groups, unet.heads)
        return unet


@dataclass(frozen=True)
class VAEConfig:
    """The autoencoder. Defaults: SD v1.4 (512 x 512 x 3 <-> 64 x 64 x 4)."""

    in_channels: int = 3
    latent_channels: int = 4
    channels: tuple[int, ...] = (128, 256, 512, 512)  # finest first; each step but the last halves the side
    layers: int = 2
    groups: int = 32
    scaling: float = 0.18215  # makes the latents' standard deviation about 1

    @property
    def factor(self) -> int:
        """Pixels a latent, along one side: 8 in SD."""
        return 2 ** (len(self.channels) - 1)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> VAEConfig:
        """Read vae/config.json of a diffusers folder (old files lack the scaling factor)."""
        _expect(
            config,
            "vae/config.json",
            act_fn="silu",
            mid_block_add_attention=True,
            use_quant_conv=True,
            use_post_quant_conv=True,
            shift_factor=None,
            latents_mean=None,
        )
        read = config_reader("vae/config.json", config)
        vae = cls(
            in_channels=read("in_channels", cls.in_channels),
            latent_channels=read("latent_channels", cls.latent_channels),
            channels=read("block_out_channels", cls.channels),
            layers=read("layers_per_block", cls.layers, most=BLOCKS),
            groups=read("norm_num_groups", cls.groups),
            scaling=read("scaling_factor", cls.scaling),
        )
        _divisible("vae/config.json", vae.channels, vae.groups)
        return vae


@dataclass(frozen=True)
class ScheduleConfig:
    """The noise schedule: beta runs from `beta_start` to `beta_end`, linear in its square root."""

    beta_start: float = 0.00085
    beta_end: float = 0.012
    train_steps: int = 1000
    offset: int = 1  # SD v1 was trained on t = 0..999 and is sampled at 1, 21, 41, ...
    final_alpha_one: bool = False  # False: the last step goes to alpha_bar[0] and not to 1

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> ScheduleConfig:
        """Read scheduler/scheduler_config.json; PNDM's and others' files name the same schedule."""
        _expect(
            config,
            "scheduler/scheduler_config.json",
            beta_schedule="scaled_linear",
            prediction_type="epsilon",
            trained_betas=None,
            rescale_betas_zero_snr=False,
        )
        read = config_reader("scheduler/scheduler_config.json", config)
        schedule = cls(
            beta_start=read("beta_start", cls.beta_start),
            beta_end=read("beta_end", cls.beta_end),
            train_steps=read("num_train_timesteps", cls.train_steps),
            offset=read("steps_offset", cls.offset, least=0),
            final_alpha_one=read("set_alpha_to_one", cls.final_alpha_one),
        )
        if not schedule.beta_start <= schedule.beta_end < 1:
            raise CheckpointError(
                f"scheduler/scheduler_config.json: beta runs from {schedule.beta_start} to {schedule.beta_end}; "
                "expected rising values below 1"
            )
        if schedule.offset >= schedule.train_steps:
            raise CheckpointError(
                f"scheduler/scheduler_config.json: steps_offset = {schedule.offset}; expected less than the "
                f"{schedule.train_steps} steps of num_train_timesteps"
            )
        return schedule


@dataclass(frozen=True)
class TextConfig:
    """CLIP's text transformer. Defaults: ViT-L/14, the text encoder of SD v1.4."""

    vocab_size: int = 49408
    dim: int = 768  # width of the embeddings, the UNet's context_dim
    hidden: int = 3072  # width inside the MLPs
    layers: int = 12
    heads: int = 12
    positions: int = CONTEXT  # the longest prompt, [SOT] and [EOT] included
    activation: str = "quick_gelu"  # or "gelu"
    eps: float = 1e-5  # of the LayerNorms

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], file: str = "text_encoder/config.json") -> TextConfig:
        """Read text_encoder/config.json: the fields that shape the network, and no others.

        A field that the file leaves out has the default of the library that wrote it, which is not ViT-L/14's.
        """
        if config.get("model_type", "clip_text_model") not in ("clip_text_model", "clip"):
            raise CheckpointError(
                f"{file} is of a text encoder of the kind {config['model_type']!r}; SD v1 has clip_text_model"
            )
        read = config_reader(file, config)
        text = cls(
            vocab_size=read("vocab_size", 49408),
            dim=read("hidden_size", 512),
            hidden=read("intermediate_size", 2048),
            layers=read("num_hidden_layers", 12, most=LAYERS),
            heads=read("num_attention_heads", 8),
            positions=read("max_position_embeddings", CONTEXT, least=CONTEXT),
            activation=read_activation(file, config),
            eps=read("layer_norm_eps", 1e-5),
        )
        _divisible(file, (text.dim,), 1, text.heads)
        return text


def read_activation(file: str, config: Mapping[str, Any]) -> str:
    """The activation of CLIP's MLPs; CheckpointError for one that no CLIP of SD v1 has."""
    name = config.get("hidden_act") or "quick_gelu"
    if name not in ("quick_gelu", "gelu"):
        raise CheckpointError(f"{file}: hidden_act = {name!r}; expected quick_gelu or gelu")
    return name


@dataclass(frozen=True)
class Config:
    """The shape of a whole checkpoint. `Config()` is SD v1.4 / v1.5."""

    unet: UNetConfig = UNetConfig()
    vae: VAEConfig = VAEConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    text: TextConfig = TextConfig()


SD14 = Config()


def _refuse_other_unets(config: Mapping[str, Any]) -> None:
    name = "unet/config.json"
    if config.get("addition_embed_type") or config.get("transformer_layers_per_block", 1) != 1:
        raise CheckpointError(f"{name} is an SDXL UNet; minisd reads Stable Diffusion v1.x")
    if config.get("time_cond_proj_dim") is not None:
        raise CheckpointError(
            f"{name} is the UNet of a latent-consistency model, which reads the guidance (time_cond_proj_dim); minisd "
            "reads Stable Diffusion v1.x"
        )
    if config.get("use_linear_projection") or isinstance(config.get("attention_head_dim", 8), list):
        raise CheckpointError(
            f"{name} is a Stable Diffusion 2.x UNet (linear projections); minisd reads Stable Diffusion v1.x"
        )
    _expect(
        config,
        name,
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


MOST = 2**16  # of any size: SD v1.4's largest is the vocabulary, 49408
LAYERS = 100  # of a transformer: a damaged number would otherwise have modules built for hours
BLOCKS = 16  # residual blocks per resolution, and resolutions


def config_reader(file: str, config: Mapping[str, Any]) -> Callable[..., Any]:
    """read(name, default): the field (absent or null: the default), which must be of the default's kind."""

    def read(name: str, default: Any, least: int = 1, most: int = MOST) -> Any:
        value = config.get(name)
        if value is None:
            return default

        def whole(v: object) -> bool:
            return isinstance(v, int) and not isinstance(v, bool) and least <= v <= most

        if isinstance(default, tuple):
            kind = f"a list of at most {BLOCKS} whole numbers from {least} to {most}"
            fits = isinstance(value, list | tuple) and 0 < len(value) <= BLOCKS and all(map(whole, value))
        elif isinstance(default, bool):
            kind, fits = "true or false", isinstance(value, bool)
        elif isinstance(default, int):
            kind, fits = f"a whole number from {least} to {most}", whole(value)
        else:
            kind = f"a positive number, at most {MOST}"
            fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MOST
        if not fits:
            raise CheckpointError(f"{file}: {name} = {shown(value)}; expected {kind}")
        return tuple(value) if isinstance(default, tuple) else value

    return read


def _divisible(file: str, channels: tuple[int, ...], groups: int, heads: int = 1) -> None:
    """CheckpointError unless every block's channels can be shared out evenly."""
    for what, n in {"groups": groups, "heads": heads}.items():
        if any(c % n for c in channels):
            raise CheckpointError(f"{file}: channels {list(channels)} cannot be divided into {n} {what}")


def _expect(config: Mapping[str, Any], file: str, **expected: Any) -> None:
    """Every field must be absent or as SD v1 has it."""
    other = [f"{k} = {config[k]!r} (SD v1: {v!r})" for k, v in expected.items() if config.get(k, v) != v]
    if other:
        raise CheckpointError(f"{file} is not of the Stable Diffusion v1 family: " + "; ".join(other))

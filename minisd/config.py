"""What distinguishes one SD v1.x checkpoint from another, as frozen dataclasses.

The sizes are those of "High-Resolution Image Synthesis with Latent Diffusion Models" (Rombach et al.,
CVPR 2022) as released in Stable Diffusion v1.4; `from_dict` reads the config.json files that a folder in
diffusers layout carries and refuses what this code does not implement (SD 2, SDXL, ...) by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import CheckpointError


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
        down = config.get("down_block_types", ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",))
        up = config.get("up_block_types", ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3)
        attention = tuple(kind == "CrossAttnDownBlock2D" for kind in down)
        mirrored = tuple(kind == "CrossAttnUpBlock2D" for kind in reversed(up))
        known = {"CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"}
        if attention != mirrored or not known.issuperset((*down, *up)):
            raise CheckpointError(
                f"unet/config.json: down_block_types {list(down)} with up_block_types {list(up)} is not an SD v1 "
                "UNet (CrossAttnDownBlock2D and DownBlock2D, mirrored on the way up)"
            )
        # diffusers' `attention_head_dim` of SD v1 files is really the number of heads
        heads = config.get("num_attention_heads") or config.get("attention_head_dim", 8)
        return cls(
            in_channels=config.get("in_channels", 4),
            out_channels=config.get("out_channels", 4),
            channels=tuple(config.get("block_out_channels", cls.channels)),
            attention=attention,
            layers=config.get("layers_per_block", 2),
            heads=heads,
            context_dim=config.get("cross_attention_dim", 768),
            groups=config.get("norm_num_groups", 32),
            sample_size=config.get("sample_size", 64),
        )


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
        return cls(
            in_channels=config.get("in_channels", 3),
            latent_channels=config.get("latent_channels", 4),
            channels=tuple(config.get("block_out_channels", cls.channels)),
            layers=config.get("layers_per_block", 2),
            groups=config.get("norm_num_groups", 32),
            scaling=config.get("scaling_factor", cls.scaling),
        )


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
        return cls(
            beta_start=config.get("beta_start", cls.beta_start),
            beta_end=config.get("beta_end", cls.beta_end),
            train_steps=config.get("num_train_timesteps", cls.train_steps),
            offset=config.get("steps_offset", cls.offset),
            final_alpha_one=config.get("set_alpha_to_one", cls.final_alpha_one),
        )


# CLIP ViT-L/14's text tower, as keyword arguments of transformers.CLIPTextConfig
CLIP_L: dict[str, Any] = dict(
    vocab_size=49408,
    hidden_size=768,
    intermediate_size=3072,
    num_hidden_layers=12,
    num_attention_heads=12,
    max_position_embeddings=77,
    projection_dim=768,
    hidden_act="quick_gelu",
    bos_token_id=49406,
    eos_token_id=49407,
    pad_token_id=49407,
)


@dataclass(frozen=True)
class Config:
    """A whole checkpoint's shape. `Config()` is SD v1.4 / v1.5."""

    unet: UNetConfig = UNetConfig()
    vae: VAEConfig = VAEConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    text: Mapping[str, Any] = field(default_factory=lambda: CLIP_L)


SD14 = Config()


def _refuse_other_unets(config: Mapping[str, Any]) -> None:
    name = "unet/config.json"
    if config.get("addition_embed_type") or config.get("transformer_layers_per_block", 1) != 1:
        raise CheckpointError(f"{name} is an SDXL UNet; minisd reads Stable Diffusion v1.x")
    if config.get("use_linear_projection") or isinstance(config.get("attention_head_dim", 8), list):
        raise CheckpointError(f"{name} is an SD 2 UNet (linear projections); minisd reads Stable Diffusion v1.x")
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


def _expect(config: Mapping[str, Any], file: str, **expected: Any) -> None:
    """Every field must be absent or as SD v1 has it."""
    other = [f"{k} = {config[k]!r} (SD v1: {v!r})" for k, v in expected.items() if config.get(k, v) != v]
    if other:
        raise CheckpointError(f"{file} is not of the Stable Diffusion v1 family: " + "; ".join(other))

"""The sizes of an SD v1.x checkpoint, as frozen dataclasses.

The defaults are those of "High-Resolution Image Synthesis with Latent Diffusion Models" (Rombach et al., CVPR 2022)
as released in Stable Diffusion v1.4. `minisd/loading/config_files.py` fills them from a checkpoint's config.json files.
"""

from __future__ import annotations

from dataclasses import dataclass

CONTEXT = 77  # tokens of a prompt, with [SOT] and [EOT]


@dataclass(frozen=True)
class UNetConfig:
    """The denoiser. Defaults: SD v1.4."""

    in_channels: int = 4
    out_channels: int = 4
    channels: tuple[int, ...] = (320, 640, 1280, 1280)  # one entry per resolution, finest first
    attention: tuple[bool, ...] = (True, True, True, False)  # which resolutions have transformers
    layers: int = 2  # residual blocks per resolution in the down path; the up path has one more
    heads: int = 8
    context_dim: int = 768  # width of the text embeddings
    groups: int = 32  # GroupNorm
    sample_size: int = 64  # side of the latents that the model was trained on


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
        """Pixels per latent along one side: 8 in SD."""
        return 2 ** (len(self.channels) - 1)


@dataclass(frozen=True)
class ScheduleConfig:
    """The noise schedule: √β rises linearly from √beta_start to √beta_end."""

    beta_start: float = 0.00085
    beta_end: float = 0.012
    train_steps: int = 1000
    offset: int = 1  # SD v1 was trained on t = 0..999 and is sampled at 1, 21, 41, ...
    final_alpha_one: bool = False  # False: the last step goes to alpha_bar[0] and not to 1


@dataclass(frozen=True)
class TextConfig:
    """CLIP's text transformer. Defaults: ViT-L/14, the text encoder of SD v1.4."""

    vocab_size: int = 49408
    dim: int = 768  # width of the embeddings, the UNet's context_dim
    hidden: int = 3072  # width inside the MLPs
    layers: int = 12
    heads: int = 12
    positions: int = CONTEXT  # the longest prompt, with [SOT] and [EOT]
    activation: str = "quick_gelu"  # or "gelu"
    eps: float = 1e-5  # of the LayerNorms


@dataclass(frozen=True)
class Config:
    """The sizes of a whole checkpoint. `Config()` is SD v1.4 / v1.5."""

    unet: UNetConfig = UNetConfig()
    vae: VAEConfig = VAEConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    text: TextConfig = TextConfig()


SD14 = Config()

"""The autoencoder of Stable Diffusion v1.x: pictures (B,3,8h,8w) in [-1,1] <-> latents (B,4,h,w).

Rombach et al. 2022, section 3.1 and appendix G; Kingma & Welling 2014. Modules have the names of the diffusers state
dict. GroupNorm's eps is 1e-6 everywhere.
"""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .config import VAEConfig
from .unet import ResidualBlock


def _residual(dim_in: int, dim_out: int, groups: int) -> ResidualBlock:
    return ResidualBlock(dim_in, dim_out, groups, eps=1e-6)


class PixelAttention(nn.Module):
    """One head over all pixels of the coarsest feature map."""

    def __init__(self, dim: int, groups: int):
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, dim, eps=1e-6)
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])

    def forward(self, x: Tensor) -> Tensor:
        h = rearrange(self.group_norm(x), "b c h w -> b 1 (h w) c")
        h = self.to_out[0](F.scaled_dot_product_attention(self.to_q(h), self.to_k(h), self.to_v(h)))
        return x + rearrange(h, "b 1 (h w) c -> b c h w", h=x.shape[2])


class MidBlock(nn.Module):
    def __init__(self, dim: int, groups: int):
        super().__init__()
        self.resnets = nn.ModuleList([_residual(dim, dim, groups) for _ in range(2)])
        self.attentions = nn.ModuleList([PixelAttention(dim, groups)])

    def forward(self, x: Tensor) -> Tensor:
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Downsample(nn.Module):
    """Convolution of stride 2. The padding is one column at the right and one row at the bottom, and none elsewhere."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class DownBlock(nn.Module):
    def __init__(self, dim_in: int, dim: int, layers: int, groups: int, down: bool):
        super().__init__()
        self.resnets = nn.ModuleList([_residual(dim if n else dim_in, dim, groups) for n in range(layers)])
        self.downsamplers = nn.ModuleList([Downsample(dim)] if down else [])

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.resnets, *self.downsamplers):
            x = layer(x)
        return x


class UpBlock(nn.Module):
    def __init__(self, dim_in: int, dim: int, layers: int, groups: int, up: bool):
        super().__init__()
        self.resnets = nn.ModuleList([_residual(dim if n else dim_in, dim, groups) for n in range(layers)])
        self.upsamplers = nn.ModuleList([Upsample(dim)] if up else [])

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.resnets, *self.upsamplers):
            x = layer(x)
        return x


class Encoder(nn.Module):
    def __init__(self, c: VAEConfig):
        super().__init__()
        coarsest = len(c.channels) - 1
        self.conv_in = nn.Conv2d(c.in_channels, c.channels[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            [
                DownBlock(c.channels[max(i - 1, 0)], dim, c.layers, c.groups, down=i < coarsest)
                for i, dim in enumerate(c.channels)
            ]
        )
        self.mid_block = MidBlock(c.channels[-1], c.groups)
        self.conv_norm_out = nn.GroupNorm(c.groups, c.channels[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(c.channels[-1], 2 * c.latent_channels, 3, padding=1)  # mean and log variance

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    def __init__(self, c: VAEConfig):
        super().__init__()
        dims = tuple(reversed(c.channels))
        finest = len(dims) - 1
        self.conv_in = nn.Conv2d(c.latent_channels, dims[0], 3, padding=1)
        self.mid_block = MidBlock(dims[0], c.groups)
        self.up_blocks = nn.ModuleList(
            [UpBlock(dims[max(i - 1, 0)], dim, c.layers + 1, c.groups, up=i < finest) for i, dim in enumerate(dims)]
        )
        self.conv_norm_out = nn.GroupNorm(c.groups, dims[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(dims[-1], c.in_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class AutoencoderKL(nn.Module):
    def __init__(self, config: VAEConfig):
        super().__init__()
        self.config = config
        n = config.latent_channels
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = nn.Conv2d(2 * n, 2 * n, 1)
        self.post_quant_conv = nn.Conv2d(n, n, 1)

    def encode(self, x: Tensor) -> Tensor:
        """x (B,3,H,W) in [-1,1] -> the mean of the posterior, scaled: z (B,4,H/8,W/8)."""
        mean, _log_variance = self.quant_conv(self.encoder(x)).chunk(2, dim=1)
        return mean * self.config.scaling

    def decode(self, z: Tensor) -> Tensor:
        """Scaled latents z (B,4,h,w) -> x (B,3,8h,8w), mostly within [-1,1] (not clamped)."""
        return self.decoder(self.post_quant_conv(z / self.config.scaling))

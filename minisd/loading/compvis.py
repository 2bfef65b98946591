"""The table from the keys of our modules (diffusers names) to those of CompVis' single files (v1-4, v1-5).

Each part has a list of rules, which are applied in order. A rule is a regular expression and its replacement; a
function replaces the number of a block if the layouts count differently. CompVis numbers all blocks of the UNet in one
row: `input_blocks.0` is conv_in, and every residual block and every downsampler has the next number. diffusers numbers
the blocks of each resolution separately.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from re import Match

Rule = tuple[str, str | Callable[[Match[str]], str]]


def unet_rules(layers: int, resolutions: int, attention: tuple[bool, ...]) -> list[Rule]:
    """layers: residual blocks per resolution (2 in SD); attention: which resolutions have it, finest first."""

    # conv_in is number 0; each resolution has `layers` blocks and a downsampler
    def down(m: Match[str]) -> str:
        return f"input_blocks.{1 + int(m[1]) * (layers + 1) + int(m[3])}.{'0' if m[2] == 'resnets' else '1'}."

    def downsampler(m: Match[str]) -> str:
        return f"input_blocks.{(int(m[1]) + 1) * (layers + 1)}.0.op."

    def up(m: Match[str]) -> str:
        return f"output_blocks.{int(m[1]) * (layers + 1) + int(m[3])}.{'0' if m[2] == 'resnets' else '1'}."

    # it has the number of the last block, and comes after the block's transformer if there is one
    def upsampler(m: Match[str]) -> str:
        b = int(m[1])
        return f"output_blocks.{b * (layers + 1) + layers}.{2 if attention[resolutions - 1 - b] else 1}.conv."

    return [
        # inside a residual block, before the block itself is renamed
        (r"(resnets\.\d+)\.norm1\.", r"\1.in_layers.0."),
        (r"(resnets\.\d+)\.conv1\.", r"\1.in_layers.2."),
        (r"(resnets\.\d+)\.time_emb_proj\.", r"\1.emb_layers.1."),
        (r"(resnets\.\d+)\.norm2\.", r"\1.out_layers.0."),
        (r"(resnets\.\d+)\.conv2\.", r"\1.out_layers.3."),
        (r"(resnets\.\d+)\.conv_shortcut\.", r"\1.skip_connection."),
        # the blocks
        (r"^time_embedding\.linear_1\.", "time_embed.0."),
        (r"^time_embedding\.linear_2\.", "time_embed.2."),
        (r"^conv_in\.", "input_blocks.0.0."),
        (r"^conv_norm_out\.", "out.0."),
        (r"^conv_out\.", "out.2."),
        (r"^mid_block\.resnets\.0\.", "middle_block.0."),
        (r"^mid_block\.attentions\.0\.", "middle_block.1."),
        (r"^mid_block\.resnets\.1\.", "middle_block.2."),
        (r"^down_blocks\.(\d+)\.downsamplers\.0\.conv\.", downsampler),
        (r"^up_blocks\.(\d+)\.upsamplers\.0\.conv\.", upsampler),
        (r"^down_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.", down),
        (r"^up_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.", up),
    ]


def vae_rules(resolutions: int) -> list[Rule]:
    def up(m: Match[str]) -> str:  # CompVis counts the decoder's resolutions from the finest
        return f"decoder.up.{resolutions - 1 - int(m[1])}."

    return [
        (r"^encoder\.down_blocks\.", "encoder.down."),
        (r"^decoder\.up_blocks\.(\d+)\.", up),
        (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
        (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
        (r"\.mid_block\.attentions\.0\.", ".mid.attn_1."),
        (r"\.resnets\.", ".block."),
        (r"\.downsamplers\.0\.", ".downsample."),
        (r"\.upsamplers\.0\.", ".upsample."),
        (r"\.conv_norm_out\.", ".norm_out."),
        (r"\.conv_shortcut\.", ".nin_shortcut."),
        (r"\.attn_1\.group_norm\.", ".attn_1.norm."),
        (r"\.attn_1\.to_([qkv])\.", r".attn_1.\1."),
        (r"\.attn_1\.to_out\.0\.", ".attn_1.proj_out."),
    ]


UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."

# keys that most files have beside the weights: training state, the schedule's tables, integer buffers
IGNORED = re.compile(
    r"model_ema\..*|.*\.position_ids|first_stage_model\.(loss\..*|logvar)"
    r"|(alphas_cumprod|alphas_cumprod_prev|betas|sqrt_.*|log_one_minus_.*|posterior_.*|logvar|lvlb_weights"
    r"|scale_factor|global_step|cond_stage_model\.(transformer\.)?(logit_scale|text_projection.*))"
)

# keys that some files have and no picture depends on: noise tables of other programs, CLIP's projection of the text,
# words learned by textual inversion. They are ignored, with a warning that names them
HARMLESS = re.compile(
    r"(model_sampling|denoiser|embedding_manager)\..*|(.*\.)?(text_projection(\.weight)?|logit_scale)|first_stage_model\."
    r"(model_ema|discriminator)\..*"
)


def rename(key: str, rules: list[Rule]) -> str:
    """Our module's key -> CompVis' key without the part's prefix."""
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def ema_key(key: str) -> str:
    """The key of the moving average of a UNet weight: the name without `model.` and without its dots."""
    return "model_ema." + ("diffusion_model." + key).replace(".", "")

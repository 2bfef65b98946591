"""The table of CompVis' keys: complete, without collisions, and equal to the public files."""

import re

import pytest
import torch
from checkpoints import compvis_names, tiny_config
from hypothesis import given, settings
from hypothesis import strategies as st

from minisd import SD14, AutoencoderKL, Config, UNet, UNetConfig, VAEConfig
from minisd.loading import compvis

pytestmark = pytest.mark.quick

# keys of sd-v1-4.ckpt, by hand from CompVis' ldm/modules/diffusionmodules/{openaimodel,model}.py
KNOWN = {
    "unet": {
        "time_embedding.linear_1.weight": "time_embed.0.weight",
        "time_embedding.linear_2.bias": "time_embed.2.bias",
        "conv_in.weight": "input_blocks.0.0.weight",
        "down_blocks.0.resnets.0.norm1.weight": "input_blocks.1.0.in_layers.0.weight",
        "down_blocks.0.resnets.0.conv1.weight": "input_blocks.1.0.in_layers.2.weight",
        "down_blocks.0.resnets.0.time_emb_proj.bias": "input_blocks.1.0.emb_layers.1.bias",
        "down_blocks.0.attentions.1.norm.weight": "input_blocks.2.1.norm.weight",
        "down_blocks.0.downsamplers.0.conv.weight": "input_blocks.3.0.op.weight",
        "down_blocks.1.resnets.0.conv_shortcut.weight": "input_blocks.4.0.skip_connection.weight",
        "down_blocks.2.attentions.0.transformer_blocks.0.attn2.to_k.weight": (
            "input_blocks.7.1.transformer_blocks.0.attn2.to_k.weight"
        ),
        "down_blocks.2.downsamplers.0.conv.bias": "input_blocks.9.0.op.bias",
        "down_blocks.3.resnets.1.conv2.weight": "input_blocks.11.0.out_layers.3.weight",
        "mid_block.resnets.0.norm2.bias": "middle_block.0.out_layers.0.bias",
        "mid_block.attentions.0.proj_in.weight": "middle_block.1.proj_in.weight",
        "mid_block.resnets.1.conv1.weight": "middle_block.2.in_layers.2.weight",
        "up_blocks.0.resnets.0.conv1.weight": "output_blocks.0.0.in_layers.2.weight",
        "up_blocks.0.upsamplers.0.conv.weight": "output_blocks.2.1.conv.weight",
        "up_blocks.1.upsamplers.0.conv.bias": "output_blocks.5.2.conv.bias",
        "up_blocks.2.upsamplers.0.conv.weight": "output_blocks.8.2.conv.weight",
        "up_blocks.1.attentions.0.transformer_blocks.0.ff.net.0.proj.weight": (
            "output_blocks.3.1.transformer_blocks.0.ff.net.0.proj.weight"
        ),
        "up_blocks.3.attentions.2.proj_out.weight": "output_blocks.11.1.proj_out.weight",
        "conv_norm_out.weight": "out.0.weight",
        "conv_out.bias": "out.2.bias",
    },
    "vae": {
        "encoder.conv_in.weight": "encoder.conv_in.weight",
        "encoder.down_blocks.0.downsamplers.0.conv.weight": "encoder.down.0.downsample.conv.weight",
        "encoder.down_blocks.1.resnets.0.conv_shortcut.weight": "encoder.down.1.block.0.nin_shortcut.weight",
        "encoder.mid_block.attentions.0.to_q.weight": "encoder.mid.attn_1.q.weight",
        "encoder.mid_block.resnets.1.norm1.bias": "encoder.mid.block_2.norm1.bias",
        "encoder.conv_norm_out.bias": "encoder.norm_out.bias",
        "decoder.mid_block.attentions.0.group_norm.weight": "decoder.mid.attn_1.norm.weight",
        "decoder.mid_block.attentions.0.to_out.0.weight": "decoder.mid.attn_1.proj_out.weight",
        "decoder.up_blocks.0.resnets.2.conv1.weight": "decoder.up.3.block.2.conv1.weight",
        "decoder.up_blocks.0.upsamplers.0.conv.weight": "decoder.up.3.upsample.conv.weight",
        "decoder.up_blocks.3.resnets.0.conv_shortcut.bias": "decoder.up.0.block.0.nin_shortcut.bias",
        "quant_conv.weight": "quant_conv.weight",
        "post_quant_conv.bias": "post_quant_conv.bias",
    },
}
PREFIX = {"unet": "model.diffusion_model.", "vae": "first_stage_model."}


def keys(config, part):
    with torch.device("meta"):
        module = UNet(config.unet) if part == "unet" else AutoencoderKL(config.vae)
    return list(module.state_dict())


@pytest.mark.parametrize("part", KNOWN)
def test_well_known_keys(part):
    names = compvis_names(SD14, part, keys(SD14, part))
    assert {key: names[key] for key in KNOWN[part]} == {k: PREFIX[part] + n for k, n in KNOWN[part].items()}


def test_sizes_are_those_of_the_public_file():
    """686 + 248 tensors of UNet and VAE, as in sd-v1-4.ckpt."""
    assert len(keys(SD14, "unet")) == 686
    assert len(keys(SD14, "vae")) == 248


def check_table(config, part, ema):
    ours = keys(config, part)
    names = compvis_names(config, part, ours, ema)
    assert len(set(names.values())) == len(ours)
    diffusers_says = re.compile("resnets|attentions|samplers|mid_block|up_blocks|down_blocks|conv_|group_norm|_proj")
    ours_too = re.compile(r"conv_(in|out)|time_embed|(emb|skip)_|proj_(in|out)")
    assert [n for n in names.values() if diffusers_says.search(ours_too.sub("", n))] == []


@pytest.mark.parametrize("config", [SD14, tiny_config()], ids=["SD14", "tiny"])
@pytest.mark.parametrize("part, ema", [("unet", False), ("unet", True), ("vae", False)])
def test_every_key_has_a_name_of_its_own(config, part, ema):
    check_table(config, part, ema)


@st.composite
def configs(draw):
    """UNets and VAEs of other depths: the computed numbers must be right for these, too."""
    attention = tuple(draw(st.lists(st.booleans(), min_size=1, max_size=5)))
    channels = (32,) * len(attention)
    unet = UNetConfig(channels=channels, attention=attention, layers=draw(st.integers(1, 4)), heads=4, context_dim=8)
    vae = VAEConfig(channels=(32,) * draw(st.integers(1, 5)), layers=draw(st.integers(1, 3)))
    return Config(unet=unet, vae=vae)


@settings(max_examples=10, deadline=None)
@given(configs())
def test_table_of_any_depth(config):
    check_table(config, "unet", False)
    check_table(config, "vae", False)
    names = compvis_names(config, "unet", keys(config, "unet")).values()
    blocks = len(config.unet.channels) * (config.unet.layers + 1)
    for row in ("input", "output"):  # consecutive numbers
        numbers = {int(m[1]) for n in names if (m := re.search(rf"{row}_blocks\.(\d+)\.", n))}
        assert numbers == set(range(blocks))


def test_ema_names():
    """LitEma writes the names after `model.` without their dots."""
    assert compvis.ema_key("input_blocks.0.0.weight") == "model_ema.diffusion_modelinput_blocks00weight"


@pytest.mark.parametrize(
    "key",
    [
        "model_ema.decay",
        "model_ema.num_updates",
        "model_ema.diffusion_modeltime_embed0weight",
        "betas",
        "alphas_cumprod",
        "alphas_cumprod_prev",
        "sqrt_one_minus_alphas_cumprod",
        "log_one_minus_alphas_cumprod",
        "posterior_log_variance_clipped",
        "logvar",
        "lvlb_weights",
        "global_step",
        "cond_stage_model.transformer.text_model.embeddings.position_ids",
        "first_stage_model.loss.discriminator.main.0.weight",
        "cond_stage_model.logit_scale",
        "cond_stage_model.transformer.text_projection.weight",
    ],
)
def test_ignored(key):
    assert compvis.IGNORED.fullmatch(key)


@pytest.mark.parametrize("config", [SD14, tiny_config()], ids=["SD14", "tiny"])
@pytest.mark.parametrize("part", ["unet", "vae"])
def test_no_weight_is_ignored(config, part):
    """No key that a module needs is ignored as training state, in both layouts."""
    ours = keys(config, part)
    names = [*ours, *compvis_names(config, part, ours).values()]
    assert [n for n in names if compvis.IGNORED.fullmatch(n)] == []


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_diffusers_reads_the_same_names(part):
    """diffusers' converter gets a file with a different number for each key, and returns the numbers under our keys."""
    tools = pytest.importorskip("diffusers.loaders.single_file_utils")
    ours = keys(SD14, part)
    names = compvis_names(SD14, part, ours)
    single = {name: torch.tensor([[float(i)]]) for i, name in enumerate(names.values())}
    if part == "unet":
        found = tools.convert_ldm_unet_checkpoint(single, {"layers_per_block": 2})
    else:
        blocks = {"down_block_types": [""] * 4, "up_block_types": [""] * 4}
        found = tools.convert_ldm_vae_checkpoint(single, blocks)
    assert {k: float(t.flatten()[0]) for k, t in found.items()} == {k: float(i) for i, k in enumerate(ours)}

"""Configs: public checkpoints are read, other architectures are named, impossible values are named by their field."""

import json

import pytest
from checkpoints import TINY, V1_4
from hypothesis import given
from hypothesis import strategies as st

from minisd import SD14, CheckpointError, Config, UNetConfig, VAEConfig
from minisd.loading.config_files import schedule_config, unet_config, vae_config

pytestmark = pytest.mark.quick

READERS = {"unet": unet_config, "vae": vae_config, "scheduler": schedule_config}


def refused(part, fields, *words):
    with pytest.raises(CheckpointError) as caught:
        READERS[part](V1_4[part] | fields)
    file = "scheduler_config.json" if part == "scheduler" else f"{part}/config.json"
    for word in (file, *words):
        assert str(word) in str(caught.value)


def test_v1_4():
    read = {part: READERS[part](V1_4[part]) for part in READERS}
    assert Config(read["unet"], read["vae"], read["scheduler"], SD14.text) == SD14


@pytest.mark.parametrize("part", READERS)
def test_nothing_said_is_v1_4(part):
    assert READERS[part]({}) == getattr(SD14, {"scheduler": "schedule"}.get(part, part))


def test_tiny():
    unet = unet_config(json.loads((TINY / "unet" / "config.json").read_text()))
    vae = vae_config(json.loads((TINY / "vae" / "config.json").read_text()))
    assert unet == UNetConfig(channels=(64, 128, 192, 192), context_dim=192, sample_size=16)
    assert vae == VAEConfig(channels=(48, 96, 128, 128), layers=1, groups=16, scaling=0.5878306031227112)
    assert vae.factor == SD14.vae.factor == 8


def test_heads_by_either_name():
    assert unet_config({"attention_head_dim": 4}).heads == 4
    assert unet_config({"attention_head_dim": None, "num_attention_heads": 16}).heads == 16


# ---------------------------------------------------------------- other architectures

SD2 = {"attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True, "cross_attention_dim": 1024}
SDXL = {
    "addition_embed_type": "text_time",
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280],
    "transformer_layers_per_block": [1, 2, 10],
    "use_linear_projection": True,
}


@pytest.mark.parametrize(
    "part, fields, words",
    [
        ("unet", SD2, ("Stable Diffusion 2.x", "v1.x")),
        ("unet", SDXL, ("SDXL", "v1.x")),
        ("unet", {"in_channels": 9}, ("9 channels in", "inpainting")),
        ("unet", {"in_channels": 8}, ("8 channels in", "editing by instruction")),
        ("unet", {"class_embed_type": "timestep"}, ("class_embed_type", "'timestep'")),
        ("unet", {"resnet_time_scale_shift": "scale_shift"}, ("resnet_time_scale_shift",)),
        ("unet", {"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"}, ("mid_block_type",)),
        ("unet", {"act_fn": "gelu", "norm_eps": 1e-6}, ("act_fn = 'gelu' (SD v1: 'silu')", "norm_eps")),
        ("unet", {"down_block_types": ["SimpleCrossAttnDownBlock2D"] * 4}, ("SimpleCrossAttnDownBlock2D",)),
        ("unet", {"up_block_types": ["CrossAttnUpBlock2D"] * 4}, ("mirrored",)),
        ("vae", {"use_quant_conv": False, "shift_factor": 0.1}, ("use_quant_conv = False", "shift_factor = 0.1")),
        ("vae", {"latents_mean": [0.0] * 16}, ("latents_mean",)),
        ("scheduler", {"prediction_type": "v_prediction"}, ("prediction_type = 'v_prediction' (SD v1: 'epsilon')",)),
        ("scheduler", {"beta_schedule": "linear"}, ("beta_schedule = 'linear'",)),
        ("scheduler", {"rescale_betas_zero_snr": True}, ("rescale_betas_zero_snr",)),
        ("scheduler", {"trained_betas": [0.1]}, ("trained_betas",)),
    ],
)
def test_other_architectures(part, fields, words):
    refused(part, fields, *words)


# ---------------------------------------------------------------- nonsense


@pytest.mark.parametrize(
    "part, fields, words",
    [
        ("unet", {"block_out_channels": []}, ("block_out_channels = []", "whole numbers from 1 to")),
        ("unet", {"block_out_channels": [320, -1]}, ("[320, -1]",)),
        ("unet", {"block_out_channels": 320}, ("320", "list")),
        ("unet", {"block_out_channels": [320, 640]}, ("4 down_block_types", "2 resolutions")),
        ("unet", {"block_out_channels": [320, 640, 1280, 1290]}, ("1290", "32 groups")),
        ("unet", {"attention_head_dim": 7}, ("7 heads",)),
        ("unet", {"layers_per_block": 0}, ("layers_per_block = 0", "from 1 to 16")),
        ("unet", {"layers_per_block": "two"}, ("'two'",)),
        ("unet", {"layers_per_block": True}, ("True",)),
        ("unet", {"sample_size": 64.5}, ("64.5",)),
        ("unet", {"down_block_types": 4}, ("down_block_types 4",)),
        ("vae", {"scaling_factor": 0}, ("scaling_factor = 0", "positive number")),
        ("vae", {"scaling_factor": float("nan")}, ("nan",)),
        ("unet", {"layers_per_block": 10**9}, ("layers_per_block = 1000000000", "from 1 to 16")),
        ("unet", {"block_out_channels": [10**30]}, ("from 1 to 65536",)),
        ("unet", {"norm_num_groups": 10**5000}, ("<int>",)),
        ("vae", {"norm_num_groups": 24}, ("24 groups",)),
        ("scheduler", {"beta_end": 1.5}, ("from 0.00085 to 1.5", "below 1")),
        ("scheduler", {"beta_start": 0.5}, ("from 0.5 to 0.012", "rising")),
        ("scheduler", {"beta_start": 10**400}, ("beta_start",)),
        ("scheduler", {"steps_offset": 1000}, ("steps_offset = 1000", "less than the 1000")),
        ("scheduler", {"beta_end": "0.012"}, ("beta_end = '0.012'",)),
        ("scheduler", {"steps_offset": -1}, ("steps_offset = -1", "from 0 to")),
        ("scheduler", {"set_alpha_to_one": "no"}, ("'no'", "true or false")),
    ],
)
def test_nonsense_names_its_field(part, fields, words):
    refused(part, fields, *words)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=3), v, max_size=2),
    max_leaves=5,
)


@pytest.mark.parametrize("part", READERS)
@given(data=st.data())
def test_any_json_is_read_or_refused(part, data):
    """Any value in any field is read or raises CheckpointError, never another error."""
    fields = data.draw(st.dictionaries(st.sampled_from(sorted(V1_4[part])), json_values, max_size=8))
    try:
        READERS[part](V1_4[part] | fields)
    except CheckpointError as error:
        assert "config.json" in str(error)

"""config.json files are read back as they were, and the recipe has the committed model's sizes."""

from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from minisd import AutoencoderKL, TextEncoder, UNet, UNetConfig
from minisd.base.inputs import read_json
from minisd.loading import config_files, config_json
from minisd.loading.source import data_folder
from suppress.metrics.clip import Clip, VisionConfig
from suppress.metrics.detector import Network
from weights.tiny.train import configs
from weights.tiny.train.drawings import NAMES
from weights.tiny.train.recipe import MICRO, RECIPES, TINY

TINY_FOLDER = data_folder() / "tiny"


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_every_config_is_read_back(recipe):
    c = recipe.model
    vae = replace(c.vae, scaling=0.5)
    assert config_files.unet_config(config_json.unet_json(c.unet)) == c.unet
    assert config_files.vae_config(config_json.vae_json(vae, recipe.side)) == vae
    assert config_files.schedule_config(config_json.schedule_json(c.schedule)) == c.schedule
    clip = configs.clip_json(c.text, recipe.vision, recipe.projection)
    assert config_files.text_config(clip["text_config"]) == c.text
    assert VisionConfig.from_dict(clip["vision_config"], "") == recipe.vision
    assert clip["projection_dim"] == recipe.projection


def test_attention_in_some_resolutions_is_mirrored():
    c = UNetConfig(channels=(32, 32, 64), attention=(True, False, False))
    assert config_files.unet_config(config_json.unet_json(c)) == c


def test_sot_and_eot_are_the_last_tokens():
    text = config_json.text_json(replace(TINY.model.text, vocab_size=869), 192)
    committed = read_json(TINY_FOLDER / "text_encoder" / "config.json")
    assert {key: committed[key] for key in text if key in committed} == {
        k: v for k, v in text.items() if k in committed
    }


def test_the_recipe_has_the_sizes_of_the_committed_model(sd):
    """Every config, and every name and shape of the weights."""
    c = TINY.model
    assert (c.unet, c.schedule) == (sd.config.unet, sd.config.schedule)
    assert replace(c.vae, scaling=sd.config.vae.scaling) == sd.config.vae
    text = replace(c.text, vocab_size=869)
    assert text == sd.config.text
    with torch.device("meta"):
        clip = Clip(text, TINY.vision, TINY.projection)
        modules = {
            "unet": UNet(c.unet),
            "vae": AutoencoderKL(c.vae),
            "text_encoder": TextEncoder(text),
            "clip": clip,
            "detector": Network(len(NAMES)),
        }
    for part, module in modules.items():
        [file] = (TINY_FOLDER / part).glob("*.safetensors")
        with safe_open(file, "pt") as weights:
            shapes = {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}
        prefix = "text_model." if part == "text_encoder" else ""
        mine = {prefix + name: tuple(x.shape) for name, x in module.state_dict().items()}
        assert mine | ({"logit_scale": ()} if part == "clip" else {}) == shapes
    assert read_json(TINY_FOLDER / "model_index.json") == config_json.pipeline_json()


def test_the_side_is_that_of_the_pictures():
    assert (TINY.side, MICRO.side) == (128, 32)
    assert all(recipe.vision.image_size == recipe.side for recipe in RECIPES.values())

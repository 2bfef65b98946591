"""For the tests of loading: the embedded model as a checkpoint in every layout."""

import json
import os
import shutil
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import minisd
from minisd import Config, StableDiffusion
from minisd.loading import compvis
from minisd.loading.source import PARTS, data_folder, weight_files

TINY = data_folder() / "tiny"

# keys that CompVis files have beside the weights, as in sd-v1-4-full-ema.ckpt
EXTRAS = {
    "betas": torch.zeros(1000),
    "alphas_cumprod": torch.zeros(1000),
    "alphas_cumprod_prev": torch.zeros(1000),
    "sqrt_alphas_cumprod": torch.zeros(1000),
    "sqrt_one_minus_alphas_cumprod": torch.zeros(1000),
    "log_one_minus_alphas_cumprod": torch.zeros(1000),
    "posterior_mean_coef1": torch.zeros(1000),
    "logvar": torch.zeros(1000),
    "model_ema.decay": torch.tensor(0.9999),
    "model_ema.num_updates": torch.tensor(470000, dtype=torch.int32),
    "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
}

# the configs of the hub's CompVis/stable-diffusion-v1-4, which have fewer fields than newer ones
V1_4 = {
    "unet": {
        "_class_name": "UNet2DConditionModel",
        "act_fn": "silu",
        "attention_head_dim": 8,
        "block_out_channels": [320, 640, 1280, 1280],
        "center_input_sample": False,
        "cross_attention_dim": 768,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": 4,
        "layers_per_block": 2,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-05,
        "norm_num_groups": 32,
        "out_channels": 4,
        "sample_size": 64,
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    },
    "vae": {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "in_channels": 3,
        "latent_channels": 4,
        "layers_per_block": 2,
        "out_channels": 3,
        "sample_size": 512,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
    },
    "scheduler": {
        "_class_name": "PNDMScheduler",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "num_train_timesteps": 1000,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "trained_betas": None,
        "clip_sample": False,
    },
    "text_encoder": {
        "_name_or_path": "openai/clip-vit-large-patch14",
        "architectures": ["CLIPTextModel"],
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "dropout": 0.0,
        "eos_token_id": 2,
        "hidden_act": "quick_gelu",
        "hidden_size": 768,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 77,
        "model_type": "clip_text_model",
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "pad_token_id": 1,
        "torch_dtype": "float32",
        "transformers_version": "4.21.0.dev0",
        "vocab_size": 49408,
    },
}


def tiny_tensors(part: str) -> dict[str, Tensor]:
    """The tensors of one part of the embedded model: float16, diffusers names."""
    return load_file(weight_files(TINY)[part])


def tiny_folder(to: Path) -> Path:
    """The embedded model's folder, with links instead of files. A test that changes a file unlinks it first (`put`)."""
    return shutil.copytree(
        TINY, to, copy_function=os.symlink, ignore=shutil.ignore_patterns("clip", "detector", "*.md")
    )


def put(file: Path, tensors: Mapping[str, Tensor]) -> Path:
    """Writes a weight file in the format of its ending, and removes the other weight files of its folder."""
    for old in file.parent.glob("*"):
        if old.suffix in (".safetensors", ".bin"):
            old.unlink()
    return write(file, tensors)


def write(file: Path, tensors: Mapping[str, Tensor]) -> Path:
    if file.suffix == ".safetensors":
        save_file(dict(tensors), file, metadata={"format": "pt"})
    else:
        torch.save(dict(tensors), file)
    return file


def change_json(file: Path, **fields: Any) -> None:
    content = json.loads(file.read_text()) | fields
    file.unlink()  # it may be a link
    file.write_text(json.dumps(content))


def compvis_names(config: Config, module: str, keys: list[str], ema: bool = False) -> dict[str, str]:
    """Our key -> the key in a CompVis file."""
    if module == "unet":
        rules = compvis.unet_rules(config.unet.layers, len(config.unet.channels), config.unet.attention)
        names = {key: compvis.rename(key, rules) for key in keys}
        return {key: compvis.ema_key(n) if ema else compvis.UNET + n for key, n in names.items()}
    if module == "vae":
        rules = compvis.vae_rules(len(config.vae.channels))
        return {key: compvis.VAE + compvis.rename(key, rules) for key in keys}
    return {key: compvis.TEXT + key for key in keys}


def as_compvis(config: Config, parts: Mapping[str, Mapping[str, Tensor]], ema: bool = False) -> dict[str, Tensor]:
    """Tensors of diffusers files in CompVis' layout: renamed, and the VAE's attention as 1x1 convolutions.

    ema: the UNet's weights appear twice, also under their EMA names.
    """
    single = {}
    for part, tensors in parts.items():
        for key, name in compvis_names(config, part, list(tensors)).items():
            pixel_attention = ".mid.attn_1." in name and tensors[key].dim() == 2
            single[name] = tensors[key][:, :, None, None] if pixel_attention else tensors[key]
    if ema:
        names = compvis_names(config, "unet", list(parts["unet"]), ema=True)
        single |= {name: parts["unet"][key].clone() for key, name in names.items()}
    return single


def tiny_compvis(ema: bool = False) -> dict[str, Tensor]:
    """The embedded model's tensors as in a CompVis file."""
    return as_compvis(tiny_config(), {part: tiny_tensors(part) for part in PARTS}, ema)


@cache
def tiny_config() -> Config:
    return minisd.load("tiny", device="cpu").config


@contextmanager
def lightning() -> Iterator[type]:
    """A class of pytorch_lightning that public .ckpt files name. It can be pickled inside the block."""
    names = ("pytorch_lightning", "pytorch_lightning.callbacks", "pytorch_lightning.callbacks.model_checkpoint")
    modules = {name: types.ModuleType(name) for name in names}
    kind = type("ModelCheckpoint", (), {"__module__": names[-1]})
    modules[names[-1]].ModelCheckpoint = kind  # type: ignore[attr-defined]
    sys.modules |= modules
    try:
        yield kind
    finally:
        for name in names:
            del sys.modules[name]


def training_state(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The content of a .ckpt file of pytorch_lightning. Make it and pickle it inside `lightning()`."""
    kind = sys.modules["pytorch_lightning.callbacks.model_checkpoint"].ModelCheckpoint
    callback = kind()
    callback.monitor, callback.best_model_score = "val/loss", np.float64(0.25)
    return {
        "epoch": 3,
        "global_step": 470000,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": dict(state),
        "callbacks": {kind: {"monitor": "val/loss", "best_model_score": np.float32(0.25)}, "object": callback},
        "loss": np.float64(0.125),
        "lr_schedulers": [],
    }


@torch.no_grad()
def outputs(sd: StableDiffusion) -> dict[str, Tensor]:
    """The outputs of the three networks for fixed inputs."""
    ids = torch.arange(77)[None] + 100
    ctx = sd.text_encoder(ids.to(sd.device))
    z = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(7))
    x = sd.decode(z[..., :4, :4])  # a CPU without half precision takes half a minute for a whole picture
    return {"ctx": ctx, "eps": sd.unet(z, 321, ctx), "x": x, "z": sd.encode(x)}


def same_weights(a: StableDiffusion, b: StableDiffusion) -> None:
    """Asserts that the weights are equal in every bit."""
    for part, module in modules(a).items():
        state, expected = module.state_dict(), modules(b)[part].state_dict()
        assert state.keys() == expected.keys()
        assert [k for k in state if not torch.equal(state[k], expected[k])] == [], part


def same_model(a: StableDiffusion, b: StableDiffusion) -> None:
    """Asserts that the weights and the outputs are exactly equal."""
    same_weights(a, b)
    expected = outputs(b)
    for name, tensor in outputs(a).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def modules(sd: StableDiffusion) -> dict[str, nn.Module]:
    return {"unet": sd.unet, "vae": sd.vae, "text_encoder": sd.text_encoder}

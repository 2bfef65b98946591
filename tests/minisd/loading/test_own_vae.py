"""Another VAE: from every kind of file and folder, checked as strictly as the checkpoint's own."""

import shutil

import pytest
import torch
from checkpoints import (
    TINY,
    as_compvis,
    change_json,
    modules,
    tiny_compvis,
    tiny_config,
    tiny_folder,
    tiny_tensors,
    write,
)

import minisd
from minisd import CheckpointError, UserError
from minisd.loading import checkpoint, own_vae

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def other():
    """The tensors of a VAE of the same sizes."""
    random = torch.Generator().manual_seed(0)
    return {key: torch.randn(x.shape, generator=random).to(x.dtype) for key, x in tiny_tensors("vae").items()}


def has(found, tensors, sd):
    """Whether the model has these tensors in its VAE, and all others of `sd`."""
    same = {part: module.state_dict() for part, module in modules(sd).items()}
    same["vae"] = {key: x.float() for key, x in tensors.items()}
    return all(
        torch.equal(x, same[part][key]) for part, m in modules(found).items() for key, x in m.state_dict().items()
    )


def refused(vae, kind, *words):
    with pytest.raises(kind) as caught:
        minisd.load("tiny", device="cpu", vae=vae)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("form", ["diffusers", "CompVis", "CompVis, alone", "whole model", "folder", "whole folder"])
def test_every_form(tmp_path, other, sd, form):
    single = as_compvis(tiny_config(), {"vae": other})
    alone = {key.removeprefix("first_stage_model."): x for key, x in single.items()}
    training = {"loss.logvar": torch.zeros(1), "model_ema.decay": torch.zeros(1)}
    place = tmp_path / "vae"
    if "folder" in form:
        folder = place / "vae" if form == "whole folder" else place
        shutil.copytree(TINY / "vae", folder)
        write(folder / "diffusion_pytorch_model.safetensors", other)
        change_json(folder / "config.json", scaling_factor=0.25)
    else:
        tensors = {"diffusers": other, "CompVis": single, "CompVis, alone": alone | training}
        place = write(tmp_path / "vae.safetensors", tensors.get(form, tiny_compvis() | single))
    found = minisd.load("tiny", device="cpu", vae=place)
    assert has(found, other, sd)
    assert found.config.vae.scaling == (0.25 if "folder" in form else sd.config.vae.scaling)
    assert found.vae.config == found.config.vae


@pytest.mark.parametrize("kept", [True, False])
def test_a_single_file_with_or_without_its_own(tmp_path, other, sd, monkeypatch, kept):
    monkeypatch.setattr(checkpoint, "SD14", tiny_config())
    model = {key: x for key, x in tiny_compvis().items() if kept or not key.startswith("first_stage_model.")}
    found = minisd.load(
        write(tmp_path / "model.safetensors", model),
        device="cpu",
        vae=write(tmp_path / "vae.safetensors", other),
    )
    assert has(found, other, sd)


def test_a_hub_id(tmp_path, other, sd, monkeypatch):
    shutil.copytree(TINY / "vae", tmp_path / "hub")
    write(tmp_path / "hub" / "diffusion_pytorch_model.safetensors", other)
    asked = []

    def snapshot(repo, revision, patterns):
        asked.append((repo, patterns[:2]))
        return tmp_path / "hub"

    monkeypatch.setattr(own_vae, "snapshot", snapshot)
    assert has(minisd.load("tiny", device="cpu", vae="owner/vae"), other, sd)
    assert asked == [("owner/vae", ["config.json", "diffusion_pytorch_model.safetensors"])]


def test_what_does_not_fit(tmp_path, other):
    file = write(tmp_path / "vae.safetensors", {key: x for key, x in other.items() if key != "quant_conv.bias"})
    refused(file, CheckpointError, "missing (1): quant_conv.bias")
    file = write(tmp_path / "vae.safetensors", other | {"more": torch.zeros(1)})
    refused(file, CheckpointError, "unexpected (1): more")
    folder = tiny_folder(tmp_path / "model")
    change_json(folder / "vae" / "config.json", latent_channels=16)
    refused(folder, CheckpointError, "the VAE's latents have 16 channels, the UNet's 4")
    change_json(folder / "vae" / "config.json", latent_channels=4, block_out_channels=[48, 96, 128])
    refused(folder, CheckpointError, "this VAE makes 4 pixels of a latent and the checkpoint's own 8")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", CheckpointError, "config.json is missing")
    shutil.copy(TINY / "vae" / "config.json", tmp_path / "empty")
    refused(tmp_path / "empty", CheckpointError, "has no weights of a VAE")


@pytest.mark.parametrize("vae", ["nowhere.safetensors", "", "nul\0", 3, b"x", ["a"]], ids=repr)
def test_what_is_none(vae):
    refused(vae, UserError, "VAE" if isinstance(vae, str) else "vae = ")

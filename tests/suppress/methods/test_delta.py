"""Other weights from a file: which weights are replaced, the same picture on both engines, and unusable files."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

import suppress
from minisd import UserError
from suppress.edits.weights import read_delta, with_weights
from suppress.methods import parse_method
from suppress.methods.delta import Delta

LIST = "a man with a beard wearing glasses and a hat"
NAME = "up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_v.weight"


@pytest.fixture
def delta(sd, tmp_path):
    """A file with one tensor: W_V of one site, times one half."""
    path = tmp_path / "half, or less.safetensors"
    save_file({NAME: 0.5 * sd.unet.get_parameter(NAME)}, path)
    return path


def test_only_the_named_tensor_is_new(sd, delta):
    own = {name: p.clone() for name, p in sd.unet.named_parameters()}
    other = with_weights(sd.unet, read_delta(delta, sd.unet))
    for name, p in other.named_parameters():
        assert p is sd.unet.get_parameter(name) if name != NAME else torch.equal(p, 0.5 * own[name])
    assert all(torch.equal(p, own[name]) for name, p in sd.unet.named_parameters())  # the model did not change


def test_both_engines_draw_the_edited_branch_with_the_new_weights(sd, delta):
    settings = parse_method(f"delta:{delta}", steps=4)
    runs = [suppress.run(sd, LIST, "glasses", seed=[2, 1], settings=settings, engine=e) for e in ("reference", "fast")]
    assert (runs[0].latents - runs[1].latents).abs().max() < 1e-3
    assert (runs[0].original_latents - runs[1].original_latents).abs().max() < 1e-3
    other = with_weights(sd.unet, read_delta(delta, sd.unet))
    z, ctx, uncond = sd.noise([2], 128, 128), sd.encode_text(LIST), sd.encode_text("")
    *_, (_, _, want) = replace(sd, unet=other).sample(ctx, uncond, z, steps=4)
    assert (runs[1].latents[:1] - want).abs().max() < 1e-3 < (want - runs[1].original_latents[:1]).abs().max()


def test_a_file_with_the_models_own_weights_changes_nothing(sd, tmp_path):
    save_file({NAME: sd.unet.get_parameter(NAME).clone()}, tmp_path / "same.safetensors")
    result = suppress.run(sd, LIST, "glasses", settings=parse_method(f"delta:{tmp_path / 'same.safetensors'}", steps=3))
    assert (result.latents - result.original_latents).abs().max() < 1e-4


def test_files_that_do_not_fit(sd, tmp_path):
    weight = sd.unet.get_parameter(NAME)
    files = {
        "other names": ({"unet.to_v": weight.clone()}, "'unet.to_v'; expected names of a UNet's state dict"),
        "no tensors": ({}, "no tensors"),
        "other shape": ({NAME: weight[:1].clone()}, rf"{NAME} is F32 \(1, 192\); expected numbers of shape"),
        "integers": ({NAME: weight.int()}, f"{NAME} is I32"),
        "NaN": ({NAME: weight * float("nan")}, "infinite values or NaN"),
    }
    for name, (tensors, message) in files.items():
        path = tmp_path / f"{name}.safetensors"
        save_file(tensors, path)
        with pytest.raises(UserError, match=message):
            read_delta(path, sd.unet)
    (tmp_path / "damaged.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(UserError, match=r"not a \.safetensors file"):
        read_delta(tmp_path / "damaged.safetensors", sd.unet)
    with pytest.raises(UserError, match="there is no file"):
        read_delta(tmp_path / "absent.safetensors", sd.unet)
    with pytest.raises(UserError, match="there is no file 'xxx"):
        read_delta("x" * 5000, sd.unet)
    assert Delta(path=tmp_path / "a.safetensors").path == str(tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="path = ''; expected a file"):
        suppress.run(sd, LIST, "glasses", method="delta")

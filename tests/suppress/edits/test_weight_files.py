"""Delta files: factors of low rank, what a file says about itself, and models that it does not fit."""

import copy

import pytest
import torch
from safetensors.torch import save_file

import minisd
from minisd import UserError
from suppress.edits.fingerprint import fingerprint, fingerprints
from suppress.edits.low_rank import reduced, restored
from suppress.edits.weights import read_delta, with_weights, write_delta

V = "up_blocks.0.attentions.0.transformer_blocks.0.attn2.to_v.weight"
CONV = "conv_in.weight"
BIAS = "conv_in.bias"


def test_factors_restore_a_difference_of_their_rank(small):
    own, random = dict(small.unet.named_parameters()), torch.Generator().manual_seed(0)

    def thin(shape, rank):
        rows, columns = shape[0], torch.Size(shape[1:]).numel()
        product = torch.randn(rows, rank, generator=random) @ torch.randn(rank, columns, generator=random)
        return product.view(shape)

    new = {name: own[name] + thin(own[name].shape, 2) for name in (V, CONV)} | {BIAS: own[BIAS] + 1}
    small_file = reduced(new, own, 2)
    assert set(small_file) == {V + ":out", V + ":in", CONV + ":out", CONV + ":in", BIAS}
    assert all(x.dtype == torch.float16 for x in small_file.values())
    for name, x in restored({k: v.float() for k, v in small_file.items()}, own).items():
        assert torch.allclose(x, new[name], rtol=2e-3, atol=2e-2)
    # of a higher rank, the best approximation: what is left is the smaller singular values
    full = {V: own[V] + thin(own[V].shape, 5)}
    values = torch.linalg.svdvals(full[V] - own[V])
    rest = torch.linalg.norm(restored(reduced(full, own, 3), own)[V] - full[V])
    assert abs(rest - values[3:].square().sum().sqrt()) < 0.01 * values[0]
    assert set(reduced(full, own, 500)) == {V}  # it would be larger than the matrix


def test_a_file_fits_the_weights_that_it_was_trained_on_in_any_precision(small, tmp_path):
    about = {"concept": "glasses", "trainer": "esd", "model": "tiny", "fingerprints": fingerprints(small.unet)}
    own = small.unet.get_parameter(V)
    write_delta(tmp_path / "a.safetensors", {V: 2 * own}, about)
    assert torch.equal(read_delta(tmp_path / "a.safetensors", small.unet)[V], 2 * own)
    for dtype in (torch.bfloat16, torch.float16):
        half = minisd.UNet(small.config.unet)
        half.load_state_dict(small.unet.state_dict())
        assert read_delta(tmp_path / "a.safetensors", half.to(dtype))[V].dtype == dtype
    other = with_weights(small.unet, {BIAS: small.unet.get_parameter(BIAS) + 1e-3})
    with pytest.raises(UserError, match="trained on other weights; it was trained with esd to remove 'glasses' from"):
        read_delta(tmp_path / "a.safetensors", other)
    assert fingerprint(other, torch.float32) != fingerprint(small.unet, torch.float32)


def test_a_misfit_is_told_what_it_is_for(sd, small, tmp_path):
    about = {"concept": "glasses", "trainer": "esd", "model": "small"}
    purpose = "; it was trained with esd to remove 'glasses' from the model 'small'"
    k = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    for name, tensors, message in (
        ("names", {"mid.to_v": torch.ones(2, 2)}, "'mid.to_v'; expected names of .*"),
        (
            "shapes",
            {k: small.unet.get_parameter(k).detach()},
            r"to_k.weight is F32 \(64, 192\); expected numbers of .*",
        ),
        ("half a pair", {k + ":in": torch.ones(2, 192)}, r"to_k.weight:in is F32 \(2, 192\); expected numbers .*"),
        ("two ranks", {k + ":in": torch.ones(2, 192), k + ":out": torch.ones(128, 3)}, "expected numbers of .*"),
        ("both", {k + ":in": torch.ones(2, 192), k + ":out": torch.ones(128, 2), k: torch.ones(128, 192)}, "expect.*"),
    ):
        write_delta(tmp_path / f"{name}.safetensors", tensors, about)
        with pytest.raises(UserError, match=message + purpose):
            read_delta(tmp_path / f"{name}.safetensors", sd.unet)
    save_file({k: torch.ones(1)}, tmp_path / "foreign.safetensors", {"about": "3", "format": "minisd delta 1"})
    with pytest.raises(UserError, match=r"expected numbers of shape \(128, 192\)$"):
        read_delta(tmp_path / "foreign.safetensors", sd.unet)


def test_factors_in_half_precision(small, tmp_path):
    """Their product is taken in float32; the sum has the model's dtype."""
    own = dict(small.unet.named_parameters())
    new = {V: own[V] + 0.1 * torch.ones_like(own[V])}
    write_delta(tmp_path / "a.safetensors", reduced(new, own, 1), {})
    found = read_delta(tmp_path / "a.safetensors", copy.deepcopy(small.unet).half())[V]
    assert found.dtype == torch.float16 and (found.float() - new[V]).abs().max() < 2e-3

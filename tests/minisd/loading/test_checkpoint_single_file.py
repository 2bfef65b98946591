"""Single files in CompVis' layout: the embedded model, renamed, through `minisd.load`."""

import pytest
import torch
from checkpoints import (
    EXTRAS,
    as_compvis,
    lightning,
    same_model,
    tiny_compvis,
    tiny_config,
    tiny_tensors,
    training_state,
    write,
)

import minisd
from minisd import SD14, CheckpointError
from minisd.loading import checkpoint
from minisd.loading.checkpoint import single_file_parts
from minisd.loading.source import PARTS
from minisd.loading.weight_files import Header


@pytest.fixture(autouse=True)
def tiny_is_the_shape_of_single_files(monkeypatch):
    """A single file has no config and must have SD v1.4's sizes. Here these are replaced by the embedded model's."""
    monkeypatch.setattr(checkpoint, "SD14", tiny_config())


@pytest.fixture(scope="module")
def tensors():
    return tiny_compvis()


@pytest.fixture(scope="module")
def both():
    """A file with plain weights and other EMA weights."""
    single = tiny_compvis(ema=True)
    return single | {k: t + 0.5 for k, t in single.items() if k.startswith("model.diffusion_model.")}


def load(file, **options):
    return minisd.load(file, device="cpu", **options)


def refused(file, *words, **options):
    with pytest.raises(CheckpointError) as caught:
        load(file, **options)
    for word in (file, *words):
        assert str(word) in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- the same model


def test_safetensors(tmp_path, sd, tensors):
    again = load(write(tmp_path / "model.safetensors", tensors))
    same_model(again, sd)
    assert again.folder is None and again.name == str(tmp_path / "model.safetensors")


def test_attention_of_the_vae_as_matrices(tmp_path, sd, tensors):
    """Some converters write them in this form."""
    flat = {k: t.flatten(1) if ".attn_1." in k and t.dim() == 4 else t for k, t in tensors.items()}
    assert sum(flat[k].shape != tensors[k].shape for k in flat) == 8
    same_model(load(write(tmp_path / "model.safetensors", flat)), sd)


def test_training_state_beside_the_weights(tmp_path, sd, tensors):
    same_model(load(write(tmp_path / "model.safetensors", tensors | EXTRAS)), sd)


def test_text_encoder_without_its_prefix(tmp_path, sd, tensors):
    """Many merged models are like this."""
    bare = {k.replace(".transformer.text_model.", ".transformer."): t for k, t in tensors.items()}
    assert bare.keys() != tensors.keys()
    same_model(load(write(tmp_path / "model.safetensors", bare)), sd)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("trained", [True, False], ids=["of a trainer", "state dict"])
def test_ckpt(tmp_path, sd, tensors, zipped, trained):
    file = tmp_path / "model.ckpt"
    with lightning():
        content = training_state(tensors | EXTRAS) if trained else tensors
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
    same_model(load(file), sd)


def test_words_of_the_prompt_are_clips(tmp_path, tensors):
    """A single file has no tokenizer. CLIP's vocabulary comes with minisd."""
    again = load(write(tmp_path / "model.safetensors", tensors))
    ids = again.token_ids("a photograph of an astronaut riding a horse")
    assert ids[0, :10].tolist() == [49406, 320, 8853, 539, 550, 18376, 6765, 320, 4558, 49407]
    assert ids.shape == (1, 77) and set(ids[0, 10:].tolist()) == {49407}


# ---------------------------------------------------------------- EMA


def test_ema(tmp_path, sd, both):
    file = write(tmp_path / "model.safetensors", both | EXTRAS)
    same_model(load(file, ema=True), sd)
    plain = load(file)
    for name, weight in sd.unet.named_parameters():
        assert torch.equal(plain.unet.get_parameter(name), (weight.half() + 0.5).float())
    assert torch.equal(plain.vae.quant_conv.weight, sd.vae.quant_conv.weight)


def test_ema_alone(tmp_path, sd, both):
    """A file with EMA weights only, which were not renamed."""
    pruned = {k: t for k, t in both.items() if not k.startswith("model.diffusion_model.")}
    kept = {k: t for k, t in both.items() if k.endswith((".input_blocks.0.0.weight", "attn2.to_k.weight"))}
    file = write(tmp_path / "model.safetensors", pruned | kept)
    same_model(load(file, ema=True), sd)
    refused(file, "missing (", "model.diffusion_model.time_embed.0.weight")


def test_no_ema(tmp_path, tensors):
    file = write(tmp_path / "model.safetensors", tensors | EXTRAS)
    refused(file, "no EMA weights", "without ema=True", ema=True)


def test_incomplete_ema(tmp_path, both):
    key = "model_ema.diffusion_modelout2weight"
    file = write(tmp_path / "model.safetensors", {k: t for k, t in both.items() if k != key})
    refused(file, f"missing (1): {key}", ema=True)


# ---------------------------------------------------------------- what does not fit


def test_all_that_is_wrong_stands_in_one_error(tmp_path, tensors):
    changed = dict(tensors)
    gone = [k for k in changed if k.startswith("first_stage_model.encoder.mid.")]
    for key in gone:
        del changed[key]
    changed["model.diffusion_model.out.2.bias"] = torch.zeros(3)
    changed["model.diffusion_model.out.0.bias"] = torch.zeros(64, dtype=torch.int8)
    changed |= {f"model.diffusion_model.adapter.{i}": torch.zeros(1) for i in range(15)}
    message = refused(
        write(tmp_path / "model.safetensors", changed | EXTRAS),
        f"missing ({len(gone)}): ",
        "unexpected (15): ",
        "3 more",
        "wrong shape or dtype (2): ",
        "model.diffusion_model.out.2.bias (3,) for (4,)",
        "model.diffusion_model.out.0.bias of the kind I8",
        "Stable Diffusion v1.x, single file",
    )
    assert not any(name in message for name in EXTRAS)


def test_a_part_is_missing(tmp_path):
    """Files without a VAE are common: users add the VAE of their choice."""
    without = as_compvis(tiny_config(), {part: tiny_tensors(part) for part in PARTS if part != "vae"})
    count = len(tiny_tensors("vae"))
    refused(write(tmp_path / "model.safetensors", without), f"missing ({count}): first_stage_model.")


def test_shape_of_a_full_model_is_checked_key_by_key():
    """SD v1.4's 1130 tensors, by names and shapes: each one is missing once and has another shape once."""
    parts = single_file_parts(SD14, Names({}))
    shapes = {
        part.names[key]: Header(tuple(tensor.shape), "F16")
        for part in parts.values()
        for key, tensor in part.module.state_dict().items()
        if key in part.names
    }
    assert len(shapes) == 686 + 248 + 196

    def check(shapes):
        for part in parts.values():
            part.weights = Names(shapes)
        checkpoint.check(parts)

    check(shapes)
    for name in list(shapes)[::40]:
        with pytest.raises(CheckpointError, match=r"missing \(1\)"):
            check({k: h for k, h in shapes.items() if k != name})
        with pytest.raises(CheckpointError, match=r"wrong shape or dtype \(1\)"):
            check(shapes | {name: Header((*shapes[name].shape, 2), "F16")})


class Names:
    """A weight file that has only a header."""

    name = "model.safetensors"

    def __init__(self, shapes):
        self.shapes = shapes

    def read(self, keys, dtype, device):
        raise AssertionError("nothing is to be read before all names and shapes are right")

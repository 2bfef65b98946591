"""Folders in diffusers layout, in all forms that are public."""

import json
import shutil

import pytest
import torch
from checkpoints import TINY, change_json, modules, put, same_model, tiny_folder, tiny_tensors, write

import minisd
from minisd import CheckpointError, UserError
from minisd.loading.source import PARTS

OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@pytest.fixture
def folder(tmp_path):
    return tiny_folder(tmp_path / "model")


def load(folder, **options):
    return minisd.load(folder, device="cpu", **options)


def refused(folder, *words, **options):
    """The message of the CheckpointError that loading raises. It must contain `words`."""
    with pytest.raises(CheckpointError) as caught:
        load(folder, **options)
    for word in words:
        assert str(word) in str(caught.value)
    return str(caught.value)


def file_of(folder, part, variant="", ending=".safetensors"):
    stem = "pytorch_model" if part == "text_encoder" and ending == ".bin" else PARTS[part]
    return folder / part / f"{stem}{variant}{ending}"


# ---------------------------------------------------------------- the same model in other clothes


def test_float32_files_are_the_same_model(folder, sd):
    for part in PARTS:
        put(file_of(folder, part), {k: t.float() for k, t in tiny_tensors(part).items()})
    same_model(load(folder), sd)


def test_float32_weights_are_not_rounded_to_what_a_config_says(folder):
    """text_encoder/config.json says dtype float16, which has no effect on the weights."""
    tensors = {k: t.float() * 1.0001 for k, t in tiny_tensors("text_encoder").items()}
    put(file_of(folder, "text_encoder"), tensors)
    change_json(folder / "text_encoder" / "config.json", dtype="float16", torch_dtype="float16")
    weight = load(folder).text_encoder.embeddings.token_embedding.weight
    assert torch.equal(weight, tensors["text_model.embeddings.token_embedding.weight"])


def test_variant(folder, sd):
    for part in PARTS:
        other = {k: t + 1 for k, t in tiny_tensors(part).items()}
        put(file_of(folder, part), other)
        write(file_of(folder, part, ".fp16"), tiny_tensors(part))
    same_model(load(folder, variant="fp16"), sd)
    assert not torch.equal(load(folder).unet.conv_in.weight, sd.unet.conv_in.weight)


def test_a_variant_that_only_one_part_has(folder, sd):
    """Like v1.5's non_ema, which only the UNet has: the other parts are loaded from their plain files."""
    write(file_of(folder, "unet", ".non_ema"), {k: t + 1 for k, t in tiny_tensors("unet").items()})
    again = load(folder, variant="non_ema")
    assert not torch.equal(again.unet.conv_in.weight, sd.unet.conv_in.weight)
    for part in ("vae", "text_encoder"):
        for key, tensor in modules(again)[part].state_dict().items():
            assert torch.equal(tensor, modules(sd)[part].state_dict()[key])


@pytest.mark.parametrize(
    "part, variant, index",
    [
        ("unet", "", "diffusion_pytorch_model.safetensors.index.json"),
        ("unet", ".fp16", "diffusion_pytorch_model.safetensors.index.fp16.json"),
        ("unet", ".fp16", "diffusion_pytorch_model.fp16.safetensors.index.json"),
        ("text_encoder", "", "model.safetensors.index.json"),
        ("text_encoder", ".fp16", "model.safetensors.index.fp16.json"),
    ],
)
def test_shards(folder, sd, part, variant, index):
    for other in PARTS:
        put(file_of(folder, other, variant), tiny_tensors(other))
    whole = file_of(folder, part, variant)
    whole.unlink()
    shard(whole, folder / part / index, tiny_tensors(part))
    same_model(load(folder, variant=variant.removeprefix(".") or None), sd)


def shard(whole, index, tensors, ending=".safetensors"):
    """Writes tensors as two files with an index. Returns the files."""
    keys = sorted(tensors)
    files = [whole.parent / f"{whole.stem}-0000{i}-of-00002{ending}" for i in (1, 2)]
    halves = keys[::2], keys[1::2]
    for file, half in zip(files, halves, strict=True):
        write(file, {k: tensors[k] for k in half})
    where = {k: file.name for file, half in zip(files, halves, strict=True) for k in half}
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    return files


def test_bin_files(folder, sd):
    for part in PARTS:
        put(file_of(folder, part, ending=".bin"), tiny_tensors(part))
    same_model(load(folder), sd)


def test_bin_shards(folder, sd):
    whole = file_of(folder, "unet", ending=".bin")
    put(whole, {"x": torch.zeros(1)}).unlink()
    shard(whole, folder / "unet" / "diffusion_pytorch_model.bin.index.json", tiny_tensors("unet"), ".bin")
    same_model(load(folder), sd)


def test_bin_files_of_parameters(folder, sd):
    """torch.save(module.state_dict(keep_vars=True)) keeps parameters, whose copies would have a gradient graph."""
    put(
        file_of(folder, "unet", ending=".bin"),
        {k: torch.nn.Parameter(t) for k, t in tiny_tensors("unet").items()},
    )
    again = load(folder)
    assert all(p.is_leaf and not p.requires_grad for p in again.unet.parameters())
    same_model(again, sd)


@pytest.mark.parametrize("as_convolution", [False, True])
def test_old_names_of_the_vae_attention(folder, sd, as_convolution):
    tensors = {}
    for key, tensor in tiny_tensors("vae").items():
        for new, old in OLD_NAMES.items():
            key = key.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
        wide = as_convolution and "attentions" in key and tensor.dim() == 2
        tensors[key] = tensor[:, :, None, None] if wide else tensor
    assert sum(".query." in key for key in tensors) == 4  # weight and bias, encoder and decoder
    put(file_of(folder, "vae"), tensors)
    same_model(load(folder), sd)


def test_text_encoder_without_its_prefix(folder, sd):
    tensors = {k.removeprefix("text_model."): t for k, t in tiny_tensors("text_encoder").items()}
    put(file_of(folder, "text_encoder"), tensors)
    same_model(load(folder), sd)


def test_text_encoder_with_position_ids(folder, sd):
    """transformers before 4.31 saved this buffer. It is a range of integers, not a weight."""
    extra = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    put(file_of(folder, "text_encoder"), tiny_tensors("text_encoder") | extra)
    same_model(load(folder), sd)


@pytest.mark.parametrize("kept", [("vocab.json", "merges.txt"), ("tokenizer.json", "tokenizer_config.json")])
def test_tokenizer_files_of_old_and_new_transformers(folder, sd, kept):
    for file in (folder / "tokenizer").iterdir():
        if file.name not in kept:
            file.unlink()
    prompts = ["a man without glasses", "", "A  woman's hat, 3 of them"]
    assert torch.equal(load(folder).token_ids(prompts), sd.token_ids(prompts))


def test_scheduler_of_another_sampler(folder, sd):
    """The hub's v1-4 names PNDM and lacks most fields. The schedule is the same."""
    file = folder / "scheduler" / "scheduler_config.json"
    file.unlink()
    file.write_text(
        json.dumps(
            {
                "_class_name": "PNDMScheduler",
                "beta_end": 0.012,
                "beta_schedule": "scaled_linear",
                "beta_start": 0.00085,
                "num_train_timesteps": 1000,
                "set_alpha_to_one": False,
                "skip_prk_steps": True,
                "steps_offset": 1,
                "trained_betas": None,
            }
        )
    )
    assert load(folder).config.schedule == sd.config.schedule == minisd.SD14.schedule


def test_name_and_folder(folder):
    again = load(str(folder))
    assert again.name == str(folder) and again.folder == folder
    assert minisd.load("tiny", device="cpu").name == "tiny"


# ---------------------------------------------------------------- what is missing


def test_missing_variant_lists_what_there_is(folder):
    message = refused(folder, "variant 'fp16'", "diffusion_pytorch_model.safetensors", variant="fp16")
    assert all(str(folder / part) in message for part in PARTS)


def test_a_part_with_neither_the_variant_nor_plain_weights(folder):
    for part in PARTS:
        file_of(folder, part).rename(file_of(folder, part, ".bf16"))
    file_of(folder, "unet", ".bf16").rename(file_of(folder, "unet", ".fp16"))
    refused(folder, folder / "vae", "diffusion_pytorch_model.bf16.safetensors", variant="fp16")


def test_only_a_variant_says_how_to_ask_for_it(folder):
    for part in PARTS:
        file_of(folder, part).rename(file_of(folder, part, ".fp16"))
    refused(folder, "without a variant", "diffusion_pytorch_model.fp16.safetensors", "variant='fp16'")


@pytest.mark.parametrize("part", [*PARTS, "scheduler"])
def test_missing_config(folder, part):
    file = next((folder / part).glob("*config.json"))
    file.unlink()
    refused(folder, file, "missing")


@pytest.mark.parametrize("part", PARTS)
def test_missing_part(folder, part):
    shutil.rmtree(folder / part)
    refused(folder, folder, part)


@pytest.mark.parametrize("part", PARTS)
def test_missing_weights(folder, part):
    file_of(folder, part).unlink()
    refused(folder, folder / part, "no weight")


def test_missing_tokenizer(folder):
    shutil.rmtree(folder / "tokenizer")
    refused(folder, folder / "tokenizer", "vocab.json", "merges.txt")


def test_damaged_tokenizer(folder):
    for name in ("vocab.json", "tokenizer.json"):
        (folder / "tokenizer" / name).unlink()
        (folder / "tokenizer" / name).write_text("{")
    refused(folder, folder / "tokenizer", "tokenizer")


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "transformer").mkdir()
    refused(tmp_path, tmp_path, "no unet/", "transformer")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no unet/", "nothing")


@pytest.mark.parametrize("content", ["", "{", "[1]", '"x"', "\ud800"])
def test_damaged_config(folder, content):
    file = folder / "unet" / "config.json"
    file.unlink()
    file.write_bytes(content.encode("utf-8", "surrogatepass"))
    refused(folder, file)


def test_shards_that_are_not_there(folder):
    whole, index = file_of(folder, "unet"), folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    whole.unlink()
    files = shard(whole, index, tiny_tensors("unet"))
    where = json.loads(index.read_text())["weight_map"]
    index.write_text(json.dumps({"weight_map": where | {"conv_in.weight": files[0].name}}))
    if where["conv_in.weight"] == files[0].name:
        index.write_text(json.dumps({"weight_map": where | {"conv_in.weight": files[1].name}}))
    refused(folder, index, "conv_in.weight")
    files[1].unlink()
    refused(folder, index, files[1].name)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected a JSON object"),
        ("{}", "weight_map"),
        ('{"weight_map": [1]}', "weight_map"),
        ('{"weight_map": {"a": 1}}', "weight_map"),
    ],
)
def test_damaged_index(folder, content, expected):
    file_of(folder, "unet").unlink()
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(content)
    refused(folder, index, expected)


# ---------------------------------------------------------------- what does not fit


def test_text_width_must_be_the_unets(folder):
    change_json(folder / "unet" / "config.json", cross_attention_dim=768)
    refused(folder, "192", "768", "text encoder")


def test_latent_channels_must_be_the_unets(folder):
    change_json(folder / "vae" / "config.json", latent_channels=16)
    refused(folder, "16 channels", "4")


def test_another_kind_of_text_encoder(folder):
    change_json(folder / "text_encoder" / "config.json", model_type="t5")
    refused(folder, "text_encoder", "'t5'", "clip_text_model")


def test_config_of_other_sizes_than_the_weights(folder):
    change_json(folder / "unet" / "config.json", layers_per_block=3)
    refused(folder, "missing", "down_blocks.0.resnets.2.norm1.weight")


def test_all_that_is_wrong_stands_in_one_error(folder):
    """Three faults in three parts: one error lists all of them."""
    unet, vae, text = (tiny_tensors(part) for part in PARTS)
    gone = [key for key in unet if key.startswith("mid_block.")]
    for key in gone:
        del unet[key]
    vae["decoder.conv_in.weight"] = vae["decoder.conv_in.weight"][:, :3].contiguous()
    text["text_model.extra"] = torch.zeros(2)
    text["text_model.final_layer_norm.weight"] = torch.ones(192, dtype=torch.int8)
    for part, tensors in zip(PARTS, (unet, vae, text), strict=True):
        put(file_of(folder, part), tensors)
    refused(
        folder,
        f"missing ({len(gone)})",
        f"… {len(gone) - 12} more",
        "unexpected (1): text_model.extra",
        "wrong shape or dtype (2)",
        "decoder.conv_in.weight (128, 3, 3, 3) for (128, 4, 3, 3)",
        "text_model.final_layer_norm.weight",
        "I8",
    )


def test_ema_is_for_single_files(folder):
    with pytest.raises(UserError, match="ema=True"):
        load(folder, ema=True)


def test_the_embedded_model_itself_is_where_it_should_be(sd):
    assert sd.folder == TINY

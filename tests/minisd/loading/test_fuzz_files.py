"""Files of a checkpoint, mutated at random: each one loads or raises UserError, nothing else.

Nothing that a file names is run, so the examples run in this process.
"""

import json
import pickletools
import struct
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from checkpoints import lightning, training_state
from hypothesis import given, settings
from hypothesis import strategies as st

from minisd import CheckpointError, UserError
from minisd.base.inputs import read_json
from minisd.loading.config_files import schedule_config, text_config, unet_config, vae_config
from minisd.loading.tokenizer import load_tokenizer
from minisd.loading.weight_files import WEIGHT_DTYPES, open_weights

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.bias": torch.ones(4, dtype=torch.float16)}
few = settings(max_examples=40)
many = settings(max_examples=100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def load_or_refuse(file):
    """Whether the file loads. If it does, the tensors have the shapes of the headers."""
    try:
        weights = open_weights(file)
        plain = {key: header.shape for key, header in weights.shapes.items() if header.dtype in WEIGHT_DTYPES}
        found = weights.read(plain, torch.float32, torch.device("cpu"))
    except CheckpointError as error:
        assert str(file.parent) in str(error)
        return False
    assert {key: tuple(tensor.shape) for key, tensor in found.items()} == plain
    return True


# ---------------------------------------------------------------- bytes

opcodes = st.sampled_from([ord(opcode.code) for opcode in pickletools.opcodes])
changes = st.lists(
    st.tuples(
        st.sampled_from(["replace", "insert", "delete", "repeat"]),
        st.integers(0, 2**16),
        st.lists(opcodes | st.integers(0, 255), min_size=1, max_size=4).map(bytes),
    ),
    min_size=1,
    max_size=2,  # with more of them, hardly any file would be readable
)


def mutated(content, changes):
    content = bytearray(content)
    for kind, place, new in changes:
        at = place % (len(content) + 1)
        if kind == "replace":
            content[at : at + len(new)] = new
        elif kind == "insert":
            content[at:at] = new
        elif kind == "delete":
            del content[at : at + len(new)]
        else:
            content[at:at] = content[at : at + 20]
    return bytes(content)


@pytest.fixture(scope="module", params=[True, False], ids=["zip", "before torch 1.6"])
def checkpoint(request, folder):
    """(file, its records), with a training's state and numpy's numbers. In the older layout, the file is one record."""
    file = folder / f"base-{request.param}.ckpt"
    with lightning():
        state = training_state(STATE) | {"curve": np.arange(3.0), "kind": np.dtype("f4"), "best": np.float32(1)}
        torch.save(state, file, _use_new_zipfile_serialization=request.param)
    if not request.param:
        return file, {"": file.read_bytes()}
    with zipfile.ZipFile(file) as archive:
        return file, {name: archive.read(name) for name in archive.namelist()}


def write(file, records):
    if "" in records:
        file.write_bytes(records[""])
        return file
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    return file


def test_what_is_mutated_below_loads(checkpoint, folder):
    assert load_or_refuse(write(folder / "whole.ckpt", checkpoint[1]))


@many
@given(changes=changes)
def test_mutated_pickles(checkpoint, folder, changes):
    records = {
        name: mutated(content, changes) if name in ("", "data.pkl") or name.endswith("/data.pkl") else content
        for name, content in checkpoint[1].items()
    }
    load_or_refuse(write(folder / "m.ckpt", records))


@few
@given(changes=changes)
def test_mutated_archives(checkpoint, folder, changes):
    """Mutations of the zip's structure, with every ending, since the ending chooses the reader."""
    content = mutated(checkpoint[0].read_bytes(), changes)
    for ending in ("ckpt", "safetensors"):
        file = folder / f"m.{ending}"
        file.write_bytes(content)
        load_or_refuse(file)


@many
@given(opcodes=st.lists(opcodes, max_size=30).map(bytes), changes=changes)
def test_random_instructions(folder, opcodes, changes):
    records = {"m/data.pkl": mutated(b"\x80\x02}" + opcodes + b".", changes), "m/data/0": bytes(16)}
    load_or_refuse(write(folder / "random.ckpt", records))


# ---------------------------------------------------------------- JSON

numbers = st.integers(-2, 20) | st.sampled_from([2**31, 2**63, 2**64, 10**4000, 0.5, float("nan"), float("inf")])
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=6,
)


def objects(**known):
    """JSON objects whose fields have values of the right kind or of any kind."""
    return st.fixed_dictionaries({}, optional={name: values | right for name, right in known.items()})


entries = objects(
    dtype=st.sampled_from(["F32", "F16", "BF16", "I64", "F8_E4M3", "F4"]),
    shape=st.lists(st.integers(0, 4), max_size=3),
    data_offsets=st.lists(st.sampled_from([0, 4, 8, 16]), min_size=2, max_size=2),
)


@many
@given(header=objects(a=entries, b=entries, __metadata__=values) | values, size=st.sampled_from([0, 4, 8, 16]))
def test_random_headers(folder, header, size):
    text = json.dumps(header).encode()
    file = folder / "random.safetensors"
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))
    load_or_refuse(file)


@few
@given(changes=changes)
def test_mutated_safetensors(folder, changes):
    file = folder / "mutated.safetensors"
    file.write_bytes(mutated(safetensors.torch.save(STATE), changes))
    load_or_refuse(file)


NAMES = ["m.safetensors", "n.safetensors", "../m.safetensors", "/dev/zero", "i.index.json", ""]


@few
@given(content=objects(weight_map=st.dictionaries(st.sampled_from([*STATE, "c"]), st.sampled_from(NAMES))) | values)
def test_random_indexes(folder, content):
    (folder / "m.safetensors").write_bytes(safetensors.torch.save(STATE))
    (folder / "i.index.json").write_text(json.dumps(content))
    load_or_refuse(folder / "i.index.json")


FIELDS = {
    unet_config: "in_channels out_channels block_out_channels layers_per_block attention_head_dim cross_attention_dim "
    "norm_num_groups sample_size down_block_types up_block_types num_attention_heads transformer_layers_per_block",
    vae_config: "in_channels latent_channels block_out_channels layers_per_block norm_num_groups scaling_factor act_fn",
    schedule_config: "beta_start beta_end num_train_timesteps steps_offset set_alpha_to_one trained_betas",
    text_config: "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads hidden_act "
    "max_position_embeddings layer_norm_eps model_type",
}


@pytest.mark.parametrize("reader", FIELDS, ids=lambda reader: reader.__name__)
@few
@given(data=st.data())
def test_random_configs(reader, data):
    content = data.draw(objects(**dict.fromkeys(FIELDS[reader].split(), values)))
    try:
        reader(content)
    except UserError:
        pass


@few
@given(content=st.binary(max_size=40) | st.text('[]{}:,"0123456789.eNnul \\u', max_size=40).map(str.encode))
def test_random_json(folder, content):
    file = folder / "random.json"
    file.write_bytes(content)
    try:
        assert isinstance(read_json(file), dict)
    except CheckpointError as error:
        assert str(file) in str(error)


VOCABULARY = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a": 2, "b</w>": 3, "ab</w>": 4}
tokens = objects(
    id=st.integers(0, 6), content=st.sampled_from(["<|startoftext|>", "<|endoftext|>", "<new>", "b"]), special=values
)


@few
@given(
    vocab=st.just(VOCABULARY) | st.dictionaries(st.sampled_from([*VOCABULARY, "c"]), numbers) | values,
    merges=st.lists(st.sampled_from(["a b</w>", "a", ["a", "b</w>"], ["b", "c"], 3])) | values,
    added=st.lists(tokens, max_size=3) | values,
    decoder=st.dictionaries(st.sampled_from(["5", "0", "-1", "9" * 50, "x"]), tokens) | values,
)
def test_random_tokenizers(folder, vocab, merges, added, decoder):
    model = {"model": {"vocab": vocab, "merges": merges}, "added_tokens": added}
    (folder / "tokenizer.json").write_text(json.dumps(model))
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": decoder}))
    try:
        tokenizer = load_tokenizer(folder)
    except CheckpointError as error:
        assert str(folder) in str(error)
        return
    assert all(0 <= n < tokenizer.size for n in tokenizer.ids("ab a <new> b"))

"""Damaged files, pipes, and files that are made to do harm: a clear error, and nothing waits for ever."""

import json
import os
import struct
from pathlib import Path

import pytest
import torch
from checkpoints import put, tiny_folder, write

import minisd
from minisd import CheckpointError
from minisd.base.inputs import read_json
from minisd.loading.weight_files import open_weights

CPU = torch.device("cpu")
STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.bias": torch.ones(4, dtype=torch.float16)}


def refused(path, *words):
    with pytest.raises(CheckpointError) as caught:
        open_weights(path)
    for word in (path, *words):
        assert str(word) in str(caught.value)


# ---------------------------------------------------------------- pipes and devices


@pytest.mark.parametrize(
    "file",
    [
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors.index.json",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
    ],
)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_device_in_a_folder(tmp_path, file, kind):
    """Reading it would wait for ever. Here it is behind a link, as files in the hub's cache are."""
    folder = tiny_folder(tmp_path / "model")
    if ".index." in file:
        (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / file).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(tmp_path / "pipe")
    (folder / file).symlink_to(tmp_path / "pipe" if kind == "pipe" else "/dev/zero")
    with pytest.raises(CheckpointError, match=Path(file).name):
        minisd.load(folder, device="cpu")


@pytest.mark.parametrize("ending", ["safetensors", "ckpt", "bin"])
def test_a_pipe_or_device_as_the_checkpoint(tmp_path, ending):
    os.mkfifo(tmp_path / f"pipe.{ending}")
    (tmp_path / f"device.{ending}").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        with pytest.raises(CheckpointError, match="a pipe, a socket or a device, expected a file"):
            minisd.load(tmp_path / f"{name}.{ending}", device="cpu")


# ---------------------------------------------------------------- JSON

DAMAGED = {
    "deep": "[" * 200_000,
    "deep objects": '{"a":' * 200_000,
    "long integer": '{"a": ' + "9" * 5000 + "}",
    "no UTF-8": b'{"a": "\xff\xfe"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "cut": '{"a": [1, 2',
    "list": "[1, 2]",
    "null": "null",
    "number": "NaN",
    "nothing": "",
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_json(tmp_path, kind):
    """As a config and as an index."""
    content = DAMAGED[kind]
    for name in ("config.json", "model.safetensors.index.json"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(CheckpointError, match=name):
            read_json(file) if name == "config.json" else open_weights(file)


def test_json_as_an_editor_may_save_it(tmp_path):
    file = tmp_path / "config.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps({"name": "é"}, ensure_ascii=False).encode())
    assert read_json(file) == {"name": "é"}


def test_json_that_is_too_large_is_not_read(tmp_path):
    file = tmp_path / "config.json"
    with open(file, "wb") as out:
        out.truncate(200 * 2**20)  # takes no space on the disk
    with pytest.raises(CheckpointError, match="209,715,200 bytes"):
        read_json(file)


# ---------------------------------------------------------------- indexes of shards


def index(folder, content):
    file = folder / "model.safetensors.index.json"
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/passwd", "sub/m.safetensors", "..", ".", "", "a/../m"])
def test_an_index_that_leads_out_of_its_folder(tmp_path, name):
    (tmp_path / "here").mkdir()
    write(tmp_path / "other.safetensors", STATE)
    refused(index(tmp_path / "here", {"weight_map": {"a.weight": name}}), repr(name), "in its own folder")


@pytest.mark.parametrize("names", [3, None, ["m"], "m", {"a": 1}, {"a": None}, {"a": ["m.safetensors"]}, {"a": {}}])
def test_an_index_of_another_form(tmp_path, names):
    refused(index(tmp_path, {"weight_map": names}), "not an index of weight files")
    refused(index(tmp_path, names), "expected a JSON object" if not isinstance(names, dict) else "not an index")


def test_an_index_that_names_itself(tmp_path):
    file = index(tmp_path, {"weight_map": {"a.weight": "model.safetensors.index.json"}})
    refused(file, "expected names of weight files")


def test_an_index_that_names_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match=r"m\.safetensors cannot be read: it is a pipe"):
        open_weights(index(tmp_path, {"weight_map": {"a.weight": "m.safetensors"}}))


# ---------------------------------------------------------------- headers of .safetensors


def header(path, content, size=16):
    encoded = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + bytes(size))
    return path


def entry(**changes):
    return {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} | changes


@pytest.mark.parametrize(
    "content",
    [
        {"a": entry(shape=[-4])},
        {"a": entry(shape=[4.0])},
        {"a": entry(shape=[True, 4])},
        {"a": entry(shape=["4"])},
        {"a": entry(shape=[2**64])},
        {"a": entry(shape=[2**40, 2**40])},
        {"a": entry(shape={"0": 4})},
        {"a": entry(shape=None)},
        {"a": entry(dtype=["F32"])},
        {"a": entry(dtype=None)},
        {"a": entry(data_offsets=[0.0, 16.0])},
        {"a": entry(data_offsets=["0", "16"])},
        {"a": entry(data_offsets=[0, 16, 32])},
        {"a": entry(data_offsets=[16, 0])},
        {"a": entry(data_offsets=[-16, 16])},
        {"a": entry(data_offsets=[0, [16]])},
        {"a": entry(), "b": entry()},  # one over the other
        {"a": entry(shape=[3], data_offsets=[0, 12]), "b": entry(shape=[2], data_offsets=[8, 16])},
        {"a": entry(), "__metadata__": {"format": 1}},
        {"a": entry(), "__metadata__": ["pt"]},
        {"a": entry(), "__metadata__": "pt"},
        {"a": None},
        {"a": [entry()]},
        "[" * 200_000,
        '{"a": {"dtype": "F32", "shape": [' + "9" * 5000 + '], "data_offsets": [0, 16]}}',
        '{"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 16]}}',
        '{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, Infinity]}}',
        '{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}'.replace(" 16", " " + "1" * 4000),
    ],
)
def test_damaged_header(tmp_path, content):
    refused(header(tmp_path / "m.safetensors", content))


def test_a_header_that_is_the_whole_of_a_large_file(tmp_path):
    file = tmp_path / "m.safetensors"
    file.write_bytes(struct.pack("<Q", 2**63))
    refused(file, "is not a .safetensors file")


@pytest.mark.parametrize("dtype, size", [("F4", 2), ("F8_E8M0", 4), ("I8", 4), ("C64", 32), ("U16", 8)])
def test_weights_of_a_dtype_that_is_no_number_of_a_model(tmp_path, dtype, size):
    folder = tiny_folder(tmp_path / "model")
    name = "decoder.conv_in.bias"
    file = put(folder / "vae" / "diffusion_pytorch_model.safetensors", {name: torch.ones(4)})  # no longer a link
    header(
        file,
        {name: {"dtype": dtype, "shape": [4], "data_offsets": [0, size]}},
        size,
    )
    with pytest.raises(CheckpointError, match=f"{name} of the kind {dtype}"):
        minisd.load(folder, device="cpu")

"""Weight files: headers first, tensors later, and a clear error for every kind of failed download."""

import json
import os
import struct

import pytest
import safetensors.torch
import torch
from checkpoints import write
from hypothesis import given
from hypothesis import strategies as st

from minisd import CheckpointError
from minisd.loading import weight_files
from minisd.loading.weight_files import Header, SafetensorsFile, open_weights, read_header

pytestmark = pytest.mark.quick

CPU = torch.device("cpu")
STATE = {
    "a": torch.randn(7, 5, generator=torch.Generator().manual_seed(1)),
    "b": torch.arange(12.0, dtype=torch.float16).reshape(3, 4),
    "c": torch.arange(5),
    "d": torch.full((2, 2), 1.5, dtype=torch.bfloat16),
    "scalar": torch.tensor(2.0),
}


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "model.safetensors", STATE)


def refused(path, *words):
    with pytest.raises(CheckpointError) as caught:
        open_weights(path)
    for word in (path, *words):
        assert str(word) in str(caught.value)


# ---------------------------------------------------------------- reading


def test_header(file):
    assert read_header(file) == {
        "a": Header((7, 5), "F32"),
        "b": Header((3, 4), "F16"),
        "c": Header((5,), "I64"),
        "d": Header((2, 2), "BF16"),
        "scalar": Header((), "F32"),
    }
    assert Header((7, 5), "F32").size == 35 and Header((), "F32").size == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("ending", [".safetensors", ".bin"])
def test_read_converts_all_but_integers(tmp_path, dtype, ending):
    found = open_weights(write(tmp_path / f"m{ending}", STATE)).read(STATE, dtype, CPU)
    for key, tensor in STATE.items():
        expected = tensor.to(dtype) if key != "c" else tensor
        assert found[key].dtype == expected.dtype and torch.equal(found[key], expected)


def test_read_what_is_asked(file):
    assert list(SafetensorsFile(file).read(["d", "a"], torch.float32, CPU)) == ["d", "a"]


@pytest.mark.parametrize("ending", [".safetensors", ".bin"])
def test_nothing_depends_on_the_file_afterwards(tmp_path, ending):
    file = write(tmp_path / f"m{ending}", STATE)
    found = open_weights(file).read(["a"], torch.float32, CPU)  # without a conversion, a view would be enough
    with open(file, "r+b") as out:  # in place: a mapping would show the change
        out.write(b"\xff" * file.stat().st_size)
    assert torch.equal(found["a"], STATE["a"])


@pytest.mark.parametrize("ending", [".safetensors", ".bin"])
def test_windows_change_nothing(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(weight_files, "_WINDOW", 16)
    weights = open_weights(write(tmp_path / f"m{ending}", STATE))
    assert len(list(weight_files._windows(STATE, weights.shapes))) >= 4
    found = weights.read(STATE, torch.float32, CPU)
    assert all(torch.equal(found[k], STATE[k].to(found[k].dtype)) for k in STATE)


sizes = st.lists(st.integers(0, 2**30), max_size=30)


@given(sizes)
def test_windows_hold_every_key_once_and_little_more_than_their_size(elements):
    shapes = {str(i): Header((n,), "F16") for i, n in enumerate(elements)}
    windows = list(weight_files._windows(shapes, shapes))
    assert [key for window in windows for key in window] == list(shapes)
    for window in windows:
        assert sum(2 * shapes[key].size for key in window[:-1]) <= weight_files._WINDOW


# ---------------------------------------------------------------- damage


def test_truncated_in_its_header(file):
    whole = 8 + struct.unpack("<Q", file.read_bytes()[:8])[0]
    os.truncate(file, whole - 10)
    refused(file, "incomplete", f"{whole:,} bytes", f"{whole - 10:,}", "Download it again")


@pytest.mark.parametrize("lost", [1, 50])
def test_truncated_in_its_data(file, lost):
    whole = file.stat().st_size
    os.truncate(file, whole - lost)
    refused(file, "incomplete", f"{whole:,} bytes", f"{whole - lost:,}", "Download it again")


def test_too_long(file):
    whole = file.stat().st_size
    with open(file, "ab") as out:
        out.write(b"\0" * 1000)
    refused(file, "damaged", f"{whole:,} bytes", f"{whole + 1000:,}")


@pytest.mark.parametrize("ending", [".safetensors", ".ckpt", ".bin"])
def test_git_lfs_pointer(tmp_path, ending):
    file = tmp_path / f"m{ending}"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4265146304\n")
    refused(file, "Git LFS pointer", "4,265,146,304 bytes", f"{file.stat().st_size}", "git lfs pull")
    file.write_text("version https://git-lfs.github.com/spec/v1\n")
    refused(file, "Git LFS pointer", "unknown")


@pytest.mark.parametrize("ending", [".safetensors", ".ckpt", ".bin"])
@pytest.mark.parametrize("page", ["<!DOCTYPE html><html>Sign in</html>", "\n <html><body>404", '<?xml version="1.0"?>'])
def test_web_page(tmp_path, ending, page):
    file = tmp_path / f"m{ending}"
    file.write_text(page)
    refused(file, "web page", f"{len(page)} bytes")


@pytest.mark.parametrize("ending", [".safetensors", ".ckpt", ".bin"])
def test_empty(tmp_path, ending):
    file = tmp_path / f"m{ending}"
    file.touch()
    refused(file, "empty", "0 bytes")


@pytest.mark.parametrize("content", [b"abc", b'{"error": "Repository not found"}', b"\xff" * 200, b"PK\x03\x04" * 9])
def test_something_else(tmp_path, content):
    file = tmp_path / "m.safetensors"
    file.write_bytes(content)
    refused(file, "is not a .safetensors file", f"{len(content)} bytes")


def test_a_folder_in_the_files_place(tmp_path):
    (tmp_path / "m.safetensors").mkdir()
    refused(tmp_path / "m.safetensors", "cannot be read")


def with_header(path, header, data=b"\0" * 16):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize(
    "header",
    [
        b"[1]",
        b"nonsense",
        b"\xff\xfe",
        {"a": 1},
        {"a": {"dtype": "F32", "shape": [4]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0]}},
        {"a": {"dtype": "F32", "shape": 4, "data_offsets": [0, 16]}},
        {"a": {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}},  # an unknown dtype
        {"a": {"dtype": "F32", "shape": [5], "data_offsets": [0, 16]}},  # 20 bytes in 16
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}},  # a gap
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 16]}},
        {"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}},
    ],
)
def test_damaged_header(tmp_path, header):
    refused(with_header(tmp_path / "m.safetensors", header), "damaged")


@given(st.binary(max_size=60), st.integers(0, 40))
def test_no_bytes_raise_anything_but_a_checkpoint_error(tmp_path_factory, content, length):
    """Random bytes, as files and as headers, with both endings."""
    folder = tmp_path_factory.mktemp("random")
    for ending in (".safetensors", ".ckpt"):
        for start in (b"", struct.pack("<Q", length)):
            file = folder / f"m{ending}"
            file.write_bytes(start + content)
            try:
                open_weights(file)
            except CheckpointError as error:
                assert str(file) in str(error)


@given(st.data())
def test_a_flipped_byte_in_the_header_is_an_error_or_another_name(tmp_path_factory, data):
    """There is no other kind of exception, and no tensor has another size than its header says."""
    content = bytearray(safetensors.torch.save(STATE))
    length = 8 + struct.unpack("<Q", content[:8])[0]
    content[data.draw(st.integers(0, length - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.mktemp("flipped") / "m.safetensors"
    file.write_bytes(content)
    try:
        weights = open_weights(file)
    except CheckpointError:
        return
    found = weights.read(weights.shapes, torch.float32, CPU)
    assert {k: tuple(t.shape) for k, t in found.items()} == {k: h.shape for k, h in weights.shapes.items()}

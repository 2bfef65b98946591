"""Weight files: a .safetensors file, several shards, or a pickle; and tensors in memory.

`shapes` comes from the headers alone. `read` reads and converts one tensor after the other, so that loading takes no
more memory than the finished model and a few hundred megabytes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..base.arguments import shown
from ..base.counted import counted
from ..base.errors import CheckpointError
from ..base.inputs import check_regular, read_json
from . import pickled

_WINDOW = 256 * 2**20  # bytes that are mapped at once
_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "U8": 8, "BOOL": 8}
_ENDINGS = (".safetensors", ".bin", ".ckpt", ".pt", ".pth")
_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
}
WEIGHT_DTYPES = tuple(_NAMES.values())  # each can be converted into any of the others


@dataclass(frozen=True)
class Header:
    """A tensor before it is read."""

    shape: tuple[int, ...]
    dtype: str  # as safetensors names it: F32, F16, BF16, I64, …

    @property
    def size(self) -> int:
        """Number of elements."""
        n = 1
        for side in self.shape:
            n *= side
        return n


class WeightFile(Protocol):
    """The tensors of a file or of several shards: their shapes, and a way to read them."""

    name: str
    shapes: Mapping[str, Header]

    def read(self, keys: Iterable[str], dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]: ...


class SafetensorsFile:
    def __init__(self, path: Path):
        self.path, self.name = path, str(path)
        self.shapes: Mapping[str, Header] = read_header(path)
        try:
            with safe_open(path, framework="pt") as file:  # it compares each tensor's position with its shape
                self.metadata: Mapping[str, str] = file.metadata() or {}
        except SafetensorError as error:
            raise CheckpointError(f"{path} is damaged: {error}. Download it again.") from error

    def read(self, keys: Iterable[str], dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
        """Copies of the tensors, which no longer depend on the file. Integers keep their dtype."""
        tensors: dict[str, Tensor] = {}
        for window in _windows(keys, self.shapes):
            # the file is opened again for each window: pages that were read stay in memory until it is closed
            with safe_open(self.path, framework="pt") as file:
                for key in window:
                    tensors[key] = _convert(file.get_tensor(key), dtype, device)
        return tensors


class PickleFile:
    """.bin, .ckpt, .pt: read by `pickled`."""

    def __init__(self, path: Path):
        self.name = str(path)
        self._file = pickled.Checkpoint(path)
        self.shapes: Mapping[str, Header] = {
            key: Header(stored.shape, stored.odd or _dtype_name(stored.dtype))
            for key, stored in self._file.stored.items()
        }

    def read(self, keys: Iterable[str], dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for key, tensor in self._file.read(keys):
            tensors[key] = _convert(tensor, dtype, device, copy=False).contiguous()
        return tensors


class Shards:
    """Several files, and the index.json that says which tensor is in which file."""

    def __init__(self, index: Path):
        self.name = str(index)
        file_of = read_json(index).get("weight_map")
        if not isinstance(file_of, dict) or not all(isinstance(file, str) for file in file_of.values()):
            raise CheckpointError(f"{index} is not an index of weight files (JSON with a weight_map)")
        names = sorted(set(file_of.values()))
        strange = [name for name in names if Path(name).name != name or Path(name).suffix not in _ENDINGS]
        if strange:
            raise CheckpointError(
                f"{index} names {shown(strange[0])}; expected names of weight files in its own folder"
            )
        absent = [name for name in names if not (index.parent / name).exists()]
        if absent:
            raise CheckpointError(f"{index} names files that are not beside it: {', '.join(absent)}")
        self._files = {name: open_weights(index.parent / name) for name in names}
        lost = [key for key, file in file_of.items() if key not in self._files[file].shapes]
        if lost:
            raise CheckpointError(f"{index}: the files it names lack {counted(len(lost), 'tensor')}, first {lost[0]!r}")
        self._file_of: dict[str, str] = file_of
        self.shapes: Mapping[str, Header] = {key: self._files[file].shapes[key] for key, file in file_of.items()}

    def read(self, keys: Iterable[str], dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
        keys = list(keys)
        tensors: dict[str, Tensor] = {}
        for name, file in self._files.items():
            tensors |= file.read([key for key in keys if self._file_of[key] == name], dtype, device)
        return tensors


class InMemory:
    """The tensors of a module of another library. What is read shares its memory, if dtype and device are the same."""

    def __init__(self, name: str, tensors: Mapping[str, Tensor]):
        self.name, self._tensors = name, tensors
        self.shapes: Mapping[str, Header] = {
            key: Header(tuple(tensor.shape), _dtype_name(tensor.dtype)) for key, tensor in tensors.items()
        }

    def read(self, keys: Iterable[str], dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
        return {key: _convert(self._tensors[key], dtype, device, copy=False) for key in keys}


def open_weights(path: Path) -> WeightFile:
    """Opens an index (.index.json), a .safetensors file, or a pickle (.bin, .ckpt, .pt).

    The first bytes tell a .safetensors file too, in case its name is wrong.
    """
    _refuse_no_weights(path)
    if ".index." in path.name and path.suffix == ".json":
        return Shards(path)
    with open(path, "rb") as file:
        is_safetensors = file.read(9)[8:] == b"{"  # after 8 bytes with the length of the header
    return SafetensorsFile(path) if is_safetensors or path.suffix == ".safetensors" else PickleFile(path)


def _windows(keys: Iterable[str], shapes: Mapping[str, Header]) -> Iterator[list[str]]:
    """The keys in groups, whose tensors take about _WINDOW bytes."""
    window, size = [], 0
    for key in keys:
        window.append(key)
        size += shapes[key].size * _BITS.get(shapes[key].dtype, 64) // 8
        if size > _WINDOW:
            yield window
            window, size = [], 0
    if window:
        yield window


def read_header(path: Path) -> dict[str, Header]:
    """Names, shapes and dtypes of the tensors in a .safetensors file.

    The file has 8 bytes with the length of the header, then the header as JSON, then the data. CheckpointError, with
    the expected and the real size, if the file is cut short or of another kind.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > 100 * 2**20:  # the format allows no longer header
            raise CheckpointError(f"{path} ({size:,} bytes) is not a .safetensors file")
        if size < 8 + length:
            raise CheckpointError(
                f"{path} is incomplete: its header alone takes {8 + length:,} bytes, the file has {size:,}. "
                "Download it again."
            )
        try:
            header = json.loads(file.read(length))
            tensors = {k: v for k, v in header.items() if k != "__metadata__"}
            expected = 8 + length + max((v["data_offsets"][1] for v in tensors.values()), default=0)
            found = {k: Header(tuple(v["shape"]), v["dtype"]) for k, v in tensors.items()}
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise CheckpointError(f"{path} is damaged: its header is not that of a .safetensors file") from error
    if size != expected:
        what = "incomplete" if size < expected else "damaged"
        raise CheckpointError(
            f"{path} is {what}: its header promises {shown(expected)} bytes and the file has {size:,}. Download it "
            "again."
        )
    return found


def _refuse_no_weights(path: Path) -> None:
    """CheckpointError for what a failed download leaves instead of the weights, such as a web page."""
    check_regular(path)
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(512)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if not size:
        raise CheckpointError(f"{path} is empty (0 bytes). Download it again.")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(
            f"{path} ({size:,} bytes) is a web page and not the weights: the server sent an error or a "
            "login page. Download it again."
        )
    if start.startswith(b"version https://git-lfs"):
        expected = re.search(rb"^size (\d+)$", start, re.MULTILINE)
        raise CheckpointError(
            f"{path} is a Git LFS pointer and not the weights: expected "
            f"{format(int(expected[1]), ',') if expected else 'an unknown number of'} bytes, the file has {size:,}. "
            "Run `git lfs pull` in its repository."
        )


def _dtype_name(dtype: torch.dtype) -> str:
    return _NAMES.get(dtype) or str(dtype).removeprefix("torch.").upper()


def _convert(t: Tensor, dtype: torch.dtype, device: torch.device, copy: bool = True) -> Tensor:
    return t.to(device=device, dtype=dtype if t.is_floating_point() else t.dtype, copy=copy)

"""Old PyTorch files (.ckpt, .bin), read without running the code in them.

Such a file has a pickle, which describes the tensors (`minisd/loading/unpickle.py` reads it as data), and records with
their numbers. There are two layouts: a zip archive and, before torch 1.6, a sequence without an archive.

Old files of SD v1 also contain classes of pytorch_lightning (the state of the training) and numbers and arrays of numpy
(losses, random states). These are ignored. A file that names any other function is refused: minisd would not run the
function, but other programs would.
"""

from __future__ import annotations

import math
import os
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..base.arguments import printable
from ..base.errors import CheckpointError
from . import unpickle
from .unpickle import Call, UnknownInstruction

_KNOWN = re.compile(
    r"collections\.(OrderedDict|Counter|defaultdict)|_codecs\.encode"
    r"|(__builtin__|builtins)\.(set|frozenset|bytearray|complex|list|dict|int|float)"
    r"|torch\.(storage\.|cuda\.)?\w*Storage|torch\.(Size|device|Tensor)|torch\.serialization\._get_layout"
    r"|torch\.(b?float|half|double|u?int|short|long|bool|complex|cfloat|cdouble|quint|qint|bits|per_)\w*"
    r"|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2"
    r"|torch\.nn\.parameter\.(Parameter|Buffer)|torch\.nn\.modules\.container\.ParameterDict"
    r"|numpy\.(core|_core)\.multiarray\.(scalar|_reconstruct)|numpy\.(dtype|ndarray)"
    r"|pytorch_lightning\.[\w.]+"
)
_STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexDouble": torch.complex128,
    "ComplexFloat": torch.complex64,
    "Untyped": torch.uint8,
    "QInt8": torch.qint8,
    "QUInt8": torch.quint8,
    "QInt32": torch.qint32,
    "QUInt4x2": torch.quint4x2,
    "QUInt2x4": torch.quint2x4,
}
_REBUILD = "torch._utils._rebuild_"
# functions that take a tensor and return one with the same numbers
_WRAPPERS = ("torch.nn.parameter.Parameter", f"{_REBUILD}parameter", f"{_REBUILD}parameter_with_state")
_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file from before torch 1.6
_ZIP = b"PK\x03\x04"
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LARGEST = 2**28  # bytes of the pickle in an archive; SD v1.4's has 10^5


@dataclass(frozen=True)
class Stored:
    """A tensor as the file describes it. `odd` names a kind of tensor that cannot be read, e.g. "sparse tensor"."""

    shape: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    offset: int = 0  # elements
    dtype: torch.dtype = torch.uint8
    record: str = ""
    odd: str = ""

    @property
    def span(self) -> tuple[int, int]:
        """(start, stop): the bytes of its record that the tensor needs, without byte `stop`."""
        empty = 0 in self.shape
        length = 0 if empty else 1 + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))
        return self.offset * self.dtype.itemsize, (self.offset + length) * self.dtype.itemsize


class Record(NamedTuple):
    """The position of a storage's bytes: from `offset` on in the file, or in an entry of the archive."""

    size: int
    offset: int = 0
    entry: zipfile.ZipInfo | None = None


class Checkpoint:
    """The tensors of a pickled checkpoint: `stored` describes them, `read` reads one after the other.

    CheckpointError if the file is damaged, names a function that is not allowed, or has no tensors.
    """

    def __init__(self, path: Path):
        self.path = path
        self._swap = False  # whether the numbers have the other byte order than this machine
        try:
            with open(path, "rb") as file:
                content, self._records = self._open_zip(file) if _starts_as_zip(path) else self._open_old(file)
            found = {key: _describe(value) for key, value in _state_dict(content).items()}
            self.stored = {key: stored for key, stored in found.items() if stored}
            for key, stored in self.stored.items():
                self._check(key, stored)
        except CheckpointError:
            raise
        except Exception as error:  # damaged files raise many types of errors in pickletools, zipfile and here
            raise self._damaged(error) from error
        if not self.stored:
            raise CheckpointError(f"{path} holds no state dict (a mapping from names to tensors)")

    def read(self, keys: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """(key, tensor). Each tensor is on the CPU and has its own memory."""
        try:
            with open(self.path, "rb") as file:
                bytes_of = _Bytes(file)
                for key in keys:
                    yield key, self._tensor(key, bytes_of)
        except CheckpointError:
            raise
        except (ValueError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise self._damaged(error) from error

    def _tensor(self, key: str, bytes_of: _Bytes) -> Tensor:
        stored = self.stored[key]
        if stored.odd:
            raise CheckpointError(f"{self.path}: {key} is a {stored.odd}; expected a plain tensor")
        raw = bytes_of(self._records[stored.record], *stored.span)
        if self._swap and raw.numel():
            raw.untyped_storage().byteswap(stored.dtype)
        return raw.view(stored.dtype).as_strided(stored.shape, stored.stride)

    def _check(self, key: str, stored: Stored) -> None:
        if not stored.odd:
            record = self._records.get(stored.record)
            if record is None or stored.span[1] > record.size:
                raise ValueError(f"the numbers of {key} are missing")

    def _open_zip(self, file: IO[bytes]) -> tuple[Any, dict[str, Record]]:
        """An archive: the pickle is data.pkl, and each storage is a record in the folder data/."""
        entries = zipfile.ZipFile(file).infolist()
        names = [entry.filename for entry in entries]
        pickles = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1 or len(set(names)) < len(names):
            raise ValueError(f"an archive with {len(pickles)} data.pkl, or with two entries of the same name")
        if any(entry.flag_bits & 1 or entry.compress_type not in _PACKINGS for entry in entries):
            raise ValueError("an archive that is encrypted or packed in an unusual way")
        folder, entry_of = pickles[0].removesuffix("data.pkl"), dict(zip(names, entries, strict=True))
        with zipfile.ZipFile(file) as archive:
            if entry_of[pickles[0]].file_size > _LARGEST:
                raise ValueError("its data.pkl is too large")
            with archive.open(pickles[0]) as pickle:
                found = self._unpickle(pickle)
            if folder + "byteorder" in entry_of:
                with archive.open(folder + "byteorder") as order:
                    self._swap = order.read(10).decode() != sys.byteorder
        data = folder + "data/"
        return found.content, {
            name.removeprefix(data): Record(entry.file_size, entry=entry)
            for name, entry in entry_of.items()
            if name.startswith(data)
        }

    def _open_old(self, file: IO[bytes]) -> tuple[Any, dict[str, Record]]:
        """Before torch 1.6: five pickles, then the number of elements and the elements of each storage."""
        if self._unpickle(file).content != _MAGIC:
            raise ValueError("no magic number")
        _protocol, _system, found, keys = (self._unpickle(file) for _ in range(4))
        storages = [_storage(elsewhere) for elsewhere in found.elsewhere]
        sizes = {key: dtype.itemsize for key, dtype, _offset in storages}
        records, position, end = {}, file.tell(), file.seek(0, os.SEEK_END)
        for key in keys.content:
            file.seek(position)
            (count,) = struct.unpack("<q", file.read(8))
            records[key] = Record(count * sizes[key], position + 8)
            position += 8 + count * sizes[key]
            if count < 0 or position > end:
                raise ValueError("the numbers end early")
        return found.content, records

    def _unpickle(self, file: IO[bytes]) -> unpickle.Pickle:
        """CheckpointError if the pickle names functions that are not allowed."""
        try:
            found = unpickle.read(file)
        except UnknownInstruction as error:
            raise CheckpointError(
                f"{self.path} is not opened: torch.save writes no {error} instructions, which can hide what a "
                "pickle runs. The file is damaged or of another program; use a .safetensors version of the model."
            ) from error
        refused = sorted(name for name in found.names if not _KNOWN.fullmatch(name))
        if refused:
            more = f" and {len(refused) - 5} more" if len(refused) > 5 else ""
            raise CheckpointError(
                f"{self.path} names {', '.join(map(printable, refused[:5]))}{more}, which most programs would run when "
                "they load it: it is not opened. Use a .safetensors version of the model."
            )
        return found

    def _damaged(self, error: Exception) -> CheckpointError:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        cut = _starts_as_zip(self.path) and not zipfile.is_zipfile(self.path)
        return CheckpointError(
            f"{self.path} cannot be read as a PyTorch checkpoint: it has {self.path.stat().st_size:,} bytes and "
            + ("its end is missing" if cut else "ends early or is damaged")
            + f" ({reason}). Download it again and compare the size with the publisher's."
        )


class _Bytes:
    """Reads a part of a record. The last compressed record is kept, since several tensors may be parts of it."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self._archive: zipfile.ZipFile | None = None
        self._last: tuple[zipfile.ZipInfo | None, bytes] = (None, b"")

    def __call__(self, record: Record, start: int, stop: int) -> Tensor:
        raw = torch.empty(stop - start, dtype=torch.uint8)
        if record.entry and record.entry.compress_type != zipfile.ZIP_STORED:
            count = self._unpack(record.entry, start, raw)
        else:
            self._file.seek(start + (self._data_offset(record.entry) if record.entry else record.offset))
            count = self._file.readinto(raw.numpy())  # type: ignore[attr-defined]
        if count < len(raw):
            raise ValueError("the numbers end early")
        return raw

    def _unpack(self, entry: zipfile.ZipInfo, start: int, raw: Tensor) -> int:
        if self._last[0] is not entry:
            self._archive = self._archive or zipfile.ZipFile(self._file)
            self._last = entry, self._archive.read(entry)
        part = self._last[1][start : start + len(raw)]
        raw.numpy()[: len(part)] = np.frombuffer(part, np.uint8)
        return len(part)

    def _data_offset(self, entry: zipfile.ZipInfo) -> int:
        """The data begins after the entry's header: 30 bytes, its name and an extra field (torch.save's padding)."""
        self._file.seek(entry.header_offset)
        header = self._file.read(30)
        if len(header) < 30 or header[:4] != _ZIP:
            raise ValueError(f"no entry where {entry.filename} should begin")
        name, extra = struct.unpack("<26xHH", header)
        return entry.header_offset + 30 + name + extra


def _starts_as_zip(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == _ZIP


def _state_dict(content: Any) -> dict[str, Any]:
    """Key -> tensor as the pickle describes it. The mapping may hold other values too."""
    content = unpickle.entries(content)
    if isinstance(content.get("state_dict"), dict | Call):  # a file of pytorch_lightning
        return unpickle.entries(content["state_dict"])
    embedding = content.get("string_to_param")  # textual inversion; `family` knows it by this key
    if isinstance(embedding, Call) and isinstance(embedding.state, dict):  # a ParameterDict
        embedding = embedding.state.get("_parameters")
    if embedding:
        return {f"string_to_param.{key}": value for key, value in unpickle.entries(embedding).items()}
    return content


def _describe(value: Any) -> Stored | None:
    """The tensor that a call would make; None if it would make something else."""
    while isinstance(value, Call) and value.function in _WRAPPERS:
        value = value.args[0]
    if not isinstance(value, Call):
        return None
    function, args = value.function, value.args
    if function == "torch._tensor._rebuild_from_type_v2":  # a tensor with attributes, or of a subclass
        rebuild, kind, args = args[:3]
        function = rebuild.name if kind.name in ("torch.Tensor", *_WRAPPERS) else f"{_REBUILD}tensor_subclass"
    if not function.startswith(_REBUILD):
        return None
    kind = function.removeprefix(_REBUILD)
    if kind not in ("tensor", "tensor_v2", "tensor_v3"):
        return Stored(odd=kind.replace("_", " "))  # "sparse tensor", "qtensor" (quantised), "meta tensor no storage"
    storage, offset, shape, stride = args[:4]
    record, dtype, base = _storage(storage)
    if kind == "tensor_v3":
        dtype = getattr(torch, args[6].name.removeprefix("torch."))
    if any(isinstance(extra, dict) and extra for extra in args[6:]):
        return Stored(odd="view with a negative or conjugate bit")
    shape, stride = _sizes(shape), _sizes(stride)
    if len(shape) != len(stride) or not isinstance(dtype, torch.dtype):
        raise ValueError("a tensor whose shape and strides differ in length")
    stored = Stored(shape, stride, _sizes((offset,))[0] + base, dtype, record)
    start, stop = stored.span
    if math.prod(shape) * dtype.itemsize > stop - start:
        return Stored(odd="tensor that shows the same numbers several times")
    return stored


def _storage(elsewhere: Any) -> tuple[str, torch.dtype, int]:
    """(record, dtype, offset in elements) of ("storage", class, record, device, elements, view).

    `view` may be missing or None; otherwise it is (name, offset, elements).
    """
    reference = elsewhere.reference
    if reference[0] != "storage" or not isinstance(reference[2], str):
        raise ValueError("a reference to something else than a storage")
    kind = reference[1].name.rpartition(".")[2].removesuffix("Storage")
    offset = reference[5][1] if len(reference) > 5 and reference[5] else 0
    return reference[2], _STORAGES[kind], _sizes((offset,))[0]


def _sizes(sizes: Any) -> tuple[int, ...]:
    sizes = sizes.args[0] if isinstance(sizes, Call) else sizes  # torch.Size
    if len(sizes) > 64 or not all(type(n) is int and 0 <= n < 2**62 for n in sizes):
        raise ValueError("sizes that are not whole numbers")
    return tuple(sizes)

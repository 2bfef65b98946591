"""Old PyTorch files (.ckpt, .bin) without executing what they contain.

A pickle can name any Python callable and have it run. torch.load(weights_only=True) allows a short list; files of
the SD v1 era name two more kinds of things beside their tensors. Classes of pytorch_lightning (the trainer's state)
become inert stand-ins, numpy's scalar and dtype (a loss value) are let through for real. Any other name is an error.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from .errors import CheckpointError

_NUMPY = re.compile(r"numpy\.(core|_core)\.multiarray\.scalar|numpy\.dtype")


class _Inert:
    """Takes the place of a class of the training framework: holds whatever it is given, does nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass


def is_mapped(path: Path) -> bool:
    """Whether the tensors of `load` stay on disk until they are touched."""
    return zipfile.is_zipfile(path)


def load(path: Path) -> dict[str, Tensor]:
    """The tensors of a pickled checkpoint, by key, on the CPU (memory-mapped where the file is a zip).

    Raises CheckpointError where the file is damaged, names a callable that is not allowed, or holds no tensors.
    """
    zipped = is_mapped(path)
    try:
        allowed = _allow(path, zipped)
        with torch.serialization.safe_globals(allowed):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except CheckpointError:
        raise
    except Exception as error:  # torch raises half a dozen types for files that are cut short or not pickles at all
        size = path.stat().st_size
        raise CheckpointError(
            f"{path} cannot be read as a PyTorch checkpoint: it has {size:,} bytes and ends early or is damaged "
            f"({str(error).splitlines()[0]}). Download it again and compare the size with the publisher's."
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    if not tensors:
        raise CheckpointError(f"{path} holds no state dict (a mapping from names to tensors)")
    return tensors


def _allow(path: Path, zipped: bool) -> list[Any]:
    """What torch.load may resolve beside its own list; CheckpointError for names that nobody should run."""
    allowed: list[Any] = []
    refused = []
    for name in _names(path, zipped) - set(torch.serialization._weights_only_unpickler._get_allowed_globals()):
        if name.startswith("pytorch_lightning."):
            module, _, attribute = name.rpartition(".")
            allowed.append((type(attribute, (_Inert,), {"__module__": module}), name))
        elif _NUMPY.fullmatch(name):
            allowed.append((np.dtype if name.endswith("dtype") else _numpy_scalar(), name))
            allowed += [kind for kind in vars(np.dtypes).values() if isinstance(kind, type)]
        else:
            refused.append(name)
    if refused:
        raise CheckpointError(
            f"{path} asks to run {', '.join(sorted(refused))} while loading, which no checkpoint needs: it is not "
            "opened. Use a .safetensors version of the model."
        )
    return allowed


def _numpy_scalar() -> Any:
    return np.float64(0).__reduce__()[0]  # multiarray.scalar, wherever this numpy keeps it


def _names(path: Path, zipped: bool) -> set[str]:
    """Every global that the file's pickles name, found by disassembling them."""
    if zipped:
        with zipfile.ZipFile(path) as archive:
            entries = [e for e in archive.namelist() if e.endswith("data.pkl")]
            return {name for entry in entries for name in _disassemble(archive.open(entry))}
    with open(path, "rb") as file:  # before torch 1.6: magic number, protocol, system, then the object itself
        return {name for _ in range(4) for name in _disassemble(file)}


def _disassemble(file: IO[bytes]) -> Iterator[str]:
    for opcode, argument, _position in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            yield str(argument).replace(" ", ".")
        elif opcode.name in ("STACK_GLOBAL", "INST", "OBJ"):
            raise CheckpointError(f"{file.name}: a pickle with {opcode.name} instructions was not made by torch.save")

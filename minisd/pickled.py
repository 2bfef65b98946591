"""Old PyTorch files (.ckpt, .bin) without executing what they contain.

A pickle can name any Python callable and have it run. torch.load(weights_only=True) allows a short list;
files of the SD v1 era name two more kinds of things beside their tensors. Classes of pytorch_lightning (the
trainer's state) become inert stand-ins, numpy's scalar and dtype (a loss value) are let through for real.
Any other name is an error.
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

    Raises CheckpointError where the file is damaged, names a callable that is not allowed or has no tensors.
    """
    zipped = is_mapped(path)
    try:
        with torch.serialization.safe_globals(_allow(path, zipped)):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except CheckpointError:
        raise
    except Exception as error:  # torch has half a dozen types for files that are cut short or no pickles
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path} cannot be read as a PyTorch checkpoint: it has {path.stat().st_size:,} bytes and "
            + ("its end is missing" if _starts_as_zip(path) and not zipped else "ends early or is damaged")
            + f" ({reason}). Download it again and compare the size with the publisher's."
        ) from error
    content = content if isinstance(content, dict) else {}
    if isinstance(content.get("state_dict"), dict):  # a trainer's file
        content = content["state_dict"]
    elif isinstance(content.get("string_to_param"), dict):  # textual inversion: keep what it is told by
        content = {f"string_to_param.{k}": v for k, v in content["string_to_param"].items()}
    tensors = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if not tensors:
        raise CheckpointError(f"{path} holds no state dict (a mapping from names to tensors)")
    return tensors


def _starts_as_zip(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _allow(path: Path, zipped: bool) -> list[Any]:
    """What torch.load may resolve beside its own list; CheckpointError for names that nobody should run."""
    allowed: list[Any] = []
    refused = []
    by_default = torch.serialization._weights_only_unpickler._get_allowed_globals()
    for name in _names(path, zipped).difference(by_default):
        if name.startswith("pytorch_lightning."):
            module, _, attribute = name.rpartition(".")
            # AttributeDict (hyperparameters) is filled item by item, which torch allows to dicts alone
            stand_in = dict if name.endswith("Dict") else type(attribute, (_Inert,), {"__module__": module})
            allowed.append((stand_in, name))
        elif _NUMPY.fullmatch(name):
            allowed.append((np.dtype if name.endswith("dtype") else _numpy_scalar(), name))
            # numbers only: a forged state of an object or void dtype could have numpy follow any pointer
            allowed += {type(np.dtype(t)) for t in np.sctypeDict.values() if issubclass(t, np.number)}
        else:
            refused.append(name)
    if refused:
        raise CheckpointError(
            f"{path} asks to run {', '.join(sorted(refused))} while loading, which no checkpoint needs: it "
            "is not opened. Use a .safetensors version of the model."
        )
    return allowed


def _numpy_scalar() -> Any:
    return np.float64(0).__reduce__()[0]  # multiarray.scalar, wherever this numpy keeps it


def _names(path: Path, zipped: bool) -> set[str]:
    """Every global that the file's pickles name, found by disassembling them."""
    if zipped:
        with zipfile.ZipFile(path) as archive:
            entries = [e for e in archive.namelist() if e.endswith("data.pkl")]
            return {name for entry in entries for name in _disassemble(archive.open(entry), path)}
    with open(path, "rb") as file:  # before torch 1.6: magic number, protocol, system, then the object itself
        return {name for _ in range(4) for name in _disassemble(file, path)}


def _disassemble(file: IO[bytes], path: Path) -> Iterator[str]:
    for opcode, argument, _position in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            yield str(argument).replace(" ", ".")
        elif opcode.name in ("STACK_GLOBAL", "INST", "OBJ"):
            raise CheckpointError(
                f"{path} is not opened: torch.save writes no {opcode.name} instructions, which can hide "
                "what a pickle runs. Use a .safetensors version of the model."
            )

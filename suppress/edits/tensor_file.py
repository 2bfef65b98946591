"""A .safetensors file with tensors and, as its metadata, texts that say what they are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from minisd import UserError
from minisd.base.arguments import shown
from minisd.base.outputs import check_file, write_file


def described(form: str, about: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a file: what kind of file it is, and what it says about itself, for JSON."""
    return {"format": form, "about": json.dumps(dict(about), ensure_ascii=False)}


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """Writes the file; an existing one is replaced."""
    content = save({name: x.detach().contiguous().cpu() for name, x in tensors.items()}, dict(metadata))
    return write_file(path, lambda file: file.write(content))


def new_file(name: str | os.PathLike[str], overwrite: bool) -> Path:
    """The path of a file that is to be written (--out). UserError if it cannot be, or if it exists; for a command."""
    return check_file(name, overwrite, ".safetensors")


def existing(path: str | os.PathLike[str], expected: str) -> Path:
    """The path of a file that is there. UserError if there is none; expected: what it should be."""
    if not os.path.isfile(path):  # False also for a name that no file can have
        raise UserError(f"there is no file {shown(str(path))}; expected {expected}")
    return Path(path)


def read_metadata(path: Path) -> dict[str, str]:
    """OSError or SafetensorError if the file cannot be read."""
    with safe_open(path, "pt") as file:
        return file.metadata() or {}


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """(metadata, tensors on the CPU). OSError or SafetensorError if the file cannot be read."""
    with safe_open(path, "pt") as file:
        return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}

"""Files that overwrite nothing and are never left half written."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .errors import UserError


def free_name(stem: str, folder: Path | None = None, beside: tuple[str, ...] = ()) -> Path:
    """stem.png, or stem-2.png, stem-3.png, … the first that does not exist, nor its namesake ending in `beside`."""
    folder = folder or Path()
    path, n = folder / f"{stem}.png", 1
    while path.exists() or any(path.with_suffix(ending).exists() for ending in beside):
        n += 1
        path = folder / f"{stem}-{n}.png"
    return path


def slug(text: str, longest: int = 60) -> str:
    """A prompt as a file name: "a-man-without-glasses"."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:longest].rstrip("-") or "picture"


def check_out(out: str | os.PathLike[str] | None, overwrite: bool, beside: tuple[str, ...] = ()) -> Path | None:
    """The place for an output, before the work starts. UserError where it exists or cannot be written.

    out: None is a free name in the current folder, found when the work is done (`free_name`).
    beside: endings of files that will be written under the same name.
    """
    if out is None:
        if not _writable(Path()):
            raise UserError(
                "the current folder cannot be written to, and pictures go there without --out; give --out FILE.png in "
                "another folder, or change to one"
            )
        return None
    path = Path(out)
    if path.name.lower() in ("", ".png"):
        raise UserError(f"--out {os.fspath(out)!r} names no file; give a name such as picture.png")
    if path.suffix.lower() != ".png":
        raise UserError(f"--out {path}: pictures are written as .png, which keeps their parameters")
    folder = path.absolute().parent
    if path.is_dir():
        raise UserError(f"--out {path} is a folder; give the name of a file")
    for file in (path, *(path.with_suffix(ending) for ending in beside)):
        if file.exists() and not overwrite:
            raise UserError(f"--out {path}: {file} exists; give another name, or --overwrite to replace it")
    if not folder.is_dir():
        raise UserError(f"--out {path}: there is no folder {folder}")
    if not _writable(folder):
        raise UserError(f"--out {path}: the folder {folder} cannot be written to")
    return path


def _writable(folder: Path) -> bool:
    """Whether files can be made in it, which takes the right to enter it as well."""
    return os.access(folder, os.W_OK | os.X_OK)


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> Path:
    """Has `write` fill a file under a temporary name, then renames it: no half file is ever left. Returns the path."""
    # the name is not part of the temporary one, which could then be longer than file names may be
    handle, name = tempfile.mkstemp(suffix=".part", prefix=".minisd-", dir=path.absolute().parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def write_text(path: Path, text: str) -> Path:
    """`write_file` of a text, in UTF-8."""
    return write_file(path, lambda file: file.write(text.encode()))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""Files that overwrite nothing and are never left half written.

    out = check_out(args.out, args.overwrite, beside=(".json",))               # before the work
    path = write_output({".png": …, ".json": …}, out, stem, args.overwrite)    # when it is done

Between the two another program, or a second run of the same command, may take the name: the file system alone can
say who was first, so a name is taken in one step that fails where it exists.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from .arguments import shown
from .errors import UserError

Writer = Callable[[BinaryIO], object]  # fills an open file


def free_name(stem: str, folder: Path | None = None, beside: tuple[str, ...] = ()) -> Path:
    """stem.png, or stem-2.png, stem-3.png, … the first that does not exist, nor its namesake ending in `beside`.

    It is free now; `write_output` finds and takes a name in one step.
    """
    wanted = (folder or Path()) / f"{stem}.png"
    return next(
        path
        for path in _names(wanted)
        if not any(os.path.lexists(file) for file in (path, *map(path.with_suffix, beside)))
    )


def _names(wanted: Path) -> Iterator[Path]:
    """x.png, x-2.png, x-3.png, …"""
    yield wanted
    for n in itertools.count(2):
        yield wanted.with_name(f"{wanted.stem}-{n}{wanted.suffix}")


def slug(text: str, longest: int = 60) -> str:
    """A prompt as a file name: "a-man-without-glasses"."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:longest].rstrip("-") or "picture"


def output_path(name: str) -> Path:
    """The path that --out names; UserError if no file can have this name."""
    try:
        os.lstat(name)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as error:  # too long for a name, with a NUL, or not valid text
        raise UserError(f"--out {shown(name)}: no file can have this name ({error}); give another") from None
    return Path(name)


def check_out(out: str | os.PathLike[str] | None, overwrite: bool, beside: tuple[str, ...] = ()) -> Path | None:
    """The place for an output, before the work starts. UserError where it exists or cannot be written.

    out: None is a free name in the current folder, found when the work is done (`write_output`).
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
    files = (path, *map(path.with_suffix, beside))
    _check_name(path, files)
    folder = path.absolute().parent
    if path.is_dir():
        raise UserError(f"--out {path} is a folder; give the name of a file")
    for file in files:
        if os.path.lexists(file) and not overwrite:
            raise UserError(f"--out {path}: {file} exists; give another name, or --overwrite to replace it")
    if not folder.is_dir():
        raise UserError(f"--out {path}: there is no folder {folder}")
    if not _writable(folder):
        raise UserError(f"--out {path}: the folder {folder} cannot be written to")
    return path


def _check_name(path: Path, files: tuple[Path, ...]) -> None:
    """UserError where the file system takes no such name, nor the one with a number that a clash would ask for."""
    try:
        for file in files:
            os.lstat(file.with_name(f"{file.stem}-99{file.suffix}"))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:  # ValueError: a NUL
        reason = error.strerror if isinstance(error, OSError) else error
        name = str(path) if len(str(path)) <= 60 else f"{str(path)[:59]}…"
        raise UserError(f"--out {name!r} cannot be the name of a file: {reason}") from None


def _writable(folder: Path) -> bool:
    """Whether files can be made in it, which takes the right to enter it as well."""
    return os.access(folder, os.W_OK | os.X_OK)


# ---------------------------------------------------------------------- writing


def write_output(
    files: Mapping[str, Writer], out: Path | None, stem: str, overwrite: bool = False, folder: Path | None = None
) -> Path:
    """Writes the files of one output, e.g. {".png": …, ".json": …}, all under one name. Returns the first one's path.

    out: what `check_out` gave, the path of the first file; None is a free name made of `stem`, in `folder` or the
    current one. A file that is there is kept, also one that came after `check_out`: the next free name is taken, and
    a warning says so where a name was asked for. To write an output of one's own again, give its path and overwrite.
    """
    endings = list(files)
    wanted = out or (folder or Path()) / f"{stem}{endings[0]}"
    with ExitStack() as stack:
        parts = [stack.enter_context(_part(wanted.with_suffix(end), write)) for end, write in files.items()]
        for path in _names(wanted):
            targets = [path, *map(path.with_suffix, endings[1:])]
            if overwrite and out:
                for part, target in zip(parts, targets, strict=True):
                    os.replace(part, target)
                break
            if _take(parts, targets):
                break
    if out and path != out:
        warnings.warn(f"{out} came into being during the work and was kept; this is written as {path}", stacklevel=2)
    return path


def _take(parts: list[Path], targets: list[Path]) -> bool:
    """Puts the parts in place. Where one of the names exists, none is, and the answer is False."""
    taken: list[tuple[Path, Path]] = []
    for part, target in zip(parts, targets, strict=True):
        if not _create(part, target):
            for before, file in taken:
                if before.exists():  # the file is a second name of it
                    file.unlink()
                else:
                    os.replace(file, before)
            return False
        taken.append((part, target))
    return True


def _create(part: Path, target: Path) -> bool:
    """Gives a finished file its name; False where that exists. `part` may stay, as a second name of the file."""
    try:
        os.link(part, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: FAT, some network drives
        try:
            target.open("xb").close()  # the name is ours from here on
        except FileExistsError:
            return False
        os.replace(part, target)
    return True


def write_file(path: Path, write: Writer) -> Path:
    """Has `write` fill a file under a temporary name, then renames it: no half file is ever left. Returns the path.

    A file of that name is replaced.
    """
    with _part(path, write) as part:
        os.replace(part, path)
    return path


@contextmanager
def _part(path: Path, write: Writer) -> Iterator[Path]:
    """A finished file in the folder of `path`, under a temporary name that is gone in the end.

    UserError where the system does not let it be written, or put in place.
    """
    # `path` is not part of the temporary name, which could then be longer than file names may be
    part = path.absolute().parent / f".minisd-{secrets.token_hex(8)}.part"
    try:
        with part.open("xb") as file:
            write(file)
        yield part
    except OSError as error:
        if error.errno is None:  # not the system's, but that of a library
            raise
        way_out = "write to another place"
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            way_out = "make room, or write to another disk"
        raise UserError(f"{path} could not be written: {error.strerror}; {way_out}") from error
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """`write_file` of a text, in UTF-8."""
    return write_file(path, utf8(text))


def utf8(text: str) -> Writer:
    """Writes the text into an open file. Half a surrogate pair, as a file's name may hold it, becomes its escape."""
    return lambda file: file.write(text.encode("utf-8", "backslashreplace"))

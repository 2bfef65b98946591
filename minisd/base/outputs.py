"""Writing files: nothing is overwritten by accident, and no file is left half written.

    out = check_out(args.out, args.overwrite, beside=(".json",))               # before the work
    path = write_output({".png": …, ".json": …}, out, stem, args.overwrite)    # after it

Between the two calls another program, or a second run of the same command, may take the name. Only the file system
knows who was first, so a name is taken in a single step, which fails if the name exists.
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

PART = ".minisd-{}.part"  # the temporary name of a file that is being written
UNFINISHED = "-unfinished"  # what the name of an unfinished output ends in (unfinished.py)
Writer = Callable[[BinaryIO], object]  # writes the content into an open file


def free_name(stem: str, folder: Path | None = None, beside: tuple[str, ...] = ()) -> Path:
    """The first of stem.png, stem-2.png, stem-3.png, … that does not exist. A file ending in `beside` counts too.

    The name is free now, and another program may take it later. `write_output` finds and takes a name in one step.
    """
    wanted = (folder or Path()) / f"{stem}.png"
    return next(
        path
        for path in _names(wanted)
        if not any(os.path.lexists(file) for file in (path, *(with_ending(path, end) for end in beside)))
    )


def _names(wanted: Path) -> Iterator[Path]:
    """x.png, x-2.png, x-3.png, …"""
    yield wanted
    for n in itertools.count(2):
        yield wanted.with_name(f"{wanted.stem}-{n}{wanted.suffix}")


def with_ending(path: Path, ending: str) -> Path:
    """x.png with the ending ".json" is x.json, and with "-mask.png" it is x-mask.png."""
    return path.with_name(path.stem + ending)


def slug(text: str) -> str:
    """A prompt as a file name of at most 60 characters: "a-man-without-glasses"."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].rstrip("-") or "picture"


def output_path(name: str | os.PathLike[str], option: str = "--out") -> Path:
    """The path that an option names; UserError if no file can have this name."""
    try:
        os.lstat(name)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as error:  # too long for a name, with a NUL, or not valid text
        reason = error.strerror if isinstance(error, OSError) else error
        told = f"{option} {shown(os.fspath(name))}: no file can have this name ({reason}); give another"
        raise UserError(told.strip()) from None
    return Path(name)


def check_folder(name: str | os.PathLike[str], option: str = "--out") -> Path:
    """The folder that an option names, checked before the work. It need not exist, but its own folder must.

    UserError if it is a file, or if files cannot be written into it.
    """
    path = output_path(name, option)
    if os.path.lexists(path) and not path.is_dir():
        raise UserError(f"{option} {path} is a file; give the name of a folder")
    _check_place(f"{option} {path}", path if path.is_dir() else path.absolute().parent)
    return path


def _check_place(told: str, folder: Path) -> None:
    """UserError, which begins as told, if no file can be made in the folder."""
    if not folder.is_dir():
        raise UserError(f"{told}: there is no folder {folder}")
    if not _writable(folder):
        raise UserError(f"{told}: the folder {folder} cannot be written to")


def check_out(
    out: str | os.PathLike[str] | None, overwrite: bool, beside: tuple[str, ...] = (), ending: str = ".png"
) -> Path | None:
    """The path for an output, checked before the work starts. UserError if it exists or cannot be written.

    out: with None, the file gets a free name in the current folder after the work (`write_output`).
    beside: endings of further files that will get the same name. ending: of the output itself.
    """
    if out is not None:
        return check_file(out, overwrite, ending, beside)
    if not _writable(Path()):
        raise UserError(
            "the current folder cannot be written to, and pictures go there without --out; give --out "
            f"FILE{ending} in another folder, or go to another folder"
        )
    return None


def check_file(
    out: str | os.PathLike[str], overwrite: bool, ending: str, beside: tuple[str, ...] = (), in_python: bool = False
) -> Path:
    """The same for a name that is given. in_python: by a call, so that the messages name no options."""
    told, way_out = ("", "overwrite=True") if in_python else ("--out ", "--overwrite")
    path = Path(out)
    if path.name.lower() in ("", ending):
        raise UserError(f"{told}{os.fspath(out)!r} names no file; give a name such as picture{ending}")
    if path.suffix.lower() != ending:
        what = f"expected a name that ends in {ending}" + (", which keeps parameters" if ending == ".png" else "")
        raise UserError(f"{told}{shown(str(path))}: {what}")
    files = (path, *(with_ending(path, end) for end in beside))
    for file in files:  # also unfinished, and with a number for a clash
        output_path(file.with_name(f"{file.stem}{UNFINISHED}-99{file.suffix}"), told.strip())
    if path.is_dir():
        raise UserError(f"{told}{path} is a folder; give the name of a file")
    for file in files:
        if os.path.lexists(file) and not overwrite:
            which = path if file == path else f"{path}: {file}"
            raise UserError(f"{told}{which} exists; give another name, or {way_out} to replace it")
        if os.path.lexists(file) and not file.is_file():  # a pipe, a device, a link that leads nowhere
            raise UserError(f"{told}{path}: {file} is no file that could be replaced; give another name")
    _check_place(f"{told}{path}", path.absolute().parent)
    return path


def _writable(folder: Path) -> bool:
    """Whether files can be made in the folder. This needs the right to enter it, too."""
    return os.access(folder, os.W_OK | os.X_OK)


# ---------------------------------------------------------------------- writing


def write_output(
    files: Mapping[str, Writer], out: Path | None, stem: str, overwrite: bool = False, folder: Path | None = None
) -> Path:
    """Writes the files of one output, e.g. {".png": …, ".json": …}, under one name. Returns the path of the first.

    out: the path of the first file, from `check_out`. With None, the name is made of `stem` and a number if needed, in
    `folder` or the current folder. An existing file is kept, even if it came after `check_out`: the output gets the
    next free name, with a warning if `out` was given. To replace an output, give its path and overwrite.
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
        warnings.warn(f"{out} appeared during the work and was kept; this is written as {path}", stacklevel=2)
    return path


def _take(parts: list[Path], targets: list[Path]) -> bool:
    """Gives the finished files their names. If one of the names exists, no file gets one, and the answer is False."""
    taken: list[tuple[Path, Path]] = []
    for part, target in zip(parts, targets, strict=True):
        if not _create(part, target):
            for before, file in taken:
                if before.exists():  # `file` is its second name
                    file.unlink()
                else:
                    os.replace(file, before)
            return False
        taken.append((part, target))
    return True


def _create(part: Path, target: Path) -> bool:
    """Gives a finished file its name; False if the name exists. `part` may stay, as a second name of the file."""
    try:
        os.link(part, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: FAT, some network drives
        try:
            target.open("xb").close()  # from now on, the name is ours
        except FileExistsError:
            return False
        os.replace(part, target)
    return True


def write_file(path: Path, write: Writer) -> Path:
    """Writes a file under a temporary name, then renames it, so that a failure leaves no partial file.

    An existing file is replaced. Returns the path.
    """
    with _part(path, write) as part:
        os.replace(part, path)
    return path


@contextmanager
def _part(path: Path, write: Writer) -> Iterator[Path]:
    """A finished file in the folder of `path`, under a temporary name that is removed at the end.

    UserError if the system refuses to write it or to give it its name.
    """
    # the temporary name does not contain that of `path`, with which it might be too long for a file name
    part = path.absolute().parent / PART.format(secrets.token_hex(8))
    try:
        with part.open("xb") as file:
            write(file)
        yield part
    except OSError as error:
        if error.errno is None:  # raised by a library, not by the system
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
    """A function that writes the text into an open file. Half a surrogate pair, as in a file name, is escaped."""
    return lambda file: file.write(text.encode("utf-8", "backslashreplace"))

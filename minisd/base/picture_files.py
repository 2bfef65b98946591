"""Files of pictures: opening any format that Pillow knows, writing PNG files with their parameters."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

from PIL import Image, PngImagePlugin

from .errors import UserError
from .outputs import Writer, write_file
from .picture_fit import holds_several, is_turned


def open_picture(path: str | os.PathLike[str]) -> Image.Image:
    """The picture in a file, as it is stored; of several pictures the first, with a warning.

    `minisd.picture.prepare` and `to_rgb` turn it by its EXIF orientation and convert its colours, and say so.
    UserError if there is none.
    """
    image, remarks = load_picture(path)
    for remark in remarks:
        warnings.warn(f"{os.fspath(path)!r} {remark}", stacklevel=2)
    return image.copy()  # without the link to its file and to the other pictures there


def load_picture(path: str | os.PathLike[str]) -> tuple[Image.Image, list[str]]:
    """(the picture as it is stored, what the user should know about it). UserError if there is none."""
    if os.path.exists(path) and not os.path.isfile(path):  # reading from a pipe may wait for ever
        raise _unreadable(path, OSError("a folder, a device or a pipe"))
    return _load(path, path)


def read_picture(content: bytes, name: str) -> tuple[Image.Image, list[str]]:
    """The same for the content of a file. name: for the error."""
    return _load(io.BytesIO(content), name)


def _load(file: str | os.PathLike[str] | io.BytesIO, name: str | os.PathLike[str]) -> tuple[Image.Image, list[str]]:
    try:
        with Image.open(file) as image:
            if image.format == "EPS":
                raise OSError("PostScript, a program that would have to be run")
            remarks = []
            if holds_several(image):
                remarks.append("holds several pictures; the first is taken")
            if image.format == "TIFF" and is_turned(image):  # Pillow turns these when it loads them
                remarks.append("is turned by its EXIF orientation")
            image.load()
            return image, remarks
    except FileNotFoundError:
        raise UserError(f"no picture {os.fspath(name)!r}: there is no such file") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise many types of errors for damaged data
        raise _unreadable(name, error) from error


def _unreadable(path: str | os.PathLike[str], error: Exception) -> UserError:
    return UserError(f"{os.fspath(path)!r} is not a picture that can be read: {error}")


def save_png(image: Image.Image, path: Path, parameters: str = "") -> Path:
    """Writes a PNG with its parameters and returns its path. A failure leaves no partial file."""
    return write_file(path, png_writer(image, parameters))


def png_writer(image: Image.Image, parameters: str = "") -> Writer:
    """A function that writes the picture as PNG into an open file, for `outputs.write_output`."""
    info = PngImagePlugin.PngInfo()
    if parameters:  # a file name may hold half a surrogate pair, which is not valid text; its escape is written
        info.add_itxt("parameters", parameters.encode("utf-8", "backslashreplace").decode())
    return lambda file: image.save(file, format="PNG", pnginfo=info)

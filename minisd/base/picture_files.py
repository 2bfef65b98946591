"""Files of pictures: opening any format that Pillow knows, writing PNG files with their parameters."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from PIL import Image, ImageOps, PngImagePlugin

from .errors import UserError
from .outputs import Writer, write_file


def open_picture(path: str | os.PathLike[str]) -> Image.Image:
    """The picture in a file, upright; of several pictures the first, with a warning. UserError if there is none."""
    image, several = load_picture(path)
    if several:
        warnings.warn(f"{os.fspath(path)!r} holds several pictures; the first is taken", stacklevel=2)
    try:
        return ImageOps.exif_transpose(image)  # a camera does not turn the picture; it stores how it was held
    except Exception as error:
        raise _unreadable(path, error) from error


def load_picture(path: str | os.PathLike[str]) -> tuple[Image.Image, bool]:
    """(the picture as it is stored, whether the file holds more pictures). UserError if there is none."""
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError("a folder, a device or a pipe")  # reading from a pipe may wait for ever
        with Image.open(path) as image:
            if image.format == "EPS":
                raise OSError("PostScript, a program that would have to be run")
            # the second picture of an MPO file is a small preview; the layers of a PSD file are parts of one picture
            several = image.format not in ("MPO", "PSD") and getattr(image, "is_animated", False)
            image.load()
            return image, several
    except FileNotFoundError:
        raise UserError(f"no picture {os.fspath(path)!r}: there is no such file") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise many types of errors for damaged data
        raise _unreadable(path, error) from error


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

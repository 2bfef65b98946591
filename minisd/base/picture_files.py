"""Files of pictures: opening any format that Pillow knows, writing PNG files with their parameters."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from PIL import Image, ImageOps, PngImagePlugin

from .errors import UserError
from .outputs import Writer, write_file


def open_picture(path: str | os.PathLike[str]) -> Image.Image:
    """The picture in a file, upright; of an animation the first, with a warning. UserError where there is none."""
    image, several = load_picture(path)
    if several:
        warnings.warn(f"{os.fspath(path)!r} holds several pictures; the first is taken", stacklevel=2)
    try:
        return ImageOps.exif_transpose(image)  # cameras store how they were held, not a turned picture
    except Exception as error:
        raise _unreadable(path, error) from error


def load_picture(path: str | os.PathLike[str]) -> tuple[Image.Image, bool]:
    """(the picture as it is stored, whether the file holds more). UserError where there is none."""
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError("a folder, a device or a pipe")  # a pipe might be waited for without end
        with Image.open(path) as image:
            if image.format == "EPS":
                raise OSError("PostScript, a program that another one would have to run")
            # a photograph's second picture (MPO) is a small one for previews, layers (PSD) are part of the first
            several = image.format not in ("MPO", "PSD") and getattr(image, "is_animated", False)
            image.load()
            return image, several
    except FileNotFoundError:
        raise UserError(f"no picture {os.fspath(path)!r}: there is no such file") from None
    except MemoryError:
        raise
    except Exception as error:  # whatever a format's decoder stumbles over in damaged data
        raise _unreadable(path, error) from error


def _unreadable(path: str | os.PathLike[str], error: Exception) -> UserError:
    return UserError(f"{os.fspath(path)!r} is not a picture that can be read: {error}")


def save_png(image: Image.Image, path: Path, parameters: str = "") -> Path:
    """Writes a PNG with its parameters, over a file of that name; no half picture is ever left. Returns the path."""
    return write_file(path, png_writer(image, parameters))


def png_writer(image: Image.Image, parameters: str = "") -> Writer:
    """Writes the picture as PNG with its parameters into an open file, e.g. for `outputs.write_output`."""
    info = PngImagePlugin.PngInfo()
    if parameters:  # half a surrogate pair, as a file's name may hold it, is no text: its escape is
        info.add_itxt("parameters", parameters.encode("utf-8", "backslashreplace").decode())
    return lambda file: image.save(file, format="PNG", pnginfo=info)

"""A picture as a model needs it: upright, in sRGB, and of an exact size; and what was done to it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, ImageOps

from .arguments import is_whole, plain, shown
from .errors import UserError
from .picture_colours import read_colours

# Pixels that each side of the part that is used must have. It is the side of one latent; with fewer, there is nothing
# to see in the enlarged picture
SMALLEST = 8
# The least part of the longer side that a crop around the centre may leave. Below it, what the model gets is hardly the
# picture that the user sees and the prompt describes
LEAST_PART = 1 / 20

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture that is ready for the model. `suppress.run` takes it as `image`, and says nothing about it again."""

    picture: Image.Image  # RGB, of exactly the size that was asked for, without any metadata
    remarks: list[str]  # what was done, in the order in which it was done; empty if nothing was
    size: tuple[int, int]  # (width, height) of the upright picture before it was cropped
    box: Box  # the part of the upright picture that was used, in its pixels


def prepare(image: Image.Image, height: int, width: int, crop: Sequence[int] | None = None) -> Prepared:
    """The picture with exactly height × width pixels: turned upright, converted to sRGB, cropped and resized.

    crop: (left, top, right, bottom) in pixels of the upright picture. What is left, or else the whole picture, is
    cropped around its centre if its aspect is not that of height × width.

    UserError for a crop that is empty or outside the picture, if less than a twentieth of the longer side would be
    left, and if a side of what is left has fewer than 8 pixels.
    """
    rgb, remarks = upright(image)
    size = rgb.size
    whole = (0, 0, *size)
    asked = whole if crop is None else _check_crop(crop, size)
    if asked != whole:
        remarks.append(f"cropped to {_size(asked)} of {_size(whole)} pixels, as asked")
    box = _centre(asked, height, width)
    if _size(box) != _size(asked):
        remarks.append(f"cropped to {_size(box)} of {_size(asked)} pixels around the centre")
    if _size(box) != f"{width} × {height}":
        remarks.append(f"resized to {width} × {height}")
    return Prepared(cut(rgb, box, height, width), remarks, size, box)


def cut(image: Image.Image, box: Box, height: int, width: int) -> Image.Image:
    """The part `box` of a picture, resized to height × width."""
    if (0, 0, width, height) == box == (0, 0, *image.size):
        return image
    return image.resize((width, height), Image.Resampling.LANCZOS, box=box)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any picture upright, as RGB with 8 bits per channel in sRGB. What is done to it is told in warnings.

    UserError if the picture has no pixels, or if the range of its values is unknown.
    """
    rgb, remarks = upright(image)
    for remark in remarks:
        warnings.warn(f"the picture: {remark}", stacklevel=2)
    return rgb


def upright(image: Image.Image, ground: str = "white") -> tuple[Image.Image, list[str]]:
    """(any picture upright as RGB in sRGB, what was done). ground: the colour under transparent parts."""
    remarks = []
    if holds_several(image):
        remarks.append(f"number {image.tell() + 1} of the pictures in its file taken")
    try:
        turned = is_turned(image)
        image = ImageOps.exif_transpose(image)
        if turned:
            remarks.append("turned by its EXIF orientation")
    except Exception as error:  # Pillow raises many types of errors for damaged data
        remarks.append(f"its EXIF data cannot be read, so it is taken as it is stored ({error})")
    rgb, about_colours = read_colours(image, ground)
    return rgb, remarks + about_colours


def is_turned(image: Image.Image) -> bool:
    """Whether its EXIF data says that it is stored turned or mirrored. A camera stores how it was held."""
    return image.getexif().get(ExifTags.Base.Orientation) in range(2, 9)


def holds_several(image: Image.Image) -> bool:
    """Whether the picture comes from an open file with more pictures: an animation, or pages."""
    # the second picture of an MPO file is a small preview; the layers of a PSD file are parts of one picture
    return getattr(image, "format", None) not in ("MPO", "PSD") and getattr(image, "is_animated", False)


def _check_crop(crop: Any, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The crop as Python's ints; UserError if it is not one, is empty, or leaves the picture of `size`."""
    width, height = size
    form = "(left, top, right, bottom) in pixels"
    if isinstance(crop, str) or not isinstance(crop, Sequence) or len(crop) != 4 or not all(map(is_whole, crop)):
        raise UserError(f"crop = {shown(crop)}; expected {form}, four whole numbers")
    left, top, right, bottom = map(plain, crop)
    if not (0 <= left <= width and 0 <= top <= height and 0 <= right <= width and 0 <= bottom <= height):
        raise UserError(
            f"crop = {shown(tuple(crop))} leaves the picture, which has {width} × {height} pixels; expected {form}, "
            f"at most (0, 0, {width}, {height})"
        )
    if left >= right or top >= bottom:
        raise UserError(f"crop = {shown(tuple(crop))} is empty; expected {form}, left < right and top < bottom")
    return left, top, right, bottom


def _centre(box: Box, height: int, width: int) -> Box:
    """The largest part of `box`, around its centre, that has the aspect of height × width."""
    left, top, right, bottom = box
    box_width, box_height = right - left, bottom - top
    new_width = min(box_width, box_height * width / height)
    new_height = min(box_height, box_width * height / width)
    if min(new_width, new_height) < SMALLEST:
        raise UserError(
            f"the picture has {_size(box)} pixels to be drawn as {width} × {height}; expected at least {SMALLEST} on "
            "each side. Give a larger picture, or a larger part of it"
        )
    if min(new_width / box_width, new_height / box_height) < LEAST_PART:
        raise UserError(
            f"the picture has {_size(box)} pixels; to be drawn as {width} × {height}, it would lose more than "
            f"{1 - LEAST_PART:.0%} of its {'width' if new_width < box_width else 'height'}. Say which part of it to "
            "take, crop=(left, top, right, bottom), or give a height and width that are more like it"
        )
    left, top = left + (box_width - new_width) / 2, top + (box_height - new_height) / 2
    if (new_width, new_height) == (width, height):  # whole pixels stay sharp
        left, top = int(left), int(top)
    return left, top, left + new_width, top + new_height


def _size(box: Box) -> str:
    left, top, right, bottom = box
    return f"{round(right - left)} × {round(bottom - top)}"

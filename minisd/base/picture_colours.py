"""The colours of any picture as RGB with 8 bits per channel, in sRGB, which models read and write.

Each step that changes the colours is told in a remark, such as "transparent parts laid on white".
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

from .errors import UserError

_GREY = ("1", "L", "LA")  # modes of grey pictures, with and without transparent parts
# A profile whose colours differ from those of sRGB by no more than this, of 255 levels, is sRGB itself, rounded
_SAME = 2


def read_colours(image: Image.Image, ground: str = "white") -> tuple[Image.Image, list[str]]:
    """(the picture as RGB without any metadata, what was done).

    ground: the colour that lies under transparent parts. The colours that a file stores for them are arbitrary, often
    black. UserError if the picture has no pixels, or if the range of its values is unknown.
    """
    if not image.width or not image.height:
        raise UserError(f"the picture has {image.width}×{image.height} pixels (width × height)")
    remarks: list[str] = []
    profile = image.info.get("icc_profile")
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image, remarks)
    try:
        alpha = None
        grey = image.mode in _GREY
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            image, alpha = layer.convert("RGB"), layer.getchannel("A")
        image = _srgb(image, profile, grey, remarks) if profile else image.convert("RGB")
    except (OSError, TypeError, ValueError) as error:
        raise UserError(f"a picture of mode {image.mode} that cannot be converted to RGB: {error}") from error
    if alpha is not None and np.asarray(alpha).min() < 255:
        remarks.append(f"transparent parts laid on {ground}")
        image = Image.composite(image, Image.new("RGB", image.size, ground), alpha)
    image.info = {}  # Pillow would write a profile that it finds here into a PNG file
    return image, remarks


def _eight_bits(image: Image.Image, remarks: list[str]) -> Image.Image:
    """Grey of 16 bits, 32 bits or floating point -> grey of 8 bits, scaled. Pillow alone would clip the values."""
    values = np.asarray(image).astype(np.float64)
    low, high = values.min(), values.max()
    tops = {"I": (255, 65535), "F": (1, 255, 65535)}.get(image.mode, (65535,))  # the other modes are variants of I;16
    top = next((top for top in tops if low >= 0 and high <= top), None)
    if top is None:
        known = " or ".join(f"0 to {top}" for top in tops)
        raise UserError(
            f"the picture holds numbers from {low:g} to {high:g}; expected {known}. Save it with 8 bits per channel"
        )
    if len(tops) > 1:
        remarks.append(f"its numbers, from {low:g} to {high:g}, read as 0 (black) to {top} (white)")
    grey = Image.fromarray((values * (255 / top)).round().astype(np.uint8))
    clear = image.info.get("transparency")  # a PNG may declare one level to be transparent
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def _srgb(image: Image.Image, data: bytes, grey: bool, remarks: list[str]) -> Image.Image:
    """The picture in sRGB, as its colour profile says. A damaged profile is told, and the numbers stay as they are."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        name = ImageCms.getProfileDescription(profile).strip()
        mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}.get(profile.profile.xcolor_space.strip())
        if mode is None or (mode != "RGB" and mode != image.mode and not (mode == "L" and grey)):
            raise ValueError(f"it is for {profile.profile.xcolor_space.strip()} pictures")
        if mode == "RGB" and image.mode in ("CMYK", "LAB"):
            raise ValueError("it is for RGB pictures")
        to_srgb = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode == "RGB" and _changes_little(to_srgb):
            return image.convert("RGB")
        converted = ImageCms.applyTransform(image.convert(mode), to_srgb)
        assert converted is not None  # it is None only if the picture is changed in place
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError, ImportError) as error:  # ImportError: no LittleCMS
        remarks.append(f"its colour profile cannot be used, so its numbers are read as sRGB ({error})")
        return image.convert("RGB")
    remarks.append(f"its colour profile ({name}) converted to sRGB")
    return converted


def _changes_little(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a transform of RGB leaves a grid of colours as they are, to rounding."""
    levels = np.linspace(0, 255, 6).astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(6, 36, 3)
    converted = ImageCms.applyTransform(Image.fromarray(colours), transform)
    return bool(np.abs(np.asarray(converted).astype(int) - colours).max() <= _SAME)

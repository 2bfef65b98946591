"""The colours of any picture: profiles, transparent parts, modes."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from minisd import UserError
from minisd.base.picture_colours import read_colours
from minisd.base.picture_files import open_picture, save_png
from minisd.picture import prepare, to_rgb

pytestmark = pytest.mark.quick

# the colours of the primaries as seen in the light D50, which profiles hold: columns X, Y, Z of red, green, blue
P3 = np.array([[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]])
SRGB = np.array([[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.71410]])
GAMMA = 563 / 256  # 2.199, as a profile stores it


def profile(space, name, primaries=None, gamma=GAMMA):
    """A colour profile (ICC version 2): a curve, and for RGB the primaries."""

    def xyz(values):
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    text = name.encode() + b"\0"
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    tags = {
        "desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        "wtpt": xyz([0.9642, 1.0, 0.8249]),
    }
    if primaries is None:
        tags["kTRC"] = curve
    else:
        for letter, primary in zip("rgb", primaries, strict=True):
            tags |= {f"{letter}XYZ": xyz(primary), f"{letter}TRC": curve}
    table, data = struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        table += tag.encode() + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = struct.pack(">I4xI4s4s4s", 132 + 12 * len(tags) + len(data), 0x02400000, b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + data


def srgb_level(linear):
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


COLOURS = np.array([[[200, 100, 100], [90, 160, 80], [255, 255, 255], [128, 128, 128]]], np.uint8)


def with_profile(image, data):
    image.info["icc_profile"] = data
    return image


def test_a_colour_profile_is_converted_to_srgb():
    linear = (COLOURS / 255.0) ** GAMMA
    want = srgb_level(linear @ P3 @ np.linalg.inv(SRGB))
    assert np.abs(want - COLOURS).max() > 10  # another picture than its bare numbers
    image = with_profile(Image.fromarray(COLOURS), profile(b"RGB ", "Display P3", P3))
    rgb, remarks = read_colours(image)
    assert np.abs(np.asarray(rgb) - want).max() <= 1.5
    assert remarks == ["its colour profile (Display P3) converted to sRGB"]
    assert image.info and np.array_equal(np.asarray(image), COLOURS)  # the user's picture is left alone


@pytest.mark.parametrize("image", [Image.new("L", (8, 8), 128), Image.new("LA", (8, 8), (128, 255))])
def test_a_profile_of_grey_pictures_is_converted(image):
    image = with_profile(image, profile(b"GRAY", "Linear", gamma=1))
    rgb, remarks = read_colours(image)
    assert abs(rgb.getpixel((0, 0))[0] - srgb_level(128 / 255)) <= 1.5
    assert remarks == ["its colour profile (Linear) converted to sRGB"]


def test_transparent_parts_of_a_picture_with_a_profile_are_white():
    image = Image.fromarray(np.dstack([COLOURS, [[255, 255, 0, 0]]]).astype(np.uint8))
    rgb, remarks = read_colours(with_profile(image, profile(b"RGB ", "Display P3", P3)))
    opaque, _ = read_colours(with_profile(Image.fromarray(COLOURS), profile(b"RGB ", "Display P3", P3)))
    assert np.array_equal(np.asarray(rgb)[:, :2], np.asarray(opaque)[:, :2])
    assert (np.asarray(rgb)[:, 2:] == 255).all()
    assert remarks == ["its colour profile (Display P3) converted to sRGB", "transparent parts laid on white"]


def test_srgb_stays_as_it_is_and_says_nothing():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rgb, remarks = read_colours(with_profile(Image.fromarray(COLOURS), srgb))
    assert np.array_equal(np.asarray(rgb), COLOURS) and not remarks


@pytest.mark.parametrize(
    ("image", "data"),
    [
        (Image.fromarray(COLOURS), b"no profile"),
        (Image.fromarray(COLOURS), profile(b"RGB ", "P3", P3)[:200]),
        (Image.fromarray(COLOURS), profile(b"GRAY", "Grey")),
        (Image.new("CMYK", (4, 1)), profile(b"RGB ", "P3", P3)),
    ],
)
def test_a_profile_that_cannot_be_used_is_told_and_the_numbers_stay(image, data):
    plain = np.asarray(image.convert("RGB"))
    rgb, [remark] = read_colours(with_profile(image.copy(), data))
    assert np.array_equal(np.asarray(rgb), plain)
    assert remark.startswith("its colour profile cannot be used, so its numbers are read as sRGB (")


def test_without_littlecms_a_profile_is_told(monkeypatch):
    def missing(file):
        raise ImportError("the _imagingcms C module is not installed")

    monkeypatch.setattr(ImageCms, "ImageCmsProfile", missing)
    rgb, [remark] = read_colours(with_profile(Image.fromarray(COLOURS), profile(b"RGB ", "Display P3", P3)))
    assert np.array_equal(np.asarray(rgb), COLOURS) and "cannot be used" in remark


def test_the_ground_lies_under_transparent_parts():
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert read_colours(image, "black")[0].getpixel((0, 0)) == (0, 0, 0)
    assert read_colours(image)[0].getpixel((0, 0)) == (255, 255, 255)
    assert read_colours(Image.new("RGBA", (8, 8), "red"))[1] == []


RED = {"RGB": (255, 0, 0), "P": (255, 0, 0), "CMYK": (254, 0, 0), "YCbCr": (254, 0, 0), "HSV": (255, 0, 0)}


@pytest.mark.parametrize("mode", RED)
def test_other_modes_have_the_right_colours(mode):
    image = Image.new("RGB", (8, 8), "red").convert(mode)
    assert np.abs(np.subtract(read_colours(image)[0].getpixel((0, 0)), RED[mode])).max() <= 1


def test_nothing_of_the_metadata_is_written(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "at home"
    exif.get_ifd(0x8825)[1] = "N"  # where the camera was
    image = Image.fromarray(COLOURS.repeat(8, 0).repeat(2, 1))
    image.save(tmp_path / "photo.jpg", exif=exif, icc_profile=profile(b"RGB ", "Display P3", P3), comment="secret")
    photo = open_picture(tmp_path / "photo.jpg")
    assert photo.getexif()[0x010E] == "at home"
    for n, made in enumerate((prepare(photo, 8, 8).picture, to_rgb(photo))):
        assert made.info == {} and not made.getexif()
        written = save_png(made, tmp_path / f"{n}.png").read_bytes()
        assert not any(word in written for word in (b"at home", b"secret", b"eXIf", b"iCCP"))


def test_a_picture_without_pixels_is_refused():
    with pytest.raises(UserError, match="the picture has 0×4 pixels"):
        read_colours(Image.new("RGB", (0, 4)))

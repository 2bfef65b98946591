"""A picture made ready: turned, cropped, resized, and what is said about it."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from minisd import UserError
from minisd.base.picture_files import open_picture
from minisd.picture import prepare, to_rgb

pytestmark = pytest.mark.quick

TURNED = "turned by its EXIF orientation"


def noise(width, height):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def held(image, orientation):
    """The picture with the EXIF orientation of a camera that was held so."""
    image.getexif()[0x0112] = orientation
    image.info["exif"] = image.getexif().tobytes()
    return image


def same(a, b):
    return np.array_equal(np.asarray(a), np.asarray(b))


def test_a_picture_of_the_right_size_is_left_alone_without_a_word():
    image = noise(16, 24)
    ready = prepare(image, 24, 16)
    assert same(ready.picture, image) and ready.remarks == []
    assert (ready.size, ready.box) == ((16, 24), (0, 0, 16, 24))


def test_it_is_cropped_around_its_centre_and_resized_and_told():
    image = noise(640, 512)
    ready = prepare(image, 128, 128)
    assert same(ready.picture, image.resize((128, 128), Image.Resampling.LANCZOS, box=(64, 0, 576, 512)))
    assert ready.remarks == ["cropped to 512 × 512 of 640 × 512 pixels around the centre", "resized to 128 × 128"]
    assert ready.box == (64, 0, 576, 512)
    high = prepare(image, 512, 128)
    assert high.remarks[0] == "cropped to 128 × 512 of 640 × 512 pixels around the centre"
    assert same(high.picture, image.crop((256, 0, 384, 512)))  # not resized, so not blurred


def test_a_crop_by_an_odd_number_of_pixels_keeps_them_sharp():
    image = noise(33, 16)
    ready = prepare(image, 16, 16)
    assert same(ready.picture, image.crop((8, 0, 24, 16)))
    assert ready.remarks == ["cropped to 16 × 16 of 33 × 16 pixels around the centre"]


def test_a_crop_that_has_the_aspect_is_taken_as_it_is():
    image = noise(64, 48)
    ready = prepare(image, 16, 32, crop=(8, 4, 40, 20))
    assert same(ready.picture, image.crop((8, 4, 40, 20)))
    assert ready.remarks == ["cropped to 32 × 16 of 64 × 48 pixels, as asked"]


def test_a_crop_of_another_aspect_is_cropped_again_and_told():
    image = noise(64, 48)
    ready = prepare(image, 16, 16, crop=np.array([8, 4, 40, 20]).tolist())
    assert same(ready.picture, image.crop((16, 4, 32, 20)))
    assert ready.remarks == [
        "cropped to 32 × 16 of 64 × 48 pixels, as asked",
        "cropped to 16 × 16 of 32 × 16 pixels around the centre",
    ]
    assert ready.box == (16, 4, 32, 20)


def test_a_crop_of_everything_is_no_crop():
    assert prepare(noise(16, 16), 16, 16, (0, 0, 16, 16)).remarks == []


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_crop_counts_in_the_upright_picture(orientation):
    stored = held(noise(48, 32), orientation)
    upright = ImageOps.exif_transpose(stored).convert("RGB")
    ready = prepare(stored, 16, 16, crop=(3, 5, 19, 21))
    assert same(ready.picture, upright.crop((3, 5, 19, 21)))
    assert ready.size == upright.size
    assert (ready.remarks[0] == TURNED) == (orientation != 1)


def test_a_picture_that_was_turned_is_not_turned_again(tmp_path):
    held(noise(48, 32), 6).save(tmp_path / "photo.png", exif=held(noise(48, 32), 6).getexif())
    ready = prepare(open_picture(tmp_path / "photo.png"), 48, 32)
    assert ready.remarks == [TURNED] and ready.picture.size == (32, 48)
    assert prepare(ready.picture, 48, 32).remarks == []


def test_damaged_exif_data_is_told_and_the_picture_is_taken():
    image = noise(16, 16)
    image.info["exif"] = b"Exif\0\0MM\0*\0\0"
    ready = prepare(image, 16, 16)
    assert same(ready.picture, image)
    assert ready.remarks[0].startswith("its EXIF data cannot be read, so it is taken as it is stored (")


def test_an_animation_given_in_python_is_the_picture_at_which_it_stands(tmp_path):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("white", "black")]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "x.gif") as image:
        first = prepare(image, 16, 16)
        image.seek(1)
        second = prepare(image, 16, 16)
    assert first.remarks == ["number 1 of the pictures in its file taken"] and first.picture.getpixel((0, 0))[0] == 255
    assert second.remarks == ["number 2 of the pictures in its file taken"] and second.picture.getpixel((0, 0))[0] == 0


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_turning_sixteen_bits_keeps_them(dtype):
    image = Image.fromarray((np.arange(256).reshape(8, 32) * 257).astype(dtype))
    ready = prepare(held(image, 6), 32, 8)
    want = np.rot90(np.arange(256).reshape(8, 32), -1)
    assert np.array_equal(np.asarray(ready.picture)[..., 0], want)


def test_what_is_told_of_the_colours_is_a_warning_of_to_rgb():
    with pytest.warns(UserWarning, match="^the picture: turned by its EXIF orientation$"):
        to_rgb(held(noise(48, 32), 3))


@pytest.mark.parametrize(
    ("crop", "message"),
    [
        ((0, 0, 41, 30), r"crop = \(0, 0, 41, 30\) leaves the picture, which has 40 × 30 pixels"),
        ((-1, 0, 20, 20), r"crop = \(-1, 0, 20, 20\) leaves the picture"),
        ((0, 0, 20, 31), r"at most \(0, 0, 40, 30\)"),
        ((20, 0, 20, 20), r"crop = \(20, 0, 20, 20\) is empty; .* left < right and top < bottom"),
        ((0, 20, 20, 10), "is empty"),
        ((0, 0, 20), r"crop = \(0, 0, 20\); expected \(left, top, right, bottom\) in pixels, four whole numbers"),
        ((0, 0, 20.5, 20), "four whole numbers"),
        ("0000", "four whole numbers"),
        (7, "four whole numbers"),
    ],
)
def test_crops_that_are_refused(crop, message):
    with pytest.raises(UserError, match=message):
        prepare(noise(40, 30), 8, 8, crop)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 100), (100, 7)])
def test_a_picture_of_too_few_pixels_is_refused_with_the_way_out(width, height):
    with pytest.raises(
        UserError, match=rf"the picture has {width} × {height} pixels .*at least 8 on each side\. Give a"
    ):
        prepare(noise(width, height), 64, 64)
    assert prepare(noise(8, 8), 64, 64).remarks == ["resized to 64 × 64"]


def test_a_small_rest_of_a_picture_is_refused_too():
    with pytest.raises(UserError, match="at least 8 on each side"):
        prepare(noise(100, 15), 128, 64)  # a part of 7.5 × 15


@pytest.mark.parametrize(("size", "side"), [((420, 20), "width"), ((20, 420), "height")])
def test_an_impossible_aspect_is_refused_with_the_way_out(size, side):
    with pytest.raises(UserError, match=rf"more than 95% of its {side}\. Say which part of it to take, crop="):
        prepare(noise(*size), 64, 64)
    assert prepare(noise(*size), 64, 64, crop=(0, 0, 20, 20)).picture.size == (64, 64)
    assert prepare(noise(400, 20), 64, 64).picture.size == (64, 64)  # a twentieth is left
    height, width = (8, 168) if side == "width" else (168, 8)
    assert prepare(noise(*size), height, width).picture.size == (width, height)

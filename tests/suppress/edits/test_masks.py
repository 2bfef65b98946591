"""A user's mask: it follows the picture, and a mask that is no mask is refused."""

import warnings

import numpy as np
import pytest
from PIL import Image, ImageDraw

from minisd import UserError
from minisd.picture import prepare
from suppress.edits.masks import read_mask

pytestmark = pytest.mark.quick


@pytest.fixture
def photo():
    """96 × 64 pixels, black but for a white square."""
    image = Image.new("RGB", (96, 64))
    ImageDraw.Draw(image).rectangle((40, 8, 55, 23), "white")
    return image


def white(mask):
    """The box of what is white."""
    rows, columns = np.nonzero(mask[0, 0].numpy())
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("crop", [None, (32, 0, 64, 32), (8, 0, 96, 60)])
@pytest.mark.parametrize("side", [64, 32])
def test_a_mask_of_the_pictures_size_follows_its_crop(photo, crop, side):
    ready = prepare(photo, side, side, crop)
    mask = read_mask(photo.convert("L"), side, side, ready)
    assert mask.shape == (1, 1, side, side)
    seen = np.asarray(ready.picture)[..., 0] > 127
    assert (seen != mask[0, 0].numpy()).mean() < 0.02  # the two are resized with different filters


def test_a_mask_of_the_models_size_is_taken_as_it_is(photo):
    mask = Image.new("L", (32, 32))
    mask.paste(255, (1, 2, 5, 9))
    assert white(read_mask(mask, 32, 32, prepare(photo, 32, 32))) == (1, 2, 5, 9)
    assert white(read_mask(mask, 32, 32)) == (1, 2, 5, 9)  # of a drawing


def test_the_pictures_size_counts_first_if_the_model_has_the_same():
    mask = Image.new("L", (64, 64))
    mask.paste(255, (32, 32, 48, 48))
    ready = prepare(Image.new("RGB", (64, 64)), 64, 64, crop=(32, 32, 64, 64))
    assert white(read_mask(mask, 64, 64, ready)) == (0, 0, 32, 32)


def test_a_mask_of_another_size_is_resized_and_told(photo):
    mask = photo.convert("L").resize((48, 32))
    with pytest.warns(UserWarning, match="the mask has 48 × 32 pixels, the picture 96 × 64; the mask is resized"):
        assert white(read_mask(mask, 64, 64, prepare(photo, 64, 64))) == (24, 8, 40, 24)
    with pytest.warns(UserWarning, match="the mask has 48 × 32 pixels, the picture 64 × 64"):
        assert white(read_mask(mask, 64, 64)) == (27, 8, 37, 24)


def left_half(kind):
    """A mask of 8 × 8 whose left half is white, in one of the ways in which files hold it."""
    left = np.arange(64).reshape(8, 8) % 8 < 4
    grey = Image.fromarray((left * 255).astype(np.uint8))
    painted = Image.new("RGBA", (8, 8), (0, 0, 0, 0))  # white paint on a layer that is transparent elsewhere
    painted.paste("white", (0, 0, 4, 8))
    hidden = Image.new("RGBA", (8, 8), (255, 255, 255, 0))  # the same, but the transparent part is white underneath
    hidden.paste("white", (0, 0, 4, 8))
    return {
        "L": grey,
        "1": grey.convert("1"),
        "RGB": grey.convert("RGB"),
        "P": grey.convert("RGB").quantize(2),
        "CMYK": grey.convert("CMYK"),
        "16 bits": Image.fromarray((left * 65535).astype(np.uint16)),
        "F": Image.fromarray(left.astype(np.float32)),
        "RGBA": grey.convert("RGBA"),
        "painted": painted,
        "hidden": hidden,
        "LA": hidden.convert("LA"),
    }[kind]


@pytest.mark.parametrize("kind", ["L", "1", "RGB", "P", "CMYK", "16 bits", "F", "RGBA", "painted", "hidden", "LA"])
def test_masks_of_every_mode(kind):
    assert white(read_mask(left_half(kind), 8, 8)) == (0, 0, 4, 8)


def test_white_is_above_middle_grey():
    mask = Image.new("L", (8, 8), 127)
    mask.putpixel((3, 5), 128)
    assert white(read_mask(mask, 8, 8)) == (3, 5, 4, 6)


@pytest.mark.parametrize(
    ("mask", "brightest"),
    [
        (Image.new("L", (8, 8)), 0),
        (Image.new("L", (8, 8), 1), 1),  # labels 0 and 1
        (Image.new("RGBA", (8, 8), (255, 255, 255, 0)), 0),
    ],
)
def test_an_empty_mask_is_refused_with_the_way_out(mask, brightest):
    message = rf"the mask has no white: its brightest pixel is {brightest} of 255, .* Paint white what may change"
    with pytest.raises(UserError, match=message):
        read_mask(mask, 8, 8)


def test_a_mask_outside_the_crop_is_refused(photo):
    with pytest.raises(UserError, match="none of the mask's white is left in the part of the picture that is used"):
        read_mask(photo.convert("L"), 32, 32, prepare(photo, 32, 32, crop=(0, 32, 32, 64)))


def test_a_mask_of_everything_is_told():
    with pytest.warns(UserWarning, match="the mask is white everywhere, so nothing is kept; paint black"):
        assert (read_mask(Image.new("L", (8, 8), "white"), 8, 8) == 1).all()

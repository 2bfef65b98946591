"""Tensors to pictures and back, overlays, sheets."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minisd import UserError, picture
from minisd.base.picture_files import open_picture

pytestmark = pytest.mark.quick


def noise(width, height, seed=0):
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


# ---------------------------------------------------------------------- tensors


def test_every_level_survives_the_way_there_and_back():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(np.stack([levels, levels.T, levels[::-1]], axis=-1))
    x = picture.from_pil(image)
    assert x.shape == (1, 3, 16, 16)
    assert (x.min(), x.max()) == (-1, 1)
    [back] = picture.to_pil(x)
    assert np.array_equal(np.asarray(back), np.asarray(image))


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_pictures_of_any_size_survive_in_a_batch(width, height, seed):
    images = [noise(width, height, seed), noise(width, height, seed + 1)]
    back = picture.to_pil(torch.cat([picture.from_pil(image) for image in images]))
    for a, b in zip(images, back, strict=True):
        assert a.size == b.size
        assert np.array_equal(np.asarray(a), np.asarray(b))


def test_values_are_clamped_and_rounded_to_the_nearest_level():
    x = torch.tensor([-7.0, -1.0, 0.9 / 127.5 - 1, 1.0, 3.0]).expand(1, 3, 1, 5)
    assert np.asarray(picture.to_pil(x)[0])[0, :, 0].tolist() == [0, 0, 1, 255, 255]
    assert np.asarray(picture.to_pil(x.bfloat16())[0])[0, :, 0].tolist()[:2] == [0, 0]


def test_channels_and_axes_are_where_they_belong():
    image = Image.new("RGB", (3, 2))
    image.putpixel((2, 1), (255, 0, 0))  # the lower right, red
    x = picture.from_pil(image)
    assert x[0, 0, 1, 2] == 1
    assert (x == 1).sum() == 1


def test_a_picture_is_scaled_and_cropped_about_the_centre():
    image = Image.new("RGB", (40, 10), "black")
    image.paste("white", (15, 0, 25, 10))  # the middle square
    x = picture.from_pil(image, 20, 20)
    assert x.shape == (1, 3, 20, 20)
    assert (x[..., 2:-2] > 0.9).all()
    assert torch.equal(picture.from_pil(image, 10, 40), picture.from_pil(image))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_pictures_of_other_modes_are_read_as_rgb(mode):
    x = picture.from_pil(Image.new("RGB", (4, 4), "white").convert(mode))
    assert torch.equal(x, torch.ones(1, 3, 4, 4))


RAMP = np.linspace(0, 65535, 256).round()  # 16 bits; it has each level of 8 bits once


@pytest.mark.parametrize(
    ("values", "mode"),
    [
        (RAMP.astype("<u2"), "I;16"),
        (RAMP.astype(">u2"), "I;16B"),
        (RAMP.astype(np.int32), "I"),
        (np.arange(256, dtype=np.int32), "I"),
        ((RAMP / 65535).astype(np.float32), "F"),
        (np.arange(256, dtype=np.float32), "F"),
    ],
)
@pytest.mark.filterwarnings("ignore:the picture. its numbers")
def test_grey_of_more_than_eight_bits_keeps_its_levels(tmp_path, values, mode):
    Image.fromarray(values[None]).save(tmp_path / "grey.tiff")
    image = open_picture(tmp_path / "grey.tiff")
    assert image.mode == mode
    assert np.array_equal(np.asarray(picture.to_rgb(image))[0], np.arange(256)[:, None].repeat(3, axis=1))
    assert torch.equal(picture.from_pil(image), picture.from_pil(picture.to_rgb(image)))


def test_a_dark_picture_of_16_bits_stays_dark(tmp_path):
    Image.fromarray(np.full((2, 2), 200, dtype=np.uint16)).save(tmp_path / "dark.png")
    assert np.asarray(picture.to_rgb(open_picture(tmp_path / "dark.png"))).max() == 1


def test_numbers_whose_range_is_taken_from_them_are_told():
    with pytest.warns(UserWarning, match=r"its numbers, from 0 to 0\.5, read as 0 \(black\) to 1 \(white\)"):
        levels = np.asarray(picture.to_rgb(Image.fromarray(np.float32([[0, 0.5]]))))
    assert levels[0, :, 0].tolist() == [0, 128]


@pytest.mark.parametrize("values", [[-1, 0], [0, np.nan], [0, np.inf], [0, 1e6]])
def test_numbers_that_say_no_range_are_refused(values):
    with pytest.raises(
        UserError, match=r"the picture holds numbers from .*; expected 0 to 1 or 0 to 255 or 0 to 65535"
    ):
        picture.from_pil(Image.fromarray(np.float32([values])))


def cut_out(mode):
    """The left part is transparent, over black; the right part is opaque red (white in grey modes)."""
    if mode == "tRNS":
        image = Image.new("RGB", (4, 4), "red")
        image.paste((0, 0, 7), (0, 0, 2, 4))
        image.info["transparency"] = (0, 0, 7)
        return image
    if mode == "I;16":
        image = Image.fromarray(np.where(np.arange(4) < 2, 7, 65535).astype(np.uint16)[None].repeat(4, axis=0))
        image.info["transparency"] = 7
        return image
    image = Image.new("RGBA", (4, 4), "red")
    image.paste((0, 0, 0, 0), (0, 0, 2, 4))
    return image.quantize() if mode == "P" else image.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "P", "tRNS", "I;16"])
def test_transparent_pictures_are_laid_on_white(mode):
    image = cut_out(mode)
    assert image.has_transparency_data
    with pytest.warns(UserWarning, match="transparent parts laid on white"):
        levels = np.asarray(picture.to_rgb(image))
    assert (levels[:, :2] == 255).all()
    right = {"I;16": 255, "LA": 76}.get(mode, (255, 0, 0))
    assert (levels[:, 2:] == right).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
@pytest.mark.filterwarnings("error")
def test_opaque_pictures_are_as_they_were(mode):
    assert (np.asarray(picture.to_rgb(Image.new("RGB", (4, 4), "black").convert(mode))) == 0).all()


def test_half_transparent_is_half_white():
    with pytest.warns(UserWarning, match="laid on white"):
        assert picture.to_rgb(Image.new("RGBA", (1, 1), (0, 0, 0, 128))).getpixel((0, 0)) == (127, 127, 127)


def test_pictures_without_pixels_and_of_odd_modes_are_refused():
    with pytest.raises(UserError, match="0×4 pixels"):
        picture.from_pil(Image.new("RGB", (0, 4)), 8, 8)
    with pytest.raises(UserError, match="of mode La that cannot be converted"):
        picture.from_pil(Image.new("La", (4, 4)))


# ---------------------------------------------------------------------- sheets, overlays


def test_an_overlay_is_bright_where_the_map_is_high():
    heat = torch.zeros(4, 4)
    heat[3, 0] = 2
    drawn = picture.overlay(Image.new("RGB", (64, 32), "grey"), heat)
    assert drawn.size == (64, 32)
    grey = np.asarray(drawn.convert("L"), dtype=int)
    assert grey[-1, 0] > grey[0, -1] + 80
    # the span is ten times that of the map, so nothing is bright
    dim = picture.overlay(Image.new("RGB", (64, 32), "grey"), heat, span=(0, 20))
    assert np.asarray(dim.convert("L")).max() < grey[-1, 0] - 80


def test_an_even_map_can_be_overlaid():
    drawn = picture.overlay(noise(16, 16), torch.zeros(2, 2))
    assert drawn.size == (16, 16)


def test_a_sheet_holds_its_pictures_in_rows():
    rows = [[Image.new("RGB", (30, 20), "red"), Image.new("RGB", (30, 20), "blue")], [Image.new("RGB", (10, 20))]]
    plain = picture.sheet(rows)
    assert plain.size == (2 * 34 + 4, 2 * 24 + 4)
    assert plain.getpixel((5, 5)) == (255, 0, 0)
    assert plain.getpixel((39, 5)) == (0, 0, 255)
    assert plain.getpixel((5, 29)) == (0, 0, 0)
    labels = [["red", "a label much too long for its picture"], ["black"]]
    labelled = picture.sheet(rows, labels)
    assert labelled.height > plain.height
    assert labelled.width == plain.width
    under = np.asarray(labelled.convert("L"))[25:39, :34]
    assert under.min() < 128  # letters


@pytest.mark.parametrize("size", [11, 14, 36])
def test_labels_escape_what_the_font_does_not_have(size):
    """Without escapes, all words that the font cannot draw would look the same."""
    from PIL import ImageFont

    from minisd.picture import _drawable

    font = ImageFont.load_default(size)
    assert _drawable("a man, 3 hats 4.5% [EOT] x68", font) == "a man, 3 hats 4.5% [EOT] x68"
    assert _drawable("café 👓", font) == "caf\\xe9 \\U0001f453"
    cell = Image.new("RGB", (200, 20))
    pictures = [np.asarray(picture.sheet([[cell]], [[text]])) for text in ("眼", "鏡")]
    assert not np.array_equal(*pictures)

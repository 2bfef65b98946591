"""Pictures there and back, sheets and overlays, and what is read from files."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minisd import UserError, picture


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


# ---------------------------------------------------------------------- sheets, overlays


def test_an_overlay_is_bright_where_the_map_is_high():
    heat = torch.zeros(4, 4)
    heat[3, 0] = 2
    drawn = picture.overlay(Image.new("RGB", (64, 32), "grey"), heat)
    assert drawn.size == (64, 32)
    grey = np.asarray(drawn.convert("L"), dtype=int)
    assert grey[-1, 0] > grey[0, -1] + 80
    # with a span of ten times the map's, nothing is bright
    dim = picture.overlay(Image.new("RGB", (64, 32), "grey"), heat, span=(0, 20))
    assert np.asarray(dim.convert("L")).max() < grey[-1, 0] - 80


def test_an_even_map_can_be_overlaid():
    drawn = picture.overlay(noise(16, 16), torch.zeros(2, 2))
    assert drawn.size == (16, 16)


def test_a_sheet_holds_its_pictures_in_rows():
    rows = [[Image.new("RGB", (30, 20), "red"), Image.new("RGB", (30, 20), "blue")], [Image.new("RGB", (10, 20))]]
    plain = picture.sheet(rows, gap=5)
    assert plain.size == (2 * 35 + 5, 2 * 25 + 5)
    assert plain.getpixel((6, 6)) == (255, 0, 0)
    assert plain.getpixel((41, 6)) == (0, 0, 255)
    assert plain.getpixel((6, 31)) == (0, 0, 0)
    labels = [["red", "a label much too long for its picture"], ["black"]]
    labelled = picture.sheet(rows, labels, gap=5)
    assert labelled.height > plain.height
    assert labelled.width == plain.width
    under = np.asarray(labelled.convert("L"))[26:40, :35]
    assert under.min() < 128  # letters


# ---------------------------------------------------------------------- files


def test_a_picture_is_saved_with_its_parameters(tmp_path):
    image, path = noise(9, 7), tmp_path / "x.png"
    assert picture.save(image, path, "a man\nSteps: 5") == path
    read = picture.open_picture(path)
    assert np.array_equal(np.asarray(read), np.asarray(image))
    assert read.info["parameters"] == "a man\nSteps: 5"
    assert os.listdir(tmp_path) == ["x.png"]
    picture.save(image, tmp_path / "plain.png")
    assert "parameters" not in picture.open_picture(tmp_path / "plain.png").info


def test_a_save_that_fails_leaves_no_file(tmp_path):
    with pytest.raises(OSError, match="cannot write mode F"):
        picture.save(Image.new("F", (4, 4)), tmp_path / "x.png")
    assert os.listdir(tmp_path) == []


def test_a_picture_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.png': there is no such file"):
        picture.open_picture(tmp_path / "nothing.png")


def test_files_that_are_no_pictures_are_named(tmp_path):
    (tmp_path / "text.png").write_text("a man without glasses")
    (tmp_path / "empty.png").touch()
    for name in ("text.png", "empty.png", "."):
        with pytest.raises(UserError, match="is not a picture that can be read"):
            picture.open_picture(tmp_path / name)


def test_a_file_cut_short_anywhere_is_no_picture(tmp_path):
    whole = picture.save(noise(32, 32), tmp_path / "x.png", "a man\nSteps: 5").read_bytes()
    for length in (*range(0, 120), *range(120, len(whole) - 16, 97)):
        (tmp_path / "cut.png").write_bytes(whole[:length])
        with pytest.raises(UserError, match="is not a picture"):
            picture.open_picture(tmp_path / "cut.png")


@given(st.integers(8, 150), st.integers(0, 255))
def test_a_damaged_file_is_a_picture_or_a_user_error(tmp_path_factory, at, byte):
    folder = tmp_path_factory.getbasetemp()
    whole = bytearray(picture.save(noise(8, 8), folder / "whole.png", "a man\nSteps: 5").read_bytes())
    whole[at] = byte
    (folder / "damaged.png").write_bytes(whole)
    try:
        assert picture.open_picture(folder / "damaged.png").size == (8, 8)
    except UserError as error:
        assert "damaged.png" in str(error)


def test_a_photograph_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: held a quarter turn to the left
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 20, 20))
    image.save(tmp_path / "photo.jpg", exif=exif)
    read = picture.open_picture(tmp_path / "photo.jpg")
    assert read.size == (20, 40)
    assert read.getpixel((10, 5)) == (255, 255, 255)
    assert read.getpixel((10, 35)) == (0, 0, 0)

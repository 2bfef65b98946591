"""Files of pictures: formats that are opened, files that are refused, PNG files with their parameters."""

import os
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minisd import UserError
from minisd.base.picture_files import open_picture, save_png
from minisd.picture import to_rgb

pytestmark = pytest.mark.quick


def noise(width, height):
    levels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def test_a_picture_is_saved_with_its_parameters(tmp_path):
    image, path = noise(9, 7), tmp_path / "x.png"
    assert save_png(image, path, "a man\nSteps: 5") == path
    read = open_picture(path)
    assert np.array_equal(np.asarray(read), np.asarray(image))
    assert read.info["parameters"] == "a man\nSteps: 5"
    assert os.listdir(tmp_path) == ["x.png"]
    save_png(image, tmp_path / "plain.png")
    assert "parameters" not in open_picture(tmp_path / "plain.png").info


def test_a_save_that_fails_leaves_no_file(tmp_path):
    with pytest.raises(OSError, match="cannot write mode F"):
        save_png(Image.new("F", (4, 4)), tmp_path / "x.png")
    assert os.listdir(tmp_path) == []


def test_a_picture_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.png': there is no such file"):
        open_picture(tmp_path / "nothing.png")


def test_files_that_are_no_pictures_are_named(tmp_path):
    (tmp_path / "text.png").write_text("a man without glasses")
    (tmp_path / "empty.png").touch()
    (tmp_path / "program.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    os.mkfifo(tmp_path / "pipe.png")  # reading it would wait for ever
    for name in ("text.png", "empty.png", ".", "program.png", "pipe.png", "nul\0.png"):
        with pytest.raises(UserError, match="is not a picture that can be read"):
            open_picture(tmp_path / name)


def test_a_file_cut_short_anywhere_is_no_picture(tmp_path):
    whole = save_png(noise(32, 32), tmp_path / "x.png", "a man\nSteps: 5").read_bytes()
    for length in (*range(0, 120), *range(120, len(whole) - 16, 97)):
        (tmp_path / "cut.png").write_bytes(whole[:length])
        with pytest.raises(UserError, match="is not a picture"):
            open_picture(tmp_path / "cut.png")


@given(st.integers(8, 150), st.integers(0, 255))
def test_a_damaged_file_is_a_picture_or_a_user_error(tmp_path_factory, at, byte):
    folder = tmp_path_factory.getbasetemp()
    whole = bytearray(save_png(noise(8, 8), folder / "whole.png", "a man\nSteps: 5").read_bytes())
    whole[at] = byte
    (folder / "damaged.png").write_bytes(whole)
    try:
        assert open_picture(folder / "damaged.png").size == (8, 8)
    except UserError as error:
        assert "damaged.png" in str(error)


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.webp", "photo.tiff"])
def test_a_photograph_is_turned_upright_and_told(tmp_path, name):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: held a quarter turn to the left
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 20, 20))
    image.save(tmp_path / name, exif=exif, **{"lossless": True} if name.endswith("webp") else {})
    with pytest.warns(UserWarning, match="turned by its EXIF orientation") as told:
        read = to_rgb(open_picture(tmp_path / name))
    assert len(told) == 1
    assert read.size == (20, 40)
    assert read.getpixel((10, 5)) == (255, 255, 255)
    assert read.getpixel((10, 35)) == (0, 0, 0)


@pytest.mark.parametrize("ending", ["gif", "png", "webp", "tiff"])
def test_of_several_pictures_in_a_file_the_first_is_taken_and_told(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    Image.new("RGB", (4, 4), "white").save(path, save_all=True, append_images=[Image.new("RGB", (4, 4), "black")])
    with pytest.warns(UserWarning, match=rf"x\.{ending}' holds several pictures; the first is taken"):
        image = open_picture(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is not told again
        assert (np.asarray(to_rgb(image)) == 255).all()


@pytest.mark.filterwarnings("error")
def test_a_photograph_with_a_preview_is_one_picture(tmp_path):
    main, preview = Image.new("RGB", (8, 8), "white"), Image.new("RGB", (4, 4))
    main.save(tmp_path / "photo.jpg", format="MPO", save_all=True, append_images=[preview])
    assert open_picture(tmp_path / "photo.jpg").size == (8, 8)

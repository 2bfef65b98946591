"""Photos as cameras and programs store them, through `run` and `invert`: crop, mask, turn, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

import minisd
import suppress
from minisd.base.picture_files import open_picture
from minisd.picture import from_pil, prepare, to_rgb

PROMPT = "a man with a beard wearing glasses and a hat"
SIZE = {"height": 64, "width": 64}
SWR = suppress.SuppressEOT(steps=2, start=1, iterations=0, keep=1)


def run(sd, image, **more):
    return suppress.run(sd, PROMPT, "hat", **{"settings": SWR, "image": image} | SIZE | more)


def wide(photo):
    """The photo inside a wider picture, at (20, 6)."""
    image = Image.new("RGB", (120, 80), "green")
    image.paste(photo, (20, 6))
    return image


PART = (20, 6, 84, 70)


def test_a_part_of_a_picture_and_of_its_mask_is_edited(sd, photos):
    image, mask = wide(photos[0]), Image.new("L", (120, 80))
    mask.paste(255, (20, 6, 52, 70))  # the left half of the part
    half = Image.new("L", (64, 64))
    half.paste(255, (0, 0, 32, 64))
    want = run(sd, photos[0], mask=half)
    job = suppress.Job(PROMPT, "hat", image=image, mask=mask, crop=PART, **SIZE)
    for found in (
        run(sd, image, mask=mask, crop=PART),
        run(sd, prepare(image, 64, 64, PART), mask=mask),
        run(sd, prepare(image, 64, 64, PART), mask=mask, height=None, width=None),
        suppress.run_batch(sd, [job], settings=SWR)[0],
    ):
        assert np.array_equal(found.original, photos[0])
        assert np.array_equal(found.mask, half)
        assert torch.equal(found.latents, want.latents)


@pytest.mark.filterwarnings("ignore:the picture. turned")
def test_a_picture_given_in_python_is_turned_as_one_from_a_file(sd, photos, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    stored = photos[0].transpose(Image.Transpose.ROTATE_270)
    stored.save(tmp_path / "photo.png", exif=exif)
    with Image.open(tmp_path / "photo.png") as image:
        assert np.array_equal(run(sd, image).original, photos[0])
        start = suppress.invert(sd, image, PROMPT, "noised", 2, **SIZE)
        assert torch.equal(start.pivots[-1], sd.encode(from_pil(photos[0])))
        drawn = sd.generate(PROMPT, 1, 1, image=image, strength=1, **SIZE)[0]
        assert np.array_equal(drawn, sd.generate(PROMPT, 1, 1, image=photos[0], strength=1, **SIZE)[0])
    assert np.array_equal(run(sd, open_picture(tmp_path / "photo.png")).original, photos[0])


def test_generate_takes_its_size_from_the_upright_picture(sd, photos):
    image = photos[0].resize((64, 72))
    image.getexif()[0x0112] = 6
    with pytest.warns(UserWarning, match="turned by its EXIF orientation") as told:
        assert sd.generate(PROMPT, 0, 1, image=image)[0].size == (72, 64)
    assert len(told) == 1


def test_what_is_told_once_is_not_told_again(sd, photos, recwarn):
    image = photos[0].convert("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 0))
    run(sd, prepare(wide(photos[0]), 64, 64))
    ready = prepare(image, 64, 64)
    assert ready.remarks == ["transparent parts laid on white"]
    run(sd, ready)
    run(sd, wide(photos[0]))  # that it is cropped is documented
    assert not [str(w.message) for w in recwarn]
    run(sd, image)
    assert [str(w.message) for w in recwarn] == ["the picture: transparent parts laid on white"]


def saved(name):
    """Pictures as files hold them; each is middle red or grey."""
    red = Image.new("RGB", (64, 64), (180, 0, 0))
    return {
        "16.png": Image.fromarray(np.full((64, 64), 180 * 257, np.uint16)),
        "cmyk.jpg": red.convert("CMYK"),
        "palette.png": red.quantize(4),
        "palette.gif": red.quantize(4),
        "grey-alpha.png": Image.new("LA", (64, 64), (180, 255)),
        "float.tiff": Image.fromarray(np.full((64, 64), 180 / 255, np.float32)),
        "bits.png": Image.new("1", (64, 64), 1),
        "animated.gif": red,
    }[name]


@pytest.mark.parametrize(
    "name",
    ["16.png", "cmyk.jpg", "palette.png", "palette.gif", "grey-alpha.png", "float.tiff", "bits.png", "animated.gif"],
)
@pytest.mark.filterwarnings("ignore:the picture. its numbers", "ignore:.* holds several pictures")
def test_files_of_every_kind_are_edited_in_the_right_colours(sd, tmp_path, name):
    image = saved(name)
    several = {"save_all": True, "append_images": [Image.new("RGB", (64, 64), "blue")]} if "animated" in name else {}
    image.save(tmp_path / name, **several)
    grey = name.startswith(("16", "grey", "float"))
    want = (180, 180, 180) if grey else (255, 255, 255) if name == "bits.png" else (180, 0, 0)
    result = run(sd, open_picture(tmp_path / name), inversion="noised")
    assert np.abs(np.asarray(result.original).astype(int) - want).max() <= 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image": Image.new("RGB", (1, 1))}, "the picture has 1 × 1 pixels .*at least 8 on each side"),
        ({"image": Image.new("RGB", (2000, 50))}, r"would lose more than 95% of its width\. Say which part"),
        ({"image": Image.fromarray(np.float32([[np.nan] * 9] * 9))}, "the picture holds numbers from nan"),
        ({"image": Image.new("RGB", (64, 64)), "crop": (0, 0, 65, 64)}, "leaves the picture, which has 64 × 64"),
        ({"image": None, "crop": (0, 0, 8, 8)}, r"crop = \(0, 0, 8, 8\) without an image"),
        (
            {"image": prepare(Image.new("RGB", (64, 64)), 64, 64), "crop": (0, 0, 9, 9)},
            r"give crop, height and width to prepare\(…\) alone",
        ),
        ({"image": prepare(Image.new("RGB", (64, 64)), 72, 64)}, "a prepared picture of 64×72 pixels; give crop"),
        ({"image": prepare(Image.new("RGB", (60, 60)), 60, 60), "height": None, "width": None}, "multiples of 8"),
        ({"image": Image.new("RGB", (64, 64)), "mask": Image.new("L", (64, 64))}, "the mask has no white"),
    ],
)
def test_what_is_refused(sd, given, message):
    with pytest.raises(minisd.UserError, match=message):
        run(sd, **given)


def test_the_picture_that_is_returned_has_no_metadata(sd, photos, tmp_path):
    image = photos[0].copy()
    image.info["comment"] = "at home"
    image.getexif()[0x010E] = "at home"
    result = run(sd, image)
    for picture in (result.original, result.image, result.reconstruction, to_rgb(image)):
        assert not picture.info and not picture.getexif()

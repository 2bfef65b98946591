"""Masks: dilation, feathers and pasting as properties of any mask, and a mask from a map."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

import suppress
from minisd import UserError
from suppress.edits.masks import dilate, feather, from_map, paste

pytestmark = pytest.mark.quick

SHAPE = (9, 11)
levels = arrays(np.uint8, (*SHAPE, 3))
masks = arrays(bool, SHAPE)
distances = st.integers(0, 12)


def as_tensor(mask):
    return torch.from_numpy(mask.astype(np.float32))[None, None]


def as_picture(mask):
    return Image.fromarray(mask.astype(np.uint8) * 255)


def near(mask, pixels):
    """The slow form: which pixels have one of the mask within `pixels` rows and columns."""
    rows, columns = np.indices(SHAPE)
    found = np.zeros(SHAPE, bool)
    for r, c in np.argwhere(mask):
        found |= np.maximum(abs(rows - r), abs(columns - c)) <= pixels
    return found


@given(masks, distances)
def test_dilation_is_what_is_near(mask, pixels):
    assert torch.equal(dilate(as_tensor(mask), pixels), as_tensor(near(mask, pixels)))


@given(masks, masks, distances, distances)
def test_dilation_is_monotone(mask, more, pixels, further):
    small, large = as_tensor(mask), as_tensor(mask | more)
    assert (dilate(small, pixels) <= dilate(large, pixels)).all()
    assert (dilate(small, pixels) <= dilate(small, pixels + further)).all()
    assert torch.equal(dilate(dilate(small, pixels), further), dilate(small, pixels + further))


@given(masks, distances)
def test_a_feather_stays_in_its_ring(mask, pixels):
    soft = feather(as_tensor(mask), pixels)[0, 0].numpy()
    assert (soft[mask] == 1).all() and (soft[~near(mask, pixels)] == 0).all()
    for k in range(1, pixels + 1):  # the ring k pixels away
        ring = near(mask, k) & ~near(mask, k - 1)
        np.testing.assert_allclose(soft[ring], 1 - k / (pixels + 1), rtol=0, atol=1e-6)


@given(levels, levels, masks, st.integers(0, 4), st.integers(0, 3))
def test_pasted_pixels_are_the_photos_own_outside_and_the_edits_inside(edited, photo, mask, pixels, around):
    got = np.asarray(paste(Image.fromarray(edited), Image.fromarray(photo), as_picture(mask), pixels, around), int)
    outside, inside = ~near(mask, pixels + around), near(mask, around)
    assert (got[outside] == photo[outside]).all()
    assert (got[inside] == edited[inside]).all()
    low, high = np.minimum(edited, photo), np.maximum(edited, photo)
    assert ((low <= got) & (got <= high)).all()


def test_the_border_is_a_ramp_whose_width_follows_the_picture():
    mask = np.zeros((100, 120), np.uint8)
    mask[:, :60] = 255
    white, black = (Image.new("RGB", (120, 100), colour) for colour in ("white", "black"))
    got = np.asarray(suppress.paste(white, black, Image.fromarray(mask)))[50, :, 0]
    assert got[55:66].tolist() == [255] * 5 + [round(255 * k / 4) for k in (3, 2, 1)] + [0] * 3


def test_a_photo_of_another_mode_is_pasted_as_rgb():
    grey, mask = Image.new("L", (8, 8), 77), Image.new("L", (8, 8), 0)
    assert np.array_equal(np.asarray(paste(grey, grey, mask)), np.full((8, 8, 3), 77))


@pytest.mark.parametrize("which", range(3))
def test_pictures_of_several_sizes_are_refused(which):
    pictures = [Image.new("RGB", (8, 8)) for _ in range(3)]
    pictures[which] = Image.new("RGB", (8, 9))
    with pytest.raises(UserError, match=r"\(8, 9\).* give all one size"):
        paste(*pictures)


@pytest.mark.parametrize("pixels", [-1, 1.5, "wide"])
def test_a_border_is_a_whole_number(pixels):
    picture = Image.new("RGB", (8, 8))
    with pytest.raises(UserError, match="pixels = "):
        paste(picture, picture, picture, pixels)


@given(arrays(np.float32, (2, 1, *SHAPE), elements=st.integers(0, 7).map(float)), st.floats(0, 0.99))
def test_a_map_is_cut_between_its_least_and_its_largest_value(heat, threshold):
    got = from_map(torch.from_numpy(heat), threshold).numpy()
    for one, cut in zip(heat, got, strict=True):
        span = np.float32(one.max() - one.min())
        assert ((one - one.min() > np.float32(threshold) * span) == (cut == 1)).all()
        assert cut.max() == (span > 0)


def test_a_map_is_cut_at_any_scale_and_offset():
    heat = torch.tensor([[[[5.0, 6.0, 8.0, 9.0]]]])
    assert from_map(heat, 0.3).tolist() == from_map(heat / 1000, 0.3).tolist() == [[[[0, 0, 1, 1]]]]

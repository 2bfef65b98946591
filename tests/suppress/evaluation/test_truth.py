"""Scores against the truth, on pictures that are made by hand."""

import math

import numpy as np
import pytest
from PIL import Image

from suppress.evaluation.truth import EQUAL, against_truth

pytestmark = pytest.mark.quick

REGION = np.zeros((32, 32), bool)
REGION[8:16, 8:24] = True


def picture(inside: int, outside: int = 100) -> Image.Image:
    levels = np.where(REGION, inside, outside).astype(np.uint8)
    return Image.fromarray(np.repeat(levels[..., None], 3, axis=2))


PHOTO, IDEAL = picture(180), picture(60)


def test_the_ideal_edit_has_no_error():
    scores = against_truth(IDEAL, PHOTO, IDEAL, REGION)
    assert scores["psnr outside"] == scores["psnr ideal"] == EQUAL
    assert (
        scores["error inside"] == 0
        and scores["ssim ideal"] == 1
        and scores["psnr photo"] == against_truth(PHOTO, PHOTO, IDEAL, REGION)["psnr ideal"]
    )


def test_the_photo_itself_has_all_of_its_error_inside():
    scores = against_truth(PHOTO, PHOTO, IDEAL, REGION)
    assert scores["psnr outside"] == scores["psnr photo"] == EQUAL and scores["error inside"] == pytest.approx(120)
    mse = 120**2 * REGION.mean()
    assert scores["psnr ideal"] == pytest.approx(10 * math.log10(255**2 / mse), abs=1e-3) and scores["ssim ideal"] < 1


def test_a_change_outside_counts_outside_only():
    scores = against_truth(picture(60, 105), PHOTO, IDEAL, REGION)
    assert scores["psnr outside"] == pytest.approx(20 * math.log10(255 / 5), abs=1e-3) and scores["error inside"] == 0


def test_no_pixel_is_outside_of_everything():
    scores = against_truth(PHOTO, PHOTO, IDEAL, np.ones_like(REGION))
    assert scores["psnr outside"] is None and scores["error inside"] == pytest.approx(120 * REGION.mean(), abs=1e-3)

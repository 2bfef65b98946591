"""Real pictures on SD v1.4's shape with random weights: every method for pictures runs, with maps, masks and taps."""

import numpy as np
import pytest
import torch
from PIL import Image

import suppress
from bench.scenario import fake_sd14
from suppress.methods import parse_method

pytestmark = pytest.mark.slow

PROMPT = "a man with a beard wearing glasses and a hat"
PAIRS = [  # method, inversion, engine; two steps each
    ("unread:keep=1", "proximal", "reference"),
    ("suppress-eot:iterations=1,stop=1,step_size=5", "null-text:iterations=1", "reference"),
    ("magic-remover:strength=1", "negative-prompt", "reference"),
    ("attentive-eraser", "noised", "reference"),
    ("ledits", "edit-friendly:skip=0", "reference"),
    ("prompt-to-prompt:keep=1", "direct:repeats=1", "fast"),
]


@pytest.fixture(scope="module")
def full():
    return fake_sd14("cpu", torch.float32)


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8))


@pytest.mark.parametrize(("spec", "inversion", "engine"), PAIRS, ids=lambda value: value.partition(":")[0])
def test_a_method_for_pictures_runs(full, picture, spec, inversion, engine):
    settings = parse_method(spec, steps=2, start=0)
    size = {"height": 128, "width": 128}
    result = suppress.run(
        full, PROMPT, "hat", settings=settings, image=picture, inversion=inversion, engine=engine, **size
    )
    assert torch.isfinite(result.latents).all() and result.image.size == (128, 128)
    assert not torch.equal(result.latents, result.original_latents)

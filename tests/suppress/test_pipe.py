"""`suppress.apply` is `suppress.run` on the weights of a pipeline."""

import numpy as np
import pytest

import suppress
from minisd import UserError


@pytest.fixture(autouse=True)
def _small(pipe, small):
    """Few layers, small pictures."""
    pipe.unet.module, pipe.vae.module = small.unet, small.vae
    types = {"down_block_types": ["CrossAttnDownBlock2D"] * 2, "up_block_types": ["CrossAttnUpBlock2D"] * 2}
    pipe.unet.config |= types | {"block_out_channels": [32, 64], "layers_per_block": 1, "sample_size": 8}
    pipe.vae.config |= {"block_out_channels": [32] * 4}


def test_it_draws_what_run_draws(pipe, small):
    options = {"settings": suppress.SuppressEOT(steps=2, start=0), "seed": [0, 3]}
    found = suppress.apply(pipe, "a man without glasses", "glasses", **options)
    expected = suppress.run(small, "a man without glasses", "glasses", **options)
    assert len(found.images) == 2 and found.images is found.result.image
    for picture, other in zip(found.images, expected.image, strict=True):
        assert np.array_equal(np.asarray(picture), np.asarray(other))
    assert found.result.targets == ("glasses",) and found.result.settings == expected.settings


def test_one_seed_is_a_list_too(pipe):
    found = suppress.apply(pipe, "a man without glasses", settings=suppress.SuppressEOT(steps=1))
    assert found.images == [found.result.image]


def test_what_is_no_pipeline():
    with pytest.raises(UserError, match="expected a StableDiffusionPipeline of diffusers"):
        suppress.apply("tiny", "a man without glasses")

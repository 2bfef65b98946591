"""Pictures, captions and truth are those that the embedded model was trained on: goldens/make_world.py."""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from make_world import SEEDS, what_it_draws

from suppress import world


@pytest.fixture(scope="module")
def golden():
    return json.loads((Path(__file__).parents[2] / "goldens" / "world.json").read_text())


@pytest.fixture(scope="module")
def drawn():
    return {str(seed): what_it_draws(world, seed) for seed in SEEDS}


def differing(golden, drawn, part):
    return [seed for seed, entry in golden["seeds"].items() if entry.get(part) != drawn[seed].get(part)]


def test_there_are_enough_seeds(golden):
    assert len(golden["seeds"]) >= 200


@pytest.mark.parametrize("part", ["spec", "captions"])
def test_specs_and_captions_are_equal(golden, drawn, part):
    assert not differing(golden, drawn, part)


def styled(seed):
    return bool(world.sample_spec(np.random.default_rng(int(seed))).style)


@pytest.mark.parametrize("part", ["picture", "regions"])
def test_pictures_and_regions_are_equal_to_the_bit(golden, drawn, part):
    """The filters of the styles round floating-point numbers, which another processor may do otherwise.

    Measured: with numpy's AVX2 and AVX-512 turned off, 1 picture of 240 differs.
    """
    pillow = version("pillow")
    if not (11, 3) <= tuple(map(int, pillow.split(".")[:2])) <= (13, 0):  # measured: 11.3 and 13.0 are equal
        pytest.skip(f"pillow {pillow} may draw other edges than {golden['versions']}; the next test compares colours")
    others = differing(golden, drawn, part)
    assert not [seed for seed in others if not styled(seed)]
    assert len(others) <= 3


def test_blocks_of_pictures_are_equal_whatever_the_versions(golden, drawn):
    """Measured with pillow 10.1, which draws 33 pictures of 240 otherwise: one level."""
    for seed, entry in golden["seeds"].items():
        want, got = (np.frombuffer(bytes.fromhex(e["blocks"]), np.uint8).astype(int) for e in (entry, drawn[seed]))
        assert np.abs(got - want).max() <= 1, seed

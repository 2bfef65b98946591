"""The UNet passes that the catalogue states, counted over 50 steps of a UNet of a few layers with random weights."""

from dataclasses import replace

import pytest
import torch

import minisd
from suppress import Start
from suppress.engine import Fast
from suppress.methods import METHODS
from suppress.prompt import encode

pytestmark = pytest.mark.slow

# one name of each class and preset: the variants of soft weighting cost the same
NAMES = {(str(entry.factory), str(entry.bound.get("loss"))): name for name, entry in METHODS.items() if not entry.needs}


@pytest.fixture(scope="module")
def few_layers(sd):
    """A model whose latents have three sizes, as the methods that read maps need."""
    torch.manual_seed(0)
    sizes = {"channels": (32, 32, 32), "attention": (False, False, True), "layers": 1, "sample_size": 8}
    unet = replace(sd.config.unet, **sizes)
    model = minisd.UNet(unet).eval().requires_grad_(False)
    return replace(sd, config=replace(sd.config, unet=unet), unet=model)


def count(sd, method, pivots: bool = False) -> int:
    prompt = encode(sd, "a man with glasses and a hat", ["glasses"])
    z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    given = {"pivots": [z] * (method.steps + 1), "pinned": True} if pivots else {}
    engine = Fast(sd)
    for _ in engine.two_branches([prompt], Start(z, lambda i: prompt.uncond, **given), method):
        pass
    return engine.passes


@pytest.mark.parametrize("name", NAMES.values())
def test_the_stated_passes_are_those_of_a_run(few_layers, name):
    assert count(few_layers, METHODS[name].make()) == METHODS[name].passes


def test_the_passes_of_a_method_for_pictures(few_layers):
    assert count(few_layers, METHODS["ledits"].make(), pivots=True) == METHODS["ledits"].passes


def test_variants_state_what_one_of_them_costs():
    passes = {entry.passes for entry in METHODS.values() if entry.factory == "variant.Variant"}
    assert len(passes) == 1

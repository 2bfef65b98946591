"""SLD: its equations by hand, settings that change nothing, published constants, both engines, any batch."""

import pytest
import torch

import suppress
from minisd import UserError
from suppress.loop import Run
from suppress.methods import SLD
from suppress.methods.sld import PUBLISHED
from suppress.prompt import encode
from suppress.start.noise import from_noise

LIST = "a man with a beard wearing glasses and a hat"
# a low guidance, so that rounding errors stay small, and λ = 0, because for every other λ μ has a jump
SETTINGS = SLD(steps=4, warm_up=1, guidance=2, threshold=0)
JOBS = [
    suppress.Job("a man without glasses", "glasses", 5, 64, 64),
    suppress.Job(LIST, ("glasses", "a hat"), 1, 64, 64),
    suppress.Job("a cat with a crown on the beach", "crown", 3, 64, 64),
]


def edit_of(sd, settings, *prompts):
    prompts = [encode(sd, text, remove) for text, remove in prompts]
    run = Run(sd, prompts, from_noise(prompts, sd.noise(range(len(prompts)), 64, 64)), settings)
    return settings.edit(run)


def test_two_steps_by_hand(sd):
    """One element at a time, in Python's numbers."""
    settings = SLD(warm_up=1, scale=3.0, threshold=0.2, momentum=0.5, decay=0.7, guidance=2.0)
    edit = edit_of(sd, settings, (LIST, "glasses"))
    nu = torch.zeros(1, 4, 8, 8)
    for i in range(3):
        eps = torch.randn(3, 1, 4, 8, 8, generator=torch.Generator().manual_seed(i))
        want, new = torch.empty_like(nu), torch.empty_like(nu)
        for at in torch.cartesian_prod(*(torch.arange(n) for n in nu.shape)).tolist():
            u, c, s = (float(e[tuple(at)]) for e in eps)
            mu = min(1.0, abs(3.0 * (c - s))) if c - s < 0.2 else 0.0
            gamma = mu * (s - u) + 0.5 * float(nu[tuple(at)])
            new[tuple(at)] = 0.7 * float(nu[tuple(at)]) + 0.3 * gamma
            want[tuple(at)] = u + 2.0 * (c - u - (gamma if i >= 1 else 0.0))
        nu = new
        torch.testing.assert_close(edit.combine(i, tuple(eps)), want)
    assert nu.abs().max() > 0.1


def test_the_concept_is_what_is_to_be_removed(sd):
    edit = edit_of(sd, SETTINGS, (LIST, ["glasses", "a hat"]), ("a cat with a crown", "crown"))
    assert torch.equal(edit.concept, torch.cat([sd.encode_text("glasses, a hat"), sd.encode_text("crown")]))
    named = edit_of(sd, SLD(concept="a moustache"), (LIST, "glasses"), ("a cat with a crown", "crown"))
    assert torch.equal(named.concept, sd.encode_text("a moustache").expand(2, -1, -1))


@pytest.mark.parametrize("settings", [SLD(steps=3, scale=0, warm_up=0), SLD(steps=3), SLD(steps=3, warm_up=3)])
def test_without_guidance_it_is_the_original(sd, settings):
    result = suppress.run(sd, LIST, "glasses", settings=settings, height=64, width=64)
    assert (result.latents - result.original_latents).abs().max() < 1e-4


def test_the_remark_tells_of_a_warm_up_as_long_as_the_run(sd):
    prompt = encode(sd, LIST, "glasses")
    assert "10 steps of 8" in SLD(steps=8).remark(prompt)
    assert SLD(steps=50).remark(prompt) == ""


def test_any_batch_on_both_engines_is_each_job_alone(check_batch):
    check_batch(JOBS, SETTINGS)


def test_published_sets_and_single_constants():
    assert SLD().constants == PUBLISHED["medium"] == (10, 1000, 0.01, 0.3, 0.4)
    assert SLD(strength="weak", momentum=0.2).constants == (15, 200, 0, 0.2, 0)
    assert SLD(strength="max", scale=0, warm_up=4).constants == (4, 0, 1, 0.5, 0.7)


@pytest.mark.parametrize(
    "bad",
    [
        {"strength": "hyper"},
        {"strength": 2},
        {"warm_up": 1.5},
        {"warm_up": -1},
        {"scale": -1},
        {"threshold": float("nan")},
        {"momentum": "a lot"},
        {"decay": 1.5},
    ],
)
def test_bad_settings_are_named(bad):
    [(name, value)] = bad.items()
    with pytest.raises(UserError, match=f"{name} = {value!r}"):
        SLD(**bad)

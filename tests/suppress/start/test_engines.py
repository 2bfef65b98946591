"""The passes of an inversion through the engines: the same noise, the same gradient, and counted."""

import pytest
import torch

import minisd
import suppress

PROMPT = "a man with a beard wearing glasses and a hat"


@pytest.fixture(scope="module")
def inputs(sd):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 4, 8, 8, generator=generator), 501, sd.encode_text([PROMPT, "a man"])


PLANS = {
    "default": None,
    "plain": suppress.Plan(sdpa=False, prefix_once=False),
    "graph": suppress.Plan(graph=True),
}
COMPILED = suppress.Plan(compile="eager")


@pytest.mark.parametrize("plan", [*PLANS, pytest.param("compiled", marks=pytest.mark.slow)])
def test_the_noise_is_that_of_the_unet(sd, inputs, plan):
    fast = suppress.Fast(sd, PLANS.get(plan, COMPILED))
    with torch.no_grad():
        want = sd.unet(*inputs)
        for engine in (suppress.Reference(sd), fast):
            assert (engine.noise(*inputs) - want).abs().max() < 1e-4
        one = inputs[0][:1], 21, inputs[2][1:]
        assert (fast.noise(*one) - sd.unet(*one)).abs().max() < 1e-4
    assert (fast.passes, fast.gradient_passes) == (3, 0)


@pytest.mark.parametrize("plan", [*PLANS, pytest.param("compiled", marks=pytest.mark.slow)])
def test_the_gradient_is_that_of_the_unet(sd, inputs, plan):
    z, t, ctx = inputs

    def gradients(noise):
        leaves = z.clone().requires_grad_(), ctx.clone().requires_grad_()
        return torch.autograd.grad(noise(leaves[0], t, leaves[1]).square().sum(), leaves)

    fast = suppress.Fast(sd, PLANS.get(plan, COMPILED))
    for found, want in zip(gradients(fast.noise), gradients(sd.unet), strict=True):
        assert want.abs().max() > 1e-3
        assert (found - want).abs().max() < 1e-4 * want.abs().max()
    assert (fast.passes, fast.gradient_passes) == (2, 2)


@pytest.mark.parametrize(
    ("how", "passes", "gradient_passes"),
    [
        ("direct", 4, 0),
        ("renoise", 8, 0),
        ("ddim:guidance=2", 8, 0),
        ("null-text:iterations=1", 16, 4),
        ("noised", 0, 0),
    ],
)
def test_engines_invert_alike_and_count(sd, photos, how, passes, gradient_passes):
    fast = suppress.Fast(sd)
    a, b = (
        suppress.invert(sd, photos[0], PROMPT, how, 4, height=64, width=64, engine=engine)
        for engine in ("reference", fast)
    )
    assert (fast.passes, fast.gradient_passes) == (passes, gradient_passes)
    for x, y in zip(a.pivots, b.pivots, strict=True):
        assert (x - y).abs().max() < 1e-4
    # Adam's first step has the length of the learning rate in each number, however small its gradient
    for i in range(4):
        assert (a.uncond(i) - b.uncond(i)).abs().mean() < 1e-4
    assert len({x.data_ptr() for x in b.pivots}) == 5


def test_run_inverts_with_its_engine(sd, photos):
    fast = suppress.Fast(sd)
    settings = suppress.SuppressEOT(steps=3, start=1, iterations=0)
    for inversion, passes in (("direct", 3), (suppress.invert(sd, photos[0], PROMPT, steps=3, height=64, width=64), 0)):
        before = fast.passes
        suppress.run(
            sd, PROMPT, "hat", settings=settings, image=photos[0], inversion=inversion, engine=fast, height=64, width=64
        )
        assert fast.passes - before == passes + 3 * 2  # the edited branch alone, with and without the prompt


def test_an_engine_of_another_model_is_refused(sd, photos):
    with pytest.raises(minisd.UserError, match="engine = 'slow'; expected one of"):
        suppress.invert(sd, photos[0], PROMPT, engine="slow")

"""Edit-friendly inversion: the steps by another formula, exact reconstruction, what drifts, both engines."""

from dataclasses import dataclass, replace

import pytest
import torch

import minisd
import suppress
from minisd import ddim
from minisd.picture import from_pil
from suppress.loop import Run
from suppress.prompt import encode
from suppress.protocol import Edit, Method
from suppress.start.edit_friendly import EditFriendly
from suppress.start.inversion import Source

PROMPT = "a man with a beard wearing glasses and a hat"
SIZE = {"height": 64, "width": 64}
STEPS = 5
ENGINES = "reference", "fast"


@dataclass(frozen=True)
class Same(Method):
    """Nothing is edited: the edited branch is what the inversion makes of it."""

    steps: int = STEPS

    def edit(self, run):
        return Edit(run)


def source(sd, photo, guidance=7.5, steps=STEPS, **changes):
    ctx, uncond, schedule = sd.encode_text(PROMPT), sd.encode_text(""), ddim.Schedule(steps, sd.config.schedule)
    return replace(Source(sd, sd.encode(from_pil(photo)), ctx, uncond, schedule, guidance), **changes)


def draw(sd, photo, inversion, settings, engine=None, prompt=PROMPT, **more):
    return suppress.run(
        sd, prompt, "hat", settings=settings, image=photo, inversion=inversion, engine=engine, **SIZE, **more
    )


def away(result, z):
    """How far the edited branch ends from the picture's latents z, at most."""
    return float((result.latents - z).abs().max())


# ---------------------------------------------------------------------- the equations


def edit_of(sd, start, settings):
    return start.edit(Run(sd, [encode(sd, PROMPT, "hat")], start, settings))


def test_a_step_is_ddpm(sd, photos):
    """η = 1: its mean is that of q(z_s | z_t, z_0), in the form of Ho et al. 2020, eq. 7."""
    src = source(sd, photos[0])
    noise = EditFriendly(skip=0).find(src)["noise_maps"]
    edit, alpha = edit_of(sd, EditFriendly(skip=0).start(src), Same()), src.schedule.alpha
    for i in range(STEPS):
        z, eps = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(i))
        z0 = (z - (1 - alpha[i]) ** 0.5 * eps) / alpha[i] ** 0.5
        kept = alpha[i] / alpha[i + 1]  # α_t, from ᾱ_t = α_t ᾱ_s
        mean = alpha[i + 1] ** 0.5 * (1 - kept) * z0 + kept**0.5 * (1 - alpha[i + 1]) * z
        want = mean / (1 - alpha[i]) + noise[i]
        torch.testing.assert_close(edit.step(i, z, eps), want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("eta", [1.0, 0.3, 0.0])
def test_the_noise_maps_by_hand(sd, photos, eta):
    """One step at a time, in the form of Song et al. 2021, eq. 12 and 16, with the noise at the pivot."""
    src = source(sd, photos[0], guidance=3.0)
    pivots, noise = EditFriendly(skip=0.4, eta=eta).find(src).values()
    a = src.schedule.alpha
    for i in (2, 3, 4):
        sigma = eta * ((1 - a[i + 1]) / (1 - a[i])) ** 0.5 * (1 - a[i] / a[i + 1]) ** 0.5
        with torch.no_grad():
            empty, cond = (sd.unet(pivots[i], src.schedule.t[i], ctx) for ctx in (src.uncond, src.ctx))
        eps = 3.0 * cond - 2.0 * empty
        z0 = (pivots[i] - (1 - a[i]) ** 0.5 * eps) / a[i] ** 0.5
        mean = a[i + 1] ** 0.5 * z0 + (1 - a[i + 1] - sigma**2) ** 0.5 * eps
        torch.testing.assert_close(noise[i - 2], pivots[i + 1] - mean, atol=2e-5, rtol=1e-4)


def test_the_pivots_are_the_picture_with_independent_noise(sd, photos):
    src = source(sd, photos[0], steps=40)
    pivots, again, other = (EditFriendly(skip=0.9, seed=s).start(src).pivots for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(pivots, again, strict=True))
    assert (pivots[0] - other[0]).abs().max() > 1
    torch.testing.assert_close(pivots[-1], src.z, atol=1e-5, rtol=0)
    levels = zip(pivots[:-1], src.schedule.alpha[:-1], strict=True)
    eps = torch.cat([(z - a**0.5 * src.z) / (1 - a) ** 0.5 for z, a in levels]).flatten(1)
    assert eps.mean().abs() < 0.05 and abs(float(eps.std()) - 1) < 0.05
    correlations = torch.corrcoef(eps) - torch.eye(len(eps))
    assert correlations.abs().max() < 0.35  # of 256 numbers each: their standard deviation is 1/16


def test_the_last_map_of_the_authors_code_is_zero(sd, photos):
    src = source(sd, photos[0])
    kept, zeroed = EditFriendly.paper(), EditFriendly.official()
    (pivots, noise), (blurred, none) = (inversion.find(src).values() for inversion in (kept, zeroed))
    assert noise[-1].abs().max() > 0.01 and not none[-1].any() and torch.equal(noise[-2], none[-2])
    torch.testing.assert_close(blurred[-1] + noise[-1], pivots[-1], atol=1e-5, rtol=0)
    result = draw(sd, photos[0], zeroed, Same(guidance=3.5))
    torch.testing.assert_close(result.original_latents, blurred[-1], atol=1e-4, rtol=0)
    assert away(result, blurred[-1]) < 1e-4
    assert kept == EditFriendly(guidance=3.5) and zeroed.guidance == 3.5


# ---------------------------------------------------------------------- what comes back


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("guidance", [7.5, 1.0, 0.0])
def test_what_is_not_edited_comes_back(sd, photos, guidance, engine):
    z, start = sd.encode(from_pil(photos[0])), EditFriendly().start(source(sd, photos[0], guidance))
    for first in (0, STEPS):  # the edit's own steps, and the plain ones before R
        result = draw(sd, photos[0], start, Same(guidance=guidance, start=first), engine)
        assert away(result, z) < 1e-3
        assert (result.original_latents - z).abs().max() < 1e-5


@pytest.mark.parametrize("spec", ["eta=0", "eta=0.5,skip=0", "seed=7,skip=0.8", "guidance=2"])
def test_it_comes_back_with_every_setting_and_prompt(sd, photos, spec):
    prompt = "a hat on the beach at night"  # which is not what the picture shows
    result = draw(sd, photos[1], f"edit-friendly:{spec}", Same(guidance=2), prompt=prompt)
    assert away(result, sd.encode(from_pil(photos[1]))) < 1e-3


def test_another_guidance_drifts_by_the_difference_of_the_means(sd, photos):
    src, settings = source(sd, photos[0]), Same(guidance=6.0, start=0)
    inversion = EditFriendly(guidance=3.5, skip=0.8)  # one step
    result = draw(sd, photos[0], inversion, settings)
    start = inversion.start(src)
    with torch.no_grad():
        empty, cond = (sd.unet(start.z, src.schedule.t[4], ctx) for ctx in (src.uncond, src.ctx))
    a, less = src.schedule.alpha, inversion.less(src.schedule, 4)
    per_eps = (1 - a[5]) ** 0.5 + less - (a[5] * (1 - a[4]) / a[4]) ** 0.5  # of μ, as it depends on ε
    assert torch.allclose(result.latents - src.z, 2.5 * per_eps * (cond - empty), atol=1e-5)
    assert away(result, src.z) > 0.01 and (result.original_latents - src.z).abs().max() < 1e-5


def test_skipped_steps_are_not_drawn(sd, photos):
    for skip, begin in ((0, 0), (0.36, 2), (0.99, 4)):
        start = EditFriendly(skip=skip).start(source(sd, photos[0]))
        assert start.begin == begin and torch.equal(start.z, start.pivots[begin]) and len(start.pivots) == 6


@pytest.mark.parametrize(("guidance", "samples"), [(0, 1), (1, 1), (0.5, 2), (7.5, 2)])
def test_samples_per_step(sd, photos, guidance, samples, monkeypatch):
    counted, forward = [], type(sd.unet).forward
    monkeypatch.setattr(
        type(sd.unet), "forward", lambda self, z, *a, **k: (counted.append(len(z)), forward(self, z, *a, **k))[1]
    )
    totals = []

    def progress(steps, total):
        totals.append(total)
        return steps

    EditFriendly(skip=0.4).start(source(sd, photos[0], guidance, progress=progress))
    assert sum(counted) == 3 * samples and totals == [3]


# ---------------------------------------------------------------------- with methods


@pytest.mark.parametrize(
    ("changes", "maps"), [({}, True), ({"keep": 0.5}, False), ({"iterations": 1, "stop": 4}, False)]
)
def test_both_engines_edit_the_same(sd, photos, changes, maps):
    settings = suppress.SuppressEOT(steps=STEPS, guidance=2.5, start=3, **changes)
    want, got = (draw(sd, photos[0], "edit-friendly", settings, engine, maps=maps) for engine in ENGINES)
    assert (got.latents - want.latents).abs().max() < 1e-3
    assert away(want, sd.encode(from_pil(photos[0]))) > 0.05
    if maps:
        assert torch.allclose(got.maps, want.maps, atol=1e-4)


class Moved(Edit):
    def step(self, i, z, eps):
        return super().step(i, z, eps) + 1


def test_a_methods_own_step_stays(sd, photos):
    start = EditFriendly().start(source(sd, photos[0]))
    run = Run(sd, [encode(sd, PROMPT, "hat")], start, Same())
    z, eps = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    moved, plain = (start.around(edit).step(3, z, eps) for edit in (Moved(run), Edit(run)))
    torch.testing.assert_close(moved, plain + 1)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("guidance=x", "guidance = 'x'"),
        ("skip=1", "skip = 1.0; no step is left"),
        ("skip=-0.1", "skip = -0.1"),
        ("eta=1.5", "eta = 1.5; expected a number from 0 to 1"),
        ("last_noise=blur", "last_noise = 'blur'; expected one of kept, zeroed"),
        ("seed=-2", "seed -2"),
        ("repeats=1", "repeats = 1; edit-friendly repeats no step"),
    ],
)
def test_bad_settings_are_named(bad, message):
    with pytest.raises(minisd.UserError, match=message):
        suppress.start.invert.parse_inversion(f"edit-friendly:{bad}")

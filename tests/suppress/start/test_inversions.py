"""Each inversion: what it reconstructs, and what it costs."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import minisd
import suppress
from minisd import ddim
from minisd.picture import from_pil, to_pil
from suppress.loop import Run
from suppress.prompt import encode
from suppress.protocol import Edit, Method
from suppress.start.inversion import Source

PROMPT = "a man with a beard wearing glasses and a hat"
SIZE = {"height": 64, "width": 64}
STEPS = 10


def psnr(a, b):
    return -10 * np.log10((((np.asarray(a, float) - np.asarray(b, float)) / 255) ** 2).mean())


@dataclass(frozen=True)
class Same(Method):
    """Nothing is edited: the result is the reconstruction."""

    def edit(self, run):
        return Edit(run)


def reconstruct(sd, photo, inversion, guidance=7.5, engine=None):
    settings = Same(steps=STEPS, guidance=guidance, start=STEPS)
    return suppress.run(sd, PROMPT, "hat", settings=settings, image=photo, inversion=inversion, engine=engine, **SIZE)


def source(sd, photo, steps=STEPS):
    schedule = ddim.Schedule(steps, sd.config.schedule)
    return Source(sd, sd.encode(from_pil(photo)), sd.encode_text(PROMPT), sd.encode_text(""), schedule, 7.5)


# ---------------------------------------------------------------------- DDIM


def test_a_step_and_the_inverse_step_are_inverse(sd, photos):
    src = source(sd, photos[0])
    z, eps = src.z, torch.randn_like(src.z)
    for i in range(STEPS):
        assert (src.step(i, src.inverse_step(i, z, eps), eps) - z).abs().max() < 1e-5


def test_the_pivots_go_from_noise_to_the_picture(sd, photos):
    start = suppress.invert(sd, photos[0], PROMPT, "ddim", 4, **SIZE)
    assert len(start.pivots) == 5 and not start.pinned
    assert torch.equal(start.pivots[0], start.z)
    assert torch.equal(start.pivots[4], sd.encode(from_pil(photos[0])))
    # by hand: the last pivot but one, from the picture at the target timestep, with the prompt alone
    schedule = ddim.Schedule(4, sd.config.schedule)
    z, a = start.pivots[4], schedule.alpha
    with torch.no_grad():
        eps = sd.unet(z, schedule.t[3], sd.encode_text(PROMPT))
    want = (a[3] / a[4]) ** 0.5 * (z - (1 - a[4]) ** 0.5 * eps) + (1 - a[3]) ** 0.5 * eps
    assert torch.allclose(start.pivots[3], want, atol=1e-5)


def test_guidance_spoils_the_reconstruction_of_ddim(sd, photos):
    scores = [psnr(reconstruct(sd, photos[0], "ddim", w).reconstruction, photos[0]) for w in (1.0, 7.5)]
    assert scores[0] > scores[1] + 2


def test_guidance_in_the_inversion_itself_costs_twice(sd, photos):
    src = source(sd, photos[0], 2)
    plain, guided = (suppress.start.ddim.DDIM(guidance=w).start(src) for w in (1, 7.5))
    assert (plain.z - guided.z).abs().max() > 0.1


# ---------------------------------------------------------------------- the others


@pytest.mark.parametrize("n", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_order_of_the_inversions(sd, photos, n):
    """At guidance 7.5: direct >= null-text > negative-prompt > ddim, as in the papers' tables."""
    direct, null, npi, plain = (
        psnr(reconstruct(sd, photos[n], how).reconstruction, photos[n])
        for how in ("direct", "null-text", "negative-prompt", "ddim")
    )
    assert direct >= null > npi + 1 > plain + 2


def test_direct_reconstructs_what_the_vae_can(sd, photos):
    for engine in ("reference", "fast"):
        result = reconstruct(sd, photos[0], "direct", engine=engine)
        z = sd.encode(from_pil(photos[0]))
        assert torch.equal(result.original_latents, z)
        assert np.array_equal(result.reconstruction, to_pil(sd.decode(z))[0])
        assert (result.latents - z).abs().max() > 0.1  # the edited branch is left alone


def test_negative_prompt_reconstructs_alike_at_every_guidance(sd, photos):
    start = suppress.invert(sd, photos[0], PROMPT, "negative-prompt", STEPS, **SIZE)
    found = [reconstruct(sd, photos[0], start, w).original_latents for w in (1.0, 3.0, 7.5)]
    assert (found[0] - found[1]).abs().max() < 1e-3 and (found[0] - found[2]).abs().max() < 1e-3


def test_null_text_ends_early_and_begins_where_it_was(sd, photos):
    """A loss that is low enough at once leaves one update per step; none at all is plain DDIM."""
    src = source(sd, photos[0], 3)
    one, same = (suppress.start.null_text.NullText(**s).start(src) for s in ({"enough": 1e9}, {"iterations": 1}))
    assert all(torch.equal(one.uncond(i), same.uncond(i)) for i in range(3))
    moved = [(one.uncond(i) - one.uncond(i - 1) if i else one.uncond(0) - src.uncond).abs().max() for i in range(3)]
    assert moved == pytest.approx([1e-2 * (1 - i / 6) for i in range(3)], rel=1e-2)  # Adam's first step is its rate
    none = suppress.start.null_text.NullText(iterations=0).start(src)
    assert torch.equal(none.uncond(2), src.uncond)


@dataclass(frozen=True)
class Shift(Method):
    """The edited context is shifted, so that δ is not 0."""

    def edit(self, run):
        return ShiftEdit(run)


class ShiftEdit(Edit):
    def inputs(self, i, same, original, maps):
        return replace(same, contexts=(same.contexts[0], same.contexts[1].roll(1, dims=1)))


def test_proximal_keeps_the_picture_where_the_edit_changes_little(sd, photos):
    settings = Shift(steps=5, start=0)
    job = {"settings": settings, "image": photos[0], **SIZE}
    z = sd.encode(from_pil(photos[0]))

    def same(inversion):
        """The share of the edited latents that equal the picture's."""
        result = suppress.run(sd, PROMPT, "hat", inversion=inversion, **job)
        return float(((result.latents - z).abs() < 1e-4).float().mean())

    assert same("negative-prompt") < 0.05
    assert 0.695 < same("proximal:pull=1") < 0.75  # the quantile is .7; a few others are equal by chance
    assert same("proximal:pull=0") < 0.05
    assert same("proximal:quantile=1,pull=1") == 1  # nothing is guided, everything pulled
    runs = [
        suppress.run(sd, PROMPT, "hat", inversion=f"proximal:{s}", **job).latents for s in ("pull=0,quantile=0", "")
    ]
    plain = suppress.run(sd, PROMPT, "hat", inversion="negative-prompt", **job).latents
    assert (runs[0] - plain).abs().max() < 0.05 < (runs[1] - plain).abs().max()


def test_both_forms_of_prox(sd, photos):
    src = source(sd, photos[0], 2)
    run = Run(sd, [encode(sd, PROMPT, "hat")], suppress.start.proximal.Proximal().start(src), Same(steps=2, guidance=2))
    eps = torch.zeros(1, 4, 1, 1), torch.tensor([0.1, -0.2, 0.3, -1.0]).view(1, 4, 1, 1)
    want = {"l0": [0, 0, 0.6, -2.0], "l1": [0, 0, 0.2, -1.6]}  # θ = .2 at a third, times the guidance
    for form, values in want.items():
        edit = suppress.start.proximal.Proximal(form=form, quantile=1 / 3).start(src).edit(run)
        assert torch.allclose(edit.combine(0, eps).flatten(), torch.tensor(values), atol=1e-5)
    for bad in ({"form": "l2"}, {"quantile": 1.5}, {"pull": -1}):
        with pytest.raises(minisd.UserError, match=next(iter(bad))):
            suppress.start.proximal.Proximal(**bad)


def test_noised_is_what_generate_makes_of_an_image(sd, photos):
    for strength in (0.6, 0.05):
        [want] = sd.generate(PROMPT, 3, 5, 2.0, image=photos[0], strength=strength)
        settings = Same(steps=5, guidance=2.0, start=5)
        for engine in ("reference", "fast"):
            how = f"noised:strength={strength},seed=3"
            got = suppress.run(
                sd, PROMPT, "hat", settings=settings, image=photos[0], inversion=how, engine=engine, **SIZE
            )
            assert np.abs(np.asarray(got.reconstruction, int) - np.asarray(want, int)).max() <= 1
    for bad in ("strength=0", "seed=-1", "repeats=1"):
        with pytest.raises(minisd.UserError, match=bad[:4]):
            suppress.start.invert.parse_inversion(f"noised:{bad}")


def test_renoise_comes_nearer_to_the_fixed_point(sd, photos):
    steps = 5
    src = source(sd, photos[0], steps)

    def residual(k):
        """How far the sampling step at z*_t, with its own noise, is from z*_{t-Δ}; the mean over the steps."""
        pivots = suppress.invert(sd, photos[0], PROMPT, f"renoise:repeats={k}", steps, **SIZE).pivots
        with torch.no_grad():
            back = [src.step(i, z, src.noise(i, z, src.ctx)) for i, z in enumerate(pivots[:-1])]
        return sum(float((b - z).abs().mean()) for b, z in zip(back, pivots[1:], strict=True)) / steps

    r = [residual(k) for k in (0, 1, 3)]
    assert r[0] > 1.5 * r[1] > 1.5 * 1.5 * r[2]


def test_renoise_combines_with_the_others(sd, photos):
    src = source(sd, photos[0], 3)
    pivots = {}
    for how in ("ddim", "renoise", "direct", "negative-prompt", "proximal", "null-text:iterations=1"):
        name, _, rest = how.partition(":")
        for k in (0, 1):
            spec = f"{name}:{','.join(filter(None, [rest, f'repeats={k}']))}"
            pivots[name, k] = torch.cat(list(suppress.start.invert.parse_inversion(spec).start(src).pivots))
    for name in set(suppress.INVERSIONS) - {"noised", "edit-friendly"}:
        assert torch.equal(pivots[name, 0], pivots["ddim", 0])  # k = 0 is DDIM inversion
        assert torch.equal(pivots[name, 1], pivots["renoise", 1])
    assert suppress.start.renoise.ReNoise().repeats == 1


@pytest.mark.parametrize("name", suppress.INVERSIONS)
def test_passes_are_what_the_catalogue_says(sd, photos, name, monkeypatch):
    counted = []
    forward = type(sd.unet).forward
    monkeypatch.setattr(
        type(sd.unet), "forward", lambda self, z, *a, **k: (counted.append(len(z)), forward(self, z, *a, **k))[1]
    )
    entry, steps = suppress.INVERSIONS[name], 3
    inversion = entry.make(**({"enough": 0, "more": 0} if name == "null-text" else {}))
    start = inversion.start(source(sd, photos[0], steps))
    formula = entry.passes.replace(" (", " * (")
    assert sum(counted) == eval(formula, {"T": steps, "k": inversion.repeats, "s": start.begin})


def test_an_inversion_of_your_own_says_what_is_missing(sd, photos):
    class Half(suppress.start.inversion.Pivots):
        """It finds pivots and makes nothing of them."""

    for inversion, missing in ((suppress.start.inversion.Inversion(), r"Inversion\.find"), (Half(), r"Half\.make")):
        with pytest.raises(NotImplementedError, match=missing):
            suppress.invert(sd, photos[0], PROMPT, inversion, 2, **SIZE)
    with pytest.raises(minisd.UserError, match="repeats = -1"):
        suppress.start.inversion.Inversion(repeats=-1)

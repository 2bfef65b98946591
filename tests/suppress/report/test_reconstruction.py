"""The three-way reconstruction report: what it measures, and what it advises."""

import numpy as np
import pytest
import torch
from PIL import Image

import suppress
from minisd import ddim
from minisd.picture import from_pil, to_pil
from suppress.report.reconstruction import (
    LOSS,
    VAE_BOUND,
    Reconstruction,
    at_guidance_1,
    pictures_psnr,
    through_vae,
)

PROMPT = "a man with a hat"


@pytest.fixture(scope="module")
def photo(sd):
    return sd.generate(PROMPT, 5, 4, 2.0, height=64, width=64)[0]


@pytest.mark.quick
def test_psnr_of_pictures_is_that_of_their_levels():
    a = np.random.default_rng(0).integers(0, 250, (8, 8, 3), dtype=np.uint8)
    b = a + np.random.default_rng(1).integers(0, 5, (8, 8, 3), dtype=np.uint8)
    want = 10 * np.log10(255**2 / (a.astype(float) - b).__pow__(2).mean())
    assert pictures_psnr(Image.fromarray(a), Image.fromarray(b)) == pytest.approx(want, abs=1e-4)


def test_the_vae_alone(sd, photo):
    want = to_pil(sd.decode(sd.encode(from_pil(photo))))[0]
    assert np.array_equal(through_vae(sd, photo), want)


@pytest.mark.parametrize("inversion", ["ddim", "direct", "null-text:iterations=1", "renoise"])
def test_what_an_inversion_found_is_drawn_without_guidance(sd, photo, inversion):
    """Whatever the inversion adds for guidance does not count: not its empty prompts, not its pivots."""
    start = suppress.invert(sd, photo, PROMPT, inversion, 4, height=64, width=64)
    ctx, schedule, z = sd.encode_text(PROMPT), ddim.Schedule(4, sd.config.schedule), start.z
    with torch.no_grad():
        for i in range(4):
            eps = sd.unet(z, schedule.t[i], ctx)
            z = ddim.step(z, eps, schedule.alpha[i], schedule.alpha[i + 1])
    totals = []

    def bar(steps, total):
        totals.append(total)
        return steps

    got = at_guidance_1(sd, start, ctx, 4, bar)
    assert np.abs(np.asarray(got, int) - np.asarray(to_pil(sd.decode(z))[0], int)).max() <= 1
    assert totals == [4]


def test_ddim_at_guidance_1_is_what_the_loop_draws_there(sd, photo):
    settings = suppress.SuppressEOT(steps=4, guidance=1, start=4)
    size = {"height": 64, "width": 64}
    start = suppress.invert(sd, photo, PROMPT, "ddim", 4, guidance=1, **size)
    result = suppress.run(sd, PROMPT, "hat", settings=settings, image=photo, inversion=start, **size)
    got = at_guidance_1(sd, start, sd.encode_text(PROMPT), 4)
    assert np.abs(np.asarray(got, int) - np.asarray(result.reconstruction, int)).max() <= 1


@pytest.mark.quick
@pytest.mark.parametrize(
    ("vae", "inversion", "guided", "failed"),
    [
        (30, 29, 28, []),
        (VAE_BOUND + 0.1, VAE_BOUND, VAE_BOUND, []),
        (VAE_BOUND - 0.1, VAE_BOUND - 0.2, VAE_BOUND - 0.2, ["the VAE"]),
        (30, 29.9 - LOSS, 29.9 - LOSS, ["the inversion"]),
        (30, 30, 29.9 - LOSS, ["guidance 7.5"]),
        (30, 27.1, 24.2, []),
        (10, 5, 1, ["the VAE", "the inversion", "guidance 7.5"]),
        (30, None, 27.1, []),
        (30, None, 26.9, ["the start"]),
        (10, None, 10, ["the VAE"]),
    ],
)
def test_what_failed_is_named(vae, inversion, guided, failed):
    found = Reconstruction(vae, inversion, guided, 7.5, pinned=False)
    advice = found.advice()
    assert [line.partition(" failed")[0] for line in advice] == failed
    assert all(("Try" in line or "try" in line) and "--" in line for line in advice)
    assert found.to_json()["advice"] == advice and found.to_json()["vae"] == vae


@pytest.mark.quick
def test_a_pinned_original_is_told_to_say_nothing_about_the_inversion():
    three = "the VAE alone 30.0, the inversion at guidance 1 25.0, at guidance 7.5 30.0"
    assert Reconstruction(30, 25, 30, 7.5, pinned=False).describe().endswith(three)
    assert "inversion at" not in Reconstruction(30, None, 30, 7.5, pinned=False).describe()
    assert "that of the VAE" in Reconstruction(30, None, 30, 7.5, pinned=True).describe()
    told = Reconstruction(30, 25, 30, 7.5, pinned=True).describe()
    assert three in told and "starts from the latents that give 25.0 dB at guidance 1" in told

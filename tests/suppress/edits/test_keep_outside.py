"""Outside its mask an edit is the original, on both engines, and r = 0 changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import minisd
import suppress
from minisd import UserError
from suppress import Fast, Reference
from suppress.edits.keep_outside import TargetHeat
from suppress.edits.masks import coverage, dilate, largest, latent_mask, read_mask
from suppress.methods import SLD, parse_method
from suppress.methods.guidance_rules import Sega
from suppress.prompt import encode
from suppress.start.noise import from_noise

PROMPT = "a man with a beard wearing glasses and a hat"
UNREAD = suppress.Unread(steps=6, start=2)


@pytest.fixture(scope="module")
def half():
    """A mask of the left half of 128 × 128 pixels."""
    return Image.fromarray(np.repeat([[255] * 64 + [0] * 64], 128, axis=0).astype(np.uint8))


def test_outside_the_users_mask_the_picture_is_the_original(sd, half):
    result = suppress.run(sd, PROMPT, "hat", settings=replace(UNREAD, keep=1), mask=half, seed=2)
    difference = (result.latents - result.original_latents).abs()
    assert difference[..., 8:].max() == 0 and difference[..., :8].max() > 0.1
    assert result.mask.tobytes() == half.tobytes()


def test_half_the_rate_leaves_some_of_the_change(sd, half):
    changes = []
    for keep in (0, 0.5, 1):
        result = suppress.run(sd, PROMPT, "hat", settings=replace(UNREAD, keep=keep), mask=half, seed=2)
        changes.append((result.latents - result.original_latents)[..., 8:].abs().mean())
    assert changes[0] > changes[1] > changes[2] == 0


@pytest.mark.parametrize("settings", [UNREAD, suppress.SuppressEOT(steps=6, start=2, iterations=1, stop=4)])
def test_both_engines_find_the_same_mask(sd, settings):
    found = [
        suppress.run(sd, PROMPT, "hat", settings=replace(settings, keep=1), seed=[5, 8], engine=engine)
        for engine in ("reference", "fast")
    ]
    assert (found[0].latents - found[1].latents).abs().max() < 1e-3
    kept = (found[0].latents == found[0].original_latents).all(dim=1).float().mean(dim=(1, 2))
    assert ((kept > 0.05) & (kept < 0.95)).all()


@pytest.mark.parametrize(("name", "samples"), [("unread", 2), ("negative-prompt", 4)])
def test_what_the_measured_difference_costs(sd, name, samples):
    """One more context in two steps; two contexts, if the edit changes both halves of the guidance."""
    passes = []
    for keep in (0, 1):
        engine, settings = Fast(sd), parse_method(name, steps=6, start=2, keep=keep)
        suppress.run(sd, PROMPT, "hat", settings=settings, engine=engine, height=64, width=64)
        passes.append(engine.passes)
    assert passes[1] == passes[0] + samples


@pytest.mark.parametrize("name", ["unread", "negative-prompt"])
def test_the_mask_is_that_of_the_equations(sd, name):
    """d, a, q and M of the module's docstring, out of UNet calls of this test's own."""
    prompts = [encode(sd, PROMPT, ["hat"])]
    kept, free = (
        Reference(sd).two_branches(
            prompts,
            from_noise(prompts, sd.noise([5], 128, 128)),
            parse_method(name, steps=6, start=0, keep=keep),
        )
        for keep in (1, 0)
    )
    z = z_hat = kept.edit.run.start.z
    schedule = kept.edit.run.schedule
    d, a = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    for i in range(2):
        record = minisd.Record(lambda site: site.kind == "cross" and site.scale <= 2)
        with torch.no_grad():
            empty = sd.unet(z_hat, schedule.t[i], prompts[0].uncond)
            cond = sd.unet(z_hat, schedule.t[i], prompts[0].ctx)
            sd.unet(z, schedule.t[i], prompts[0].ctx, tap=record)
        for p in record.maps.values():
            heat = p[..., list(prompts[0].target)].sum(dim=-1).mean(dim=1)
            side = int(heat.shape[1] ** 0.5)
            a += F.interpolate(heat.view(1, 1, side, side), (16, 16), mode="bilinear")
        before, (z, z_hat) = z_hat, next(free)
        next(kept)
        high, low = schedule.alpha[i], schedule.alpha[i + 1]  # the edit's noise is what DDIM made ẑ of
        scale = (low / high) ** 0.5
        eps_hat = (z_hat - scale * before) / ((1 - low) ** 0.5 - scale * (1 - high) ** 0.5)
        d += (eps_hat - empty - 7.5 * (cond - empty)).abs().mean(dim=1, keepdim=True)
    d = F.avg_pool2d(d, 3, 1, 1, count_include_pad=False)
    rho = (d**2).mean() ** 2 / (d**4).mean()
    q = max(0.7, rho**0.25)
    a = ((a - a.min()) / (a.max() - a.min()) / 0.3).clamp(max=1)
    weights = (d**2 * a ** (1 - rho)).flatten()
    inside, held = torch.zeros(256), 0
    for place in weights.argsort(descending=True):
        if held >= q * weights.sum():
            break
        inside[place], held = 1, held + weights[place]
    assert 4 <= inside.sum() <= 252
    wider = F.max_pool2d(inside.view(1, 1, 16, 16), 3, 1, 1)
    assert (wider != kept.edit.mask).sum() <= 3  # rounding may move the last one


def test_until_from_one_latent_around_the_mask_is_free(sd):
    prompts = [encode(sd, PROMPT, ["glasses"])]
    settings = replace(UNREAD, steps=10, start=1, keep=1)
    steps = Reference(sd).two_branches(prompts, from_noise(prompts, sd.noise([5], 128, 128)), settings)
    outside = []  # after each step: how many latents differ outside M, and how many outside M and one around
    for original, edited in steps:
        differs, mask = (original != edited).any(dim=1, keepdim=True), steps.edit.mask
        outside.append([int((differs & (m == 0)).sum()) for m in (mask, dilate(mask, 1))])
    assert outside[0] == [0, 0] and outside[1][1] > 0  # before R; while it is measured
    assert all(wide > 0 and wider == 0 for wide, wider in outside[2:4])
    assert outside[4:] == [[0, 0]] * 6


def test_a_target_without_rows_leaves_the_mask_to_the_difference(sd):
    heat = TargetHeat(torch.tensor([[0.0] * 77, [1.0] * 77]), torch.zeros(2, 4, 16, 16))
    heat.sum = torch.arange(512.0).view(2, 1, 16, 16)
    assert heat.scaled()[0].eq(1).all() and heat.scaled()[1].min() == 0 and heat.scaled()[1].max() == 1


@pytest.mark.parametrize("kind", [SLD, Sega])
def test_a_method_that_begins_late_is_measured_when_it_begins(sd, kind):
    late, at_once = kind(steps=6, warm_up=3, momentum=0, keep=1), kind(steps=6, start=3, warm_up=0, momentum=0, keep=1)
    results = [suppress.run(sd, PROMPT, "hat", settings=settings, seed=5) for settings in (late, at_once)]
    masks = [np.asarray(result.mask) for result in results]
    assert 0.03 < masks[0].mean() / 255 < 0.97
    assert (masks[0] != masks[1]).mean() < 0.03  # SEGA's quantile may turn single elements over
    assert (results[0].latents - results[0].original_latents).abs().max() > 0.05


@pytest.mark.parametrize("keep", [0, 1])
def test_strength_0_is_the_original_to_the_bit(sd, keep):
    for prompt, target in ((PROMPT, "hat"), (PROMPT, "glasses")):
        settings = replace(UNREAD, strength=0, keep=keep)
        result = suppress.run(sd, prompt, target, settings=settings, seed=[2, 5], height=64, width=64)
        assert torch.equal(result.latents, result.original_latents)


def test_the_change_grows_with_the_strength(sd):
    changes = []
    for strength in (0, 0.01, 0.5, 1):
        settings = replace(UNREAD, strength=strength, keep=1)
        result = suppress.run(sd, PROMPT, "glasses", settings=settings, seed=5)
        changes.append(float((result.latents - result.original_latents).abs().mean()))
    assert changes == sorted(changes) and changes[1] < 0.05 * changes[3]


def test_a_real_picture_is_pulled_to_its_pivots(sd, half):
    picture = sd.generate(PROMPT, 5, 12, 2.0)[0]
    for inversion in ("direct", "ddim"):
        start = suppress.invert(sd, picture, PROMPT, inversion, steps=6)
        result = suppress.run(
            sd, PROMPT, "hat", settings=replace(UNREAD, keep=1), image=picture, inversion=start, mask=half
        )
        assert torch.equal(result.latents[..., 8:], start.pivots[-1][..., 8:])


def test_the_smallest_mask_that_holds_a_share():
    weights = torch.tensor([[4.0, 1, 3, 2]]).view(1, 1, 2, 2)
    for share, want in ((0, 0), (0.4, 1), (0.41, 2), (0.7, 2), (0.71, 3), (1, 4)):
        mask = largest(weights, torch.full((1, 1, 1, 1), share))
        assert mask.sum() == want and (want == 0 or mask[0, 0, 0, 0] == 1)
    assert largest(torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 1, 1)).sum() == 0


def test_the_mask_of_each_sample_is_its_own():
    weights = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) ** 4
    shares = torch.tensor([0.5, 0.9, 0.2]).view(3, 1, 1, 1)
    alone = [
        largest(w, share)
        for w, share in zip(
            (weights * torch.tensor([1, 9, 0.1]).view(3, 1, 1, 1)).split(1), shares.split(1), strict=True
        )
    ]
    assert torch.equal(largest(weights, shares), torch.cat(alone)) and 0 < largest(weights, shares).mean() < 1


def test_which_part_of_the_picture_values_cover():
    one, half = torch.zeros(2, 1, 4, 4).unbind()
    one[0, 1, 1] = 3
    half[0, :2] = 5
    values = torch.stack([one, half, torch.full((1, 4, 4), 2.0), torch.zeros(1, 4, 4)])
    assert coverage(values).flatten().tolist() == pytest.approx([1 / 16, 0.5, 1, 0])
    ramp = torch.arange(4.0).view(1, 1, 2, 2)
    assert float(coverage(ramp)) == pytest.approx(14**2 / (4 * 98))


@pytest.mark.parametrize("known", [True, False])
def test_the_edit_is_free_until_its_mask_is_known(sd, half, known):
    prompts = [encode(sd, PROMPT, ["glasses"])]
    start = from_noise(prompts, sd.noise([5], 128, 128))
    if known:
        start = replace(start, mask=read_mask(half, 128, 128))
    steps = Reference(sd).two_branches(prompts, start, replace(UNREAD, keep=1))
    kept = [float((edited == original).all(dim=1).float().mean()) for original, edited in steps]
    assert kept[:2] == [1, 1] and all(0.3 < k < 0.98 for k in kept[3:])
    assert kept[2] == pytest.approx(0.5 if known else 0, abs=0.01)


def test_the_edit_of_a_picture_is_free_until_from(sd, half):
    """There, the edited latents may leave the picture outside the mask from R to FROM, and at no other step."""
    settings = replace(UNREAD, steps=10, keep=1)
    picture = sd.generate(PROMPT, 5, 12, 2.0)[0]
    start = replace(suppress.invert(sd, picture, PROMPT, "ddim", steps=10), mask=read_mask(half, 128, 128))
    left = [
        not torch.equal(edited[..., 8:], start.pivots[i + 1][..., 8:])
        for i, (_, edited) in enumerate(Reference(sd).two_branches([encode(sd, PROMPT, ["hat"])], start, settings))
    ]
    assert left == [False, False, True, True, *[False] * 6]


def test_a_start_that_begins_later_than_r_is_measured_too(sd):
    picture = sd.generate(PROMPT, 5, 12, 2.0)[0]
    settings = replace(UNREAD, keep=1, start=0)
    result = suppress.run(sd, PROMPT, "hat", settings=settings, image=picture, inversion="noised:strength=0.5")
    assert 0.05 < np.asarray(result.mask).mean() / 255 < 0.95


def test_a_mask_of_pixels_becomes_one_of_latents():
    picture = np.zeros((64, 64), np.uint8)
    picture[8, 17] = 255
    mask = read_mask(Image.fromarray(picture), 64, 64)
    assert mask.sum() == 1
    assert latent_mask(mask, torch.zeros(1, 4, 8, 8)).nonzero().tolist() == [[0, 0, 1, 2]]


@pytest.mark.parametrize("keep", [-0.1, 1.1, "all"])
def test_the_rate_is_a_fraction(keep):
    with pytest.raises(UserError, match=r"keep = .*expected a"):
        suppress.Unread(keep=keep)


def test_a_mask_is_a_picture(sd):
    with pytest.raises(UserError, match=r"mask = 'mask\.png'; expected a PIL picture"):
        suppress.run(sd, PROMPT, "hat", mask="mask.png")

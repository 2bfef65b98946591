"""Outside its mask an edit is the original, on both engines, and r = 0 changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import suppress
from minisd import UserError
from suppress import Fast, Reference
from suppress.edits.masks import largest, latent_mask, read_mask
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


def test_the_measured_difference_costs_four_samples(sd):
    passes = []
    for keep in (0, 1):
        engine = Fast(sd)
        suppress.run(sd, PROMPT, "hat", settings=replace(UNREAD, keep=keep), engine=engine)
        passes.append(engine.passes)
    assert passes[1] == passes[0] + 4


def test_a_real_picture_is_pulled_to_its_pivots(sd, half):
    picture = sd.generate(PROMPT, 5, 12, 2.0)[0]
    for inversion in ("direct", "ddim"):
        start = suppress.invert(sd, picture, PROMPT, inversion, steps=6)
        result = suppress.run(
            sd, PROMPT, "hat", settings=replace(UNREAD, keep=1), image=picture, inversion=start, mask=half
        )
        assert torch.equal(result.latents[..., 8:], start.pivots[-1][..., 8:])


def test_the_smallest_mask_that_holds_a_share():
    values = torch.zeros(1, 1, 12, 12)
    values[..., 4, 4] = 5
    assert largest(values, 1).sum() == 25  # 3 × 3 by the smoothing, 5 × 5 by the pixel around
    values[..., 10:, 10:] = 0.1  # a small value far away belongs to the mask only if all is asked for
    assert largest(values, 0.8)[..., 9:, 9:].sum() == 0 and largest(values, 1)[..., 10:, 10:].sum() == 4
    assert largest(torch.ones(1, 1, 8, 8), 0.9).sum() == 64  # what is everywhere is not cut
    assert largest(torch.zeros(1, 1, 8, 8), 0.9).sum() == 0


def test_the_mask_of_each_sample_is_its_own():
    values = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) ** 4
    alone = [largest(one, 0.5) for one in (values * torch.tensor([1, 100, 0.01]).view(3, 1, 1, 1)).split(1)]
    assert torch.equal(largest(values, 0.5), torch.cat(alone)) and 0 < largest(values, 0.5).mean() < 1


def test_the_edit_is_free_until_from(sd, half):
    """From R to FROM the edited latents may leave the original outside the mask; before and after they may not."""
    settings, prompts = replace(UNREAD, steps=10, keep=1), [encode(sd, PROMPT, ["hat"])]
    start = replace(from_noise(prompts, sd.noise([5], 128, 128)), mask=read_mask(half, 128, 128))
    left = [
        not torch.equal(edited[..., 8:], original[..., 8:])
        for original, edited in Reference(sd).two_branches(prompts, start, settings)
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

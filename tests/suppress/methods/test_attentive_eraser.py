"""Attentive Eraser: its attention and its loop in a plain form, the mask it finds, and that the rest is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import suppress
from minisd import UserError
from suppress.edits.maps import Maps, MapSpec
from suppress.loop import Run
from suppress.methods import AttentiveEraser
from suppress.methods.attentive_eraser import MaskedKeys, SoftKeys, pixels_inside, target_map
from suppress.prompt import encode
from suppress.start.noise import from_noise

PROMPT = "a man with a beard wearing glasses and a hat"
SIZE = {"height": 64, "width": 64}
SETTINGS = AttentiveEraser(steps=4, guidance=2.5, start=1, scale=2, similarity_until=3, dilation=0)


def picture_of(rows, columns, side=64):
    """A mask that is white in some rows and columns of pixels."""
    levels = np.zeros((side, side), np.uint8)
    levels[rows, columns] = 255
    return Image.fromarray(levels)


TOP = picture_of(slice(8, 32), slice(16, 41))  # latents 1 … 3 and 2 … 5
INSIDE = torch.zeros(8, 8, dtype=torch.bool)
INSIDE[1:4, 2:6] = True


@pytest.fixture(scope="module")
def photo(sd):
    """A small picture that PROMPT describes, drawn by the model with little guidance, as it reads a photo."""
    return sd.generate(PROMPT, 1, 12, 2.0, height=64, width=64)[0]


@pytest.fixture(scope="module")
def start(sd, photo):
    return suppress.invert(sd, photo, PROMPT, "direct", 4, **SIZE)


def erase(sd, image, settings=SETTINGS, remove="hat", **others):
    return suppress.run(sd, PROMPT, remove, settings=settings, image=image, **(SIZE | others))


# ------------------------------------------------------------------ the attention


def plain_attention(q, k, v, hidden, factor, eta):
    """One query after the other, in numpy's order of the equation: q, k, v (N,d)."""
    out = []
    for i in range(len(q)):
        scores = (factor if hidden[i] else 1) * (k @ q[i]) / q.shape[1] ** 0.5
        weights = scores.exp() * torch.where(hidden, eta, torch.ones_like(eta))
        out.append(weights @ v / weights.sum())
    return torch.stack(out)


@pytest.fixture
def qkv():
    """(q, k, v) of 4 samples, 2 heads and 16 pixels; and which pixels two of them hide."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.zeros(2, 16, dtype=torch.bool)
    hidden[0, 3:7] = hidden[1, 10:] = True
    return *torch.randn(3, 4, 2, 16, 8, generator=generator).unbind(0), hidden


def decoder_site(sd):
    return next(site for site in sd.unet.sites if site.place == "up")


@pytest.mark.parametrize("factor", [0.3, 1.0])
def test_no_query_reads_the_masked_keys(sd, qkv, factor):
    q, k, v, hidden = qkv
    site = decoder_site(sd)
    got = MaskedKeys({site.scale: hidden}, factor).attend(site, q[2:], k[2:], v[2:], None)
    for b in range(2):
        for h in range(2):
            want = plain_attention(q[2 + b, h], k[2 + b, h], v[2 + b, h], hidden[b], factor, torch.zeros(16))
            torch.testing.assert_close(got[b, h], want)


def test_soft_keys_come_back_as_the_maps_turn_away_from_the_originals(sd, qkv):
    q, k, v, hidden = qkv
    site = decoder_site(sd)
    got = SoftKeys({site.scale: hidden}, 0.3).attend(site, q, k, v, None)
    torch.testing.assert_close(got[:2], (q[:2] @ k[:2].mT / 8**0.5).softmax(-1) @ v[:2])
    maps = (q @ k.mT / 8**0.5).softmax(-1).mean(1)
    for b in range(2):
        eta = torch.stack(
            [1 - old @ new / (old.norm() * new.norm()) for old, new in zip(maps[b], maps[2 + b], strict=True)]
        )
        for h in range(2):
            want = plain_attention(q[2 + b, h], k[2 + b, h], v[2 + b, h], hidden[b], 0.3, eta)
            torch.testing.assert_close(got[2 + b, h], want)


def test_soft_keys_of_an_unchanged_picture_are_masked(sd, qkv):
    q, k, v, hidden = qkv
    site, same = decoder_site(sd), [x[2:].repeat(2, 1, 1, 1) for x in (q, k, v)]
    soft = SoftKeys({site.scale: hidden}, 0.3).attend(site, *same, None)[2:]
    masked = MaskedKeys({site.scale: hidden}, 0.3).attend(site, q[2:], k[2:], v[2:], None)
    torch.testing.assert_close(soft, masked, rtol=0, atol=1e-4)


def test_the_sites_are_the_nine_self_attentions_of_the_decoder(sd):
    names = [site.name for site in sd.unet.sites if MaskedKeys({}, 1).wants(site)]
    self_sites = [site.name for site in sd.unet.sites if site.kind == "self"]
    assert names == self_sites[7:16] and len(self_sites) == 16


def test_a_part_of_a_pixel_is_enough_and_a_full_grid_hides_nothing():
    mask = torch.zeros(2, 1, 7, 8)
    mask[0, 0, 6, 3] = 1
    mask[1, 0, ::2, ::4] = 1
    assert pixels_inside(mask, 2)[0].nonzero().flatten().tolist() == [3 * 4 + 1]
    assert pixels_inside(mask, 4)[0].nonzero().flatten().tolist() == [2]
    assert pixels_inside(mask, 2)[1].sum() == 4 * 2 and not pixels_inside(mask, 4)[1].any()


# ------------------------------------------------------------------ the loop


def by_hand(sd, start, settings, inside):
    """The edited latents after the last step, in the words of the paper."""
    run = Run(sd, [encode(sd, PROMPT, "hat")], start, settings)
    ctx, z = sd.encode_text(""), start.pivots[settings.start_step]
    mask = inside[None, None].float()
    for i in range(settings.start_step, settings.steps):
        factor = settings.similarity if i < 3 else 1.0
        tap = MaskedKeys({scale: pixels_inside(mask, scale) for scale in (1, 2, 4)}, factor)
        eps = sd.unet(z, run.schedule.t[i], ctx)
        removal = sd.unet(z, run.schedule.t[i], ctx, tap=tap)
        z = run.step(i, z, eps + settings.scale * (removal - eps))
        z = torch.where(inside, z, start.pivots[i + 1])
    return z


@pytest.mark.parametrize("engine", ["reference", "fast"])
@pytest.mark.parametrize("scale", [0, 2])
def test_the_loop_is_the_papers(sd, photo, start, engine, scale):
    settings = replace(SETTINGS, scale=scale)
    got = erase(sd, photo, settings, engine=engine, inversion=start, mask=TOP)
    with torch.no_grad():
        want = by_hand(sd, start, settings, INSIDE)
    assert (got.latents - want).abs().max() < 1e-3
    assert torch.equal(got.latents[..., ~INSIDE], start.pivots[-1][..., ~INSIDE])
    assert (got.latents - start.pivots[-1])[..., INSIDE].abs().max() > 0.1


def test_without_a_scale_it_draws_with_the_plain_noise(sd, photo, start):
    """Scale 0: neither the tap nor f has an effect."""
    one, other = (
        erase(sd, photo, replace(SETTINGS, scale=0, **change), inversion=start, mask=TOP).latents
        for change in ({}, {"keys": "soft", "similarity": 0.9})
    )
    assert (one - other).abs().max() < 1e-4


@pytest.mark.parametrize("inversion", ["ddim", "noised", "negative-prompt"])
def test_every_inversion_keeps_its_pivots_outside(sd, photo, inversion):
    start = suppress.invert(sd, photo, PROMPT, inversion, 4, **SIZE)
    result = erase(sd, photo, replace(SETTINGS, start=2), inversion=start, mask=TOP)
    assert torch.equal(result.latents[..., ~INSIDE], start.pivots[-1][..., ~INSIDE])
    with torch.no_grad():
        want = by_hand(sd, start, replace(SETTINGS, start=2), INSIDE)
    assert (result.latents - want).abs().max() < 1e-3


def test_a_start_after_step_r_begins_with_the_mask(sd, photo):
    """`noised` leaves out the first steps."""
    settings = replace(SETTINGS, start=0)
    [mask] = {erase(sd, photo, settings, inversion="noised", engine=e).mask.tobytes() for e in ("reference", "fast")}
    assert set(mask) == {0, 255}


@pytest.mark.parametrize("keys", ["masked", "soft"])
@pytest.mark.parametrize("mask", [None, TOP], ids=["its own mask", "the user's mask"])
@pytest.mark.parametrize("drawn", [True, False])
def test_both_engines_draw_the_same(sd, photo, start, keys, mask, drawn):
    where = {"image": None, "seed": 2} if drawn else {"image": photo, "inversion": start}
    results = [
        suppress.run(sd, PROMPT, "hat", settings=replace(SETTINGS, keys=keys), engine=e, mask=mask, **where, **SIZE)
        for e in ("reference", "fast")
    ]
    assert (results[0].latents - results[1].latents).abs().max() < 1e-3
    assert results[0].mask.tobytes() == results[1].mask.tobytes()
    inside = torch.from_numpy(np.array(results[0].mask) > 0)[::8, ::8]
    for result in results:
        assert torch.equal(result.latents[..., ~inside], result.original_latents[..., ~inside])
    assert (results[0].latents - results[0].original_latents).abs().max() > 0.1


def test_several_masks_and_prompts_in_one_batch(sd):
    """Each job is what it is alone, with its own mask or the one found for its own targets."""
    left, settings = picture_of(slice(None), slice(0, 20)), replace(SETTINGS, steps=3)
    for masks in ((TOP, left), (None, None)):
        jobs = [
            suppress.Job("a man with a beard wearing glasses and a hat", ("glasses", "hat"), 2, mask=masks[0], **SIZE),
            suppress.Job("a man without glasses", "glasses", 5, mask=masks[1], **SIZE),
        ]
        together = suppress.run_batch(sd, jobs, settings=settings)
        for job, got in zip(jobs, together, strict=True):
            [alone] = suppress.run_batch(sd, [job], settings=settings)
            assert (got.latents - alone.latents).abs().max() < 1e-3
            assert got.mask.tobytes() == alone.mask.tobytes()
        assert together[0].mask.tobytes() != together[1].mask.tobytes()


def test_what_it_costs(sd, photo, start):
    engine = suppress.Fast(sd)
    erase(sd, photo, engine=engine, inversion=start, mask=TOP)
    assert engine.passes == 1 * 2 + 3 * 4


# ------------------------------------------------------------------ the mask


def edit_of(sd, remove, settings=SETTINGS, mask=None, side=64):
    prompt = encode(sd, PROMPT, remove)
    start = replace(from_noise([prompt], sd.noise([0], side, side)), mask=mask)
    return settings.edit(Run(sd, [prompt], start, settings)), prompt


def test_the_mask_is_where_the_targets_maps_are_high(sd):
    """Two targets, one of two rows, on a grid of half the latents' side."""
    edit, prompt = edit_of(sd, ["a hat", "glasses"], side=128)
    rows = suppress.find_rows(sd, PROMPT, "a hat"), suppress.find_rows(sd, PROMPT, "glasses")
    assert [len(r) for r in rows] == [2, 1] and sorted(sum(rows, ())) == sorted(prompt.target)
    cross = torch.full((1, 64, 77), 0.01)
    cross[0, 0, list(rows[0])] = torch.tensor([0.9, 0.5])  # the hat, in a corner
    cross[0, 1, rows[0][0]] = 0.9  # half of its rows: .44 of (.9 + .5) / 2, above the threshold
    cross[0, 63, list(rows[1])] = 0.02  # the glasses, in the other corner: a low map, but their highest value
    found = edit._found(Maps(cross, torch.zeros(1, 64, 64), (8, 8)))[0, 0]
    assert found.shape == (16, 16) and found[0, :4].tolist() == [1, 1, 1, 1] and found[15, 15] == 1
    assert 5 <= found.sum() <= 20


def test_the_map_is_that_of_the_original_at_step_r(sd):
    result = suppress.run(sd, PROMPT, "hat", seed=2, settings=replace(SETTINGS, start=2, threshold=0.5), **SIZE)
    prompt = encode(sd, PROMPT, "hat")
    run = Run(sd, [prompt], from_noise([prompt], sd.noise([2], 64, 64)), SETTINGS)
    with torch.no_grad():
        z = suppress.engine.Reference(sd).two_branches([prompt], run.start, SETTINGS)
        after_two = [next(z) for _ in range(2)][1][0]
        heat = run.read_maps(2, after_two, prompt.ctx, MapSpec(1)).cross[0, :, prompt.target].mean(-1).view(8, 8)
    inside = (heat - heat.min()) / (heat.max() - heat.min()) > 0.5
    assert np.array_equal(np.array(result.mask)[::8, ::8] > 0, inside)
    assert 0.1 < inside.float().mean() < 0.9


def test_a_target_without_a_place_changes_nothing(sd):
    edit, _ = edit_of(sd, "hat", replace(SETTINGS, start=0))
    original = edit.run.original(0, edit.run.start.z)
    flat = Maps(torch.full((1, 64, 77), 1 / 77), torch.zeros(1, 64, 64), (8, 8))
    edited = edit.inputs(0, original, original, flat)
    with torch.no_grad():
        _, eps = edit.run.predict(0, original, edited)  # no NaN, although there is nothing in the mask
    z, kept = edit.step(0, edited.z, edit.combine(0, eps)), torch.zeros_like(edited.z)
    assert torch.isfinite(z).all() and torch.equal(edit.blend(0, z, kept), kept) and not edit.changed().any()


def test_dilation_widens_the_users_mask(sd):
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 30, 30] = 1
    counts = [edit_of(sd, "hat", replace(SETTINGS, dilation=d), mask)[0].changed().sum() for d in (0, 1, 2)]
    assert counts == [1, 9, 25]


def test_a_found_mask_is_widened_and_the_users_is_not(sd):
    settings = replace(SETTINGS, dilation=None)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 30, 30] = 1
    assert edit_of(sd, "hat", settings, mask)[0].changed().sum() == 1
    edit, _ = edit_of(sd, "hat", settings)
    cross = torch.zeros(1, 64, 77)
    cross[0, 27] = 1
    edit._set_mask(edit._found(Maps(cross, torch.zeros(1, 64, 64), (8, 8))))
    assert edit.changed().sum() == 9


def test_a_mask_of_everything_is_refused(sd, photo, start):
    almost = Image.new("L", (64, 64), 255)
    almost.paste(0, (0, 0, 8, 8))
    with pytest.raises(UserError, match="dilation = 1, covers the whole picture"):
        erase(sd, photo, replace(SETTINGS, dilation=1), inversion=start, mask=almost)
    assert erase(sd, photo, inversion=start, mask=almost).mask is not None


def test_the_default_maps_have_eight_pixels_or_more(sd):
    for side, scale in ((512, 4), (256, 4), (216, 2), (128, 2), (64, 1), (40, 1)):
        assert target_map(sd, sd.noise([0], side, side), None).scale == scale
    assert target_map(sd, sd.noise([0], 128, 128), 4).scale == 4


@pytest.mark.parametrize(
    "setting",
    [
        {"scale": -1}, {"similarity": "weak"}, {"keys": "hard"}, {"similarity_until": 99}, {"threshold": 1.5},
        {"dilation": -1}, {"resolution": 0},
    ],
)  # fmt: skip
def test_bad_settings_are_named(setting):
    [name] = setting
    with pytest.raises(UserError, match=f"{name} = "):
        AttentiveEraser(**setting)

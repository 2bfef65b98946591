"""LEDITS++: its equation by hand, settings that change nothing, user's masks, several phrases, both engines."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import suppress
from minisd import UserError
from minisd.picture import from_pil
from suppress.loop import Run
from suppress.methods import Ledits
from suppress.prompt import encode
from suppress.protocol import Inputs
from suppress.start.noise import from_noise

PROMPT = "a man with a beard wearing glasses and a hat"
SIZE = {"height": 64, "width": 64}
SETTINGS = Ledits(steps=4, threshold=0.75)
FROM_NOISE = replace(SETTINGS, guidance=2.0)
INVERSION = "edit-friendly:skip=0.25"


@pytest.fixture(scope="module")
def photo(sd):
    return sd.generate(PROMPT, 1, 12, 2.0, **SIZE)[0]


@pytest.fixture(scope="module")
def start(sd, photo):
    return suppress.invert(sd, photo, PROMPT, INVERSION, 4, guidance=0, **SIZE)


@pytest.fixture(scope="module")
def draw(sd, photo, start):
    """The photo, edited."""

    def run(settings, remove="glasses", engine=None, **more):
        return suppress.run(
            sd, PROMPT, remove, settings=settings, image=photo, inversion=start, engine=engine, **SIZE, **more
        )

    return run


def edit_of(sd, settings, *jobs, mask=None):
    prompts = [encode(sd, prompt, remove) for prompt, remove in jobs]
    start = from_noise(prompts, sd.noise(range(len(prompts)), 64, 64))
    return settings.edit(Run(sd, prompts, replace(start, mask=mask), settings))


def inputs_of(edit, i=1):
    """What the edit shows the UNet, after it has read the maps at the start's latents."""
    same = edit.run.original(i, edit.run.start.z)
    with torch.no_grad():
        return edit.inputs(i, same, same, None)


def noise(contexts, samples=1):
    """One prediction for each context, larger from pixel to pixel than from channel to channel."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(samples, 4, 8, 8, generator=generator) for _ in range(contexts)]


# ---------------------------------------------------------------------- the equation


def map_mask(run, phrase, rows, threshold, side):
    """M1 by hand, in loops: the map of one phrase, side × side, smoothed, and the cells that reach its quantile."""
    spec = suppress.edits.maps.map_spec(run.sd, run.start.z, side)
    with torch.no_grad():
        cross = run.read_maps(1, run.start.z, run.sd.encode_text(phrase), spec).cross[0]
    grid = cross[:, rows].sum(dim=1).reshape(side, side).double().numpy()
    smooth = np.zeros_like(grid)
    for y, x, dy, dx in np.ndindex(side, side, 3, 3):
        weight = np.exp(-((dy - 1) ** 2 + (dx - 1) ** 2) / (2 * 0.5**2)) / (1 + 2 * np.exp(-2)) ** 2
        smooth[y, x] += weight * grid[min(max(y + dy - 1, 0), side - 1), min(max(x + dx - 1, 0), side - 1)]
    return np.kron(smooth >= np.quantile(smooth, threshold) - 1e-9, np.ones((8 // side, 8 // side)))


def size_mask(delta, threshold):
    size = delta[0].abs().sum(dim=0).numpy()
    return size >= np.quantile(size, threshold)


@pytest.mark.parametrize(
    ("masks", "scale", "side"),
    [("intersect", 3.0, 4), ("intersect", -2.0, 8), ("map", 3.0, 8), ("difference", 3.0, None), ("none", 3.0, None)],
)
def test_the_noise_by_hand(sd, masks, scale, side):
    settings = replace(FROM_NOISE, masks=masks, scale=scale, resolution=side)
    edit = edit_of(sd, settings, (PROMPT, ["glasses", "a hat"]))
    inputs = inputs_of(edit)
    phrases = {"glasses": [1], "a hat": [1, 2]}
    assert torch.equal(torch.cat(inputs.contexts[2:]), sd.encode_text(list(phrases)))
    empty, cond, *concepts = eps = noise(4)
    want = empty + 2.0 * (cond - empty)
    for (phrase, rows), eps_e in zip(phrases.items(), concepts, strict=True):
        delta, mask = eps_e - empty, np.ones((8, 8))
        if masks in ("intersect", "map"):
            mask = mask * map_mask(edit.run, phrase, rows, 0.75, side)
        if masks in ("intersect", "difference"):
            mask = mask * size_mask(delta, 0.75)
        assert masks == "none" or 0 < mask.sum() < 64
        want = want - scale * torch.from_numpy(mask).float() * delta
    torch.testing.assert_close(edit.combine(1, eps), want)


def test_without_guidance_the_prompt_is_not_drawn(draw, sd, photo, start):
    """Its context is left out, unless somebody looks at its maps, which then are those of the prompt."""
    prompts = [encode(sd, PROMPT, "glasses")]
    contexts = Run(sd, prompts, start, SETTINGS), Run(sd, prompts, start, SETTINGS, watch=(None, None))
    assert [len(inputs_of(SETTINGS.edit(run)).contexts) for run in contexts] == [2, 3]
    plain, watched = draw(SETTINGS), draw(SETTINGS, maps=True)
    assert (plain.latents - watched.latents).abs().max() < 1e-3
    same = draw(replace(SETTINGS, scale=0), maps=True)
    assert torch.allclose(same.maps, same.original_maps, atol=1e-4)


# ---------------------------------------------------------------------- a picture


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_scale_0_is_the_picture(draw, sd, photo, engine):
    z = sd.encode(from_pil(photo))
    assert (draw(replace(SETTINGS, scale=0), engine=engine).latents - z).abs().max() < 1e-4
    assert (draw(replace(SETTINGS, start=4), engine=engine).latents - z).abs().max() < 1e-4  # all of it is warm-up


@pytest.mark.parametrize("masks", ["intersect", "map", "difference", "none"])
def test_both_engines_edit_the_same(draw, masks):
    settings = replace(SETTINGS, masks=masks)
    want, got = (draw(settings, ["glasses", "hat"], engine) for engine in ("reference", "fast"))
    assert (got.latents - want.latents).abs().max() < 1e-3
    assert (want.latents - want.original_latents).abs().max() > 0.1
    assert (want.mask is None) == (masks == "none")
    if want.mask is not None:
        assert want.mask.tobytes() == got.mask.tobytes() and 0 < np.asarray(want.mask).mean() < 255


def test_a_users_mask_bounds_the_edit(draw, sd):
    half = np.repeat([[255] * 32 + [0] * 32], 64, axis=0).astype(np.uint8)
    result = draw(replace(SETTINGS, masks="none"), mask=Image.fromarray(half))
    assert np.array_equal(np.asarray(result.mask), half)
    for masks in ("none", "difference"):
        mask = torch.from_numpy(half > 0).float()[None, None]
        edit = edit_of(sd, replace(FROM_NOISE, masks=masks), (PROMPT, "glasses"), mask=mask)
        eps = noise(3)
        change = (edit.combine(1, eps) - edit.run.guide(eps)).abs().amax(dim=1)
        assert change[..., 4:].max() == 0 and (change[..., :4] > 0).float().mean() > (0.1, 0.9)[masks == "none"]


def test_the_mask_holds_all_steps(sd):
    edit = edit_of(sd, replace(FROM_NOISE, masks="difference"), (PROMPT, "glasses"))
    for at in (0, 5):
        eps = [torch.zeros(1, 4, 8, 8) for _ in range(3)]
        eps[2] += torch.arange(8.0).roll(at)  # the quantile leaves two of eight columns
        edit.combine(1, eps)
    assert edit.changed()[0, 0, 0].tolist() == [0, 0, 0, 1, 1, 0, 1, 1]


def test_it_needs_a_picture_or_a_guidance(sd):
    with pytest.raises(UserError, match=r"draws without the prompt.*image=.*ledits:guidance=7\.5"):
        suppress.run(sd, PROMPT, "hat", method="ledits:steps=2", **SIZE)


def test_samples_per_step(sd, photo, start):
    """K concepts: 1 + K in the edited branch, and K that end where the maps are read."""
    for remove, masks, samples in (("hat", "intersect", 3), (["hat", "glasses"], "map", 5), ("hat", "difference", 2)):
        engine, settings = suppress.Fast(sd), replace(SETTINGS, masks=masks)
        suppress.run(sd, PROMPT, remove, settings=settings, image=photo, inversion=start, engine=engine, **SIZE)
        assert engine.passes == 3 * samples  # the loop begins at step 1 of 4


# ---------------------------------------------------------------------- noise


JOBS = [
    suppress.Job("a man without glasses", "glasses", 5, 64, 64),
    suppress.Job(PROMPT, ("glasses", "a hat"), 2, 64, 64),
    suppress.Job("a cat with a crown on the beach", "crown", 3, 64, 64),
]


def test_any_batch_on_both_engines_is_each_job_alone(sd):
    """The samples have one phrase or two."""
    fast, plain = (suppress.run_batch(sd, JOBS, settings=FROM_NOISE, engine=name) for name in ("fast", "reference"))
    for job, *results in zip(JOBS, fast, plain, strict=True):
        [alone] = suppress.run_batch(sd, [job], settings=FROM_NOISE, engine="reference")
        assert all((result.latents - alone.latents).abs().max() < 1e-3 for result in results)
        assert all(result.mask.tobytes() == alone.mask.tobytes() for result in results)
        assert (alone.latents - alone.original_latents).abs().max() > 0.1


def test_a_missing_phrase_changes_nothing(sd):
    """Also if ∅ is not the empty prompt, as after negative-prompt inversion."""
    edit = edit_of(sd, FROM_NOISE, (PROMPT, ["glasses", "hat"]), ("a cat with a crown", "crown"))
    inputs_of(edit)
    eps = noise(4, samples=2)
    one = edit_of(sd, FROM_NOISE, ("a cat with a crown", "crown"))
    one.run.start = replace(one.run.start, z=edit.run.start.z[1:])
    inputs_of(one)
    torch.testing.assert_close(edit.combine(1, eps)[1:], one.combine(1, [e[1:] for e in eps[:3]]))


def test_keep_pulls_back_what_the_mask_leaves(sd, photo, start):
    found = [
        suppress.run(
            sd, PROMPT, "glasses", settings=replace(SETTINGS, keep=1), image=photo, inversion=start, engine=engine,
            **SIZE,
        )
        for engine in ("reference", "fast")
    ]  # fmt: skip
    assert (found[0].latents - found[1].latents).abs().max() < 1e-3
    kept = (found[0].latents == found[0].original_latents).all(dim=1).float().mean()
    assert 0.05 < kept < 0.95


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    "bad",
    [{"scale": "x"}, {"threshold": 1.5}, {"threshold": -0.1}, {"masks": "all"}, {"masks": None}, {"resolution": 0}],
)
def test_bad_settings_are_named(bad):
    [(name, value)] = bad.items()
    with pytest.raises(UserError, match=f"{name} = {value!r}"):
        Ledits(**bad)


def test_a_grid_that_the_unet_has_not(draw):
    with pytest.raises(UserError, match="resolution = 3: no attention maps of that side"):
        draw(replace(SETTINGS, resolution=3))


def test_the_remark_names_the_constants(sd):
    assert Ledits().remark(encode(sd, PROMPT, "hat")) == "s = 5, λ = 0.9, masks = intersect"


def test_the_smallest_picture(sd):
    """The maps have one cell, so all of it is masked."""
    edit = edit_of(sd, replace(FROM_NOISE, masks="map"), (PROMPT, "hat"))
    z = edit.run.start.z[..., :4, :4]
    with torch.no_grad():
        [mask] = edit.read_masks(1, z)
    assert torch.equal(mask, torch.ones(1, 1, 4, 4))
    assert isinstance(inputs_of(edit), Inputs)

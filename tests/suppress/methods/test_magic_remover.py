"""MagicRemover: its step against a form written here, what it leaves alone, masks, engines, batches, costs."""

from collections import deque
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import minisd
import suppress
from minisd import Record, UserError, compose, ddim, heat_maps, select
from suppress.edits.energy import WordMaps
from suppress.engine import Fast
from suppress.loop import Run
from suppress.methods import MagicRemover
from suppress.prompt import encode, place_rows, read_request
from suppress.start.noise import from_noise

LIST = "a man with a beard wearing glasses and a hat"
SIZE = {"height": 64, "width": 64}
CALM = MagicRemover(steps=4, guidance=2, start=1, stop=3, extra_stop=2)  # a low guidance keeps rounding errors small
JOBS = [
    suppress.Job("a man without glasses", "glasses", 5, 64, 64),
    suppress.Job(LIST, ("glasses", "a hat"), 1, 64, 64),
]


@pytest.fixture(scope="module")
def photo(sd):
    """A picture of 64 pixels that LIST describes."""
    return sd.generate(LIST, 1, 12, 2.0, **SIZE)[0]


def prepared(sd, settings, mask=None):
    """(run, edit) of two prompts, one of them with two objects."""
    prompts = [encode(sd, LIST, ["a hat", "glasses"]), encode(sd, "a man without glasses", "glasses")]
    start = from_noise(prompts, sd.noise([0, 1], 64, 64))
    run = Run(sd, prompts, replace(start, mask=mask), settings)
    return run, settings.edit(run)


def distance(result):
    return float((result.latents - result.original_latents).abs().max())


# ---------------------------------------------------------------------- the equations


def test_two_steps_by_hand(sd):
    """Without shared keys. Step 0 has an extra descent, step 1 only the guidance."""
    settings = MagicRemover(steps=2, guidance=3, start=0, stop=2, extra_stop=1, strength=0.5, share=False)
    [row] = suppress.find_rows(sd, "a man without glasses", "glasses")
    c, empty = sd.encode_text("a man without glasses"), sd.encode_text("")
    z, a = sd.noise([5], 64, 64), ddim.Schedule(2, sd.config.schedule)

    def delta(z, t):
        leaf, record = z.clone().requires_grad_(), Record(select("cross"))
        sd.unet(leaf, t, c, tap=record)
        seen = len(record.maps) * heat_maps(record.maps, (8, 8))[0, row]
        low, high = seen.min().item(), seen.max().item()
        (gradient,) = torch.autograd.grad((1 - 0.8) * ((seen - low) / (high - low)).sum(), leaf)
        return -0.5 * 64 * (((seen - low) / (high - low)).detach() * gradient)  # 64 pixels per latent

    for i, t in enumerate(a.t):
        if i == 0:
            z = z + (1 - a.alpha[0]) ** 0.5 * delta(z, t)
        with torch.no_grad():
            eps = sd.unet(z, t, empty)
            eps = eps + 3 * (sd.unet(z, t, c) - eps)
        picture = (z - (1 - a.alpha[i]) ** 0.5 * eps) / a.alpha[i] ** 0.5
        z = a.alpha[i + 1] ** 0.5 * picture + (1 - a.alpha[i + 1]) ** 0.5 * (eps + delta(z, t))
    job = {"settings": settings, "seed": 5, **SIZE}
    got = suppress.run(sd, "a man without glasses", "glasses", engine="reference", **job)
    torch.testing.assert_close(got.latents, z, rtol=0, atol=2e-3)
    assert distance(got) > 0.5


def test_the_guidance_descends(sd):
    """A small step along δ lowers what it should lower, with the original's keys and values in place."""
    run, edit = prepared(sd, CALM)
    z = run.start.z + 0.3
    with torch.no_grad():
        kept = edit._look_at_original(1, run.original(1, run.start.z))
    seen = []
    for z_ in (z, z + 0.002 * edit._descent(1, z, kept)):
        words = WordMaps(edit.rows, z_)
        with torch.no_grad():
            run.show(1, z_, run.ctx, compose(words, kept))
        seen.append(words.sum)
    low, high = seen[0].amin((-2, -1), keepdim=True), seen[0].amax((-2, -1), keepdim=True)
    energies = [((s - low) / (high - low)).sum() for s in seen]
    assert energies[1] < energies[0]
    own = edit._descent(1, z, None)  # with the edited branch's own keys
    assert (edit._descent(1, z, kept) - own).norm() > 0.05 * own.norm()


def test_words_of_one_object_are_multiplied_and_objects_are_added(sd):
    run, edit = prepared(sd, MagicRemover())
    places = place_rows(sd, read_request(LIST, ["a hat", "glasses"]))
    assert [len(rows) for rows in places] == [2, 1]
    maps = torch.rand(2, len(edit.rows), 8, 8)
    a, hat, glasses = (maps[0, edit.rows.index(row)] for rows in places for row in rows)
    [other] = place_rows(sd, run.prompts[1].request)[0]
    want = torch.stack([a * hat + glasses, maps[1, edit.rows.index(other)]])[:, None]
    torch.testing.assert_close(edit._weight(maps), want)
    binary = prepared(sd, MagicRemover(weight="top"))[1]._weight(maps)
    everywhere = prepared(sd, MagicRemover(weight="none"))[1]._weight(maps)
    assert everywhere.shape == binary.shape and (everywhere == 1).all()
    assert set(binary.unique().tolist()) == {0, 1} and 12 <= binary[1].sum() <= 14  # a fifth of 64


def test_only_the_direction_term_is_guided(sd):
    run, edit = prepared(sd, CALM)
    z, eps, edit.delta = (torch.randn(2, 4, 8, 8) for _ in range(3))
    a, b = run.schedule.alpha[1:3]
    want = b**0.5 * (z - (1 - a) ** 0.5 * eps) / a**0.5 + (1 - b) ** 0.5 * (eps + edit.delta)
    torch.testing.assert_close(edit.step(1, z, edit.combine(1, (eps, eps))), want, rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------------- what stays


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_without_strength_it_is_the_original(sd, photo, engine):
    settings = MagicRemover(steps=3, start=1, strength=0)
    for share in (True, False):
        plain = replace(settings, share=share)
        assert distance(suppress.run(sd, LIST, "hat", settings=plain, engine=engine, seed=2, **SIZE)) < 1e-3
    for inversion in ("null-text:iterations=1", "direct"):
        job = {"image": photo, "inversion": inversion, "engine": engine, **SIZE}
        assert distance(suppress.run(sd, LIST, "hat", settings=settings, **job)) < 1e-3
    drifting = suppress.run(sd, LIST, "hat", settings=replace(settings, follow=False), **job)  # from direct
    assert distance(drifting) > 0.1


def test_before_its_start_the_edited_branch_is_a_pinned_original(sd, photo):
    settings = MagicRemover(steps=4, start=3, stop=3)
    result = suppress.run(sd, LIST, "hat", settings=settings, image=photo, inversion="direct", **SIZE)
    assert distance(result) < 1e-3
    assert "changes nothing" in settings.remark(None) and MagicRemover().remark(None) == ""


# ---------------------------------------------------------------------- the user's mask


@pytest.fixture(scope="module")
def half():
    """A mask of the left half of 64 × 64 pixels."""
    return Image.fromarray(np.repeat([[255] * 32 + [0] * 32], 64, axis=0).astype(np.uint8))


def test_a_users_mask_takes_the_place_of_the_maps(sd, half):
    for engine in ("reference", "fast"):
        one = replace(CALM, stop=4, start=3, strength=1, share=False)  # a single step
        result = suppress.run(sd, LIST, "hat", settings=one, mask=half, seed=2, engine=engine, **SIZE)
        moved = (result.latents - result.original_latents).abs()
        assert moved[..., 4:].max() < 1e-3 < 0.02 < moved[..., :4].max()
        assert result.mask is None
    blended = suppress.run(sd, LIST, "hat", settings=replace(one, start=2, blend=True), mask=half, seed=2, **SIZE)
    assert (blended.latents == blended.original_latents)[..., 4:].all() and distance(blended) > 0.02
    assert blended.mask.tobytes() == half.tobytes()


def test_the_other_form_pulls_to_the_picture_outside_the_mask(sd, half, photo):
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :32] = 1
    run, edit = prepared(sd, replace(CALM, mask_form="pull"), mask.expand(2, -1, -1, -1))
    z, original = torch.randn(2, 2, 4, 8, 8).unbind(0)
    a, b = run.schedule.alpha[1:3]
    got = edit.blend(1, z, original)
    assert torch.equal(got[..., :4], z[..., :4])
    want = z - (1 - b) ** 0.5 * (b / a) ** 0.5 * (z - original)
    torch.testing.assert_close(got[..., 4:], want[..., 4:])
    results = [
        suppress.run(
            sd, LIST, "hat", settings=replace(CALM, strength=0.3, mask_form=form), mask=given,
            image=photo, inversion="direct", **SIZE,
        )
        for form, given in (("pull", half), ("weight", None))
    ]  # fmt: skip
    moved = [(r.latents - r.original_latents)[..., 4:].abs().mean() for r in results]
    assert 0 < moved[0] < moved[1]


def test_the_pull_needs_a_mask(sd):
    with pytest.raises(UserError, match=r"mask_form = 'pull' without a mask; give one \(mask=…\)"):
        suppress.run(sd, LIST, "hat", settings=replace(CALM, mask_form="pull"), **SIZE)


# ---------------------------------------------------------------------- engines, batches, cost, settings


@pytest.mark.parametrize("settings", [CALM, MagicRemover.blended(steps=4, guidance=2, start=1, extra_stop=2)])
def test_any_batch_on_both_engines_is_each_job_alone(check_batch, settings):
    check_batch(JOBS, settings, least=0.02)


def test_both_engines_edit_a_picture_alike(sd, photo):
    for inversion in ("direct", "negative-prompt"):
        start = suppress.invert(sd, photo, LIST, inversion, steps=4, guidance=2, **SIZE)
        one, other = (
            suppress.run(sd, LIST, "hat", settings=CALM, image=photo, inversion=start, engine=name, maps=True, **SIZE)
            for name in ("reference", "fast")
        )
        assert (one.latents - other.latents).abs().max() < 1e-3 < 0.02 < distance(one)


def test_passes(sd, photo):
    """Step 0 is before R, 1 and 2 are guided, 1 with an extra descent, 3 is not guided."""
    prompts = [encode(sd, LIST, "hat")]
    engine = Fast(sd)
    deque(engine.two_branches(prompts, from_noise(prompts, sd.noise([2], 64, 64)), CALM), maxlen=0)
    assert engine.gradient_passes == 3
    assert engine.passes == 2 + 3 * 4 + 2 + 3  # one branch, two branches, keys and values, descents
    engine = Fast(sd)
    start = suppress.invert(sd, photo, LIST, "direct", steps=4, **SIZE)
    deque(engine.two_branches(prompts, start, CALM), maxlen=0)
    assert engine.passes == 2 + 3 * 4 + 3 * 2 + 3  # and the original's own noise at each step


def test_the_presets():
    paper, blended = MagicRemover.paper(), suppress.methods.parse_method("magic-remover-blended")
    assert (paper.strength, paper.follow, paper.relax, paper.guidance) == (1, False, 0.8, 7.5)
    assert [list(s)[:: len(s) - 1] for s in (paper.guided, paper.with_extra)] == [[10, 44], [10, 24]]
    assert blended == MagicRemover.blended() and list(blended.guided)[::40] == [8, 48]
    assert MagicRemover.paper(steps=20).steps == 20


@pytest.mark.parametrize(
    "changes",
    [
        {"stop": 99},
        {"extra_stop": -1},
        {"extra": 0.5},
        {"strength": -1},
        {"relax": 2},
        {"energy": "l2"},
        {"weight": "all"},
        {"mask_form": "hard"},
        {"share": 1},
        {"blend": "yes"},
        {"follow": None},
    ],
)
def test_bad_settings_are_named(changes):
    [(name, value)] = changes.items()
    with pytest.raises(UserError, match=f"{name} = {value!r}; expected"):
        MagicRemover(**changes)


def test_half_precision_finds_the_same_direction(sd):
    """bfloat16 on the same latents gives nearly the same δ."""
    half = minisd.load("tiny", device="cpu", dtype=torch.bfloat16)
    found = []
    for model in (sd, half):
        run, edit = prepared(model, CALM)
        found.append(edit._descent(1, sd.noise([0, 1], 64, 64).to(run.ctx.dtype), None).float())
    assert torch.nn.functional.cosine_similarity(*(x.flatten() for x in found), dim=0) > 0.9

"""What a callback gets after each step, how it stops a drawing, and given noise in the place of a seed's."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from closeness import levels_apart

import minisd
from minisd import UserError, ddim
from minisd.watch.step import Viewer, wants_to_stop

MAN = "a man"
SMALL = {"height": 64, "width": 64, "steps": 3}


def draw(sd, callback=None, **more):
    return sd.generate(MAN, callback=callback, **(SMALL | more))


@pytest.fixture(scope="module")
def steps(small):
    """All steps of a drawing of two pictures."""
    found = []
    draw(small, found.append, seed=[3, 4])
    return found


# ---------------------------------------------------------------------- steps


def test_a_step_tells_where_the_drawing_is(small, steps):
    schedule = ddim.Schedule(3, small.config.schedule)
    assert all(type(step) is minisd.Step for step in steps)
    assert [(s.i, s.total, s.t, s.jobs) for s in steps] == [(i, 3, schedule.t[i], (0, 1)) for i in range(3)]
    assert torch.equal(steps[0].before, small.noise([3, 4], 64, 64))
    for one, after in pairwise(steps):
        assert torch.equal(one.latents, after.before)
    [_, picture] = draw(small, seed=[3, 4])
    assert levels_apart(steps[-1].pictures()[1], picture) == 0


def test_the_jobs_are_numbered_through_all_batches(small):
    found = []
    draw(small, found.append, seed=[0, 1, 2], steps=1, batch_size=2)
    assert [step.jobs for step in found] == [(0, 1), (2,)]


def test_the_expected_picture_is_that_of_the_ddim_equation(small, steps):
    """z_0 = (z_t - √(1-ᾱ_t) ε) / √ᾱ_t, with the noise ε of a pass of its own."""
    step = steps[1]
    ctx, uncond = small.encode_text([MAN, MAN]), small.encode_text("")
    with torch.no_grad():
        eps = small.predict(step.before, step.t, ctx, uncond, 7.5)
    a = step.alphas[0]
    want = (step.before - (1 - a) ** 0.5 * eps) / a**0.5
    torch.testing.assert_close(step.expected, want, rtol=0, atol=1e-4 * float(want.std()))


def test_a_callback_changes_no_picture(small):
    def spoil(step):
        step.latents.zero_(), step.before.zero_()
        torch.manual_seed(0)
        step.preview()

    assert levels_apart(draw(small, spoil)[0], draw(small)[0]) == 0


def test_a_preview_moves_no_random_numbers(small, steps):
    torch.manual_seed(5)
    want = torch.rand(1)
    torch.manual_seed(5)
    [one, two] = steps[0].preview()
    assert torch.equal(torch.rand(1), want)
    assert one.size == two.size == (64, 64) and levels_apart(one, two) > 0


def test_a_preview_has_the_colours_of_the_picture(sd):
    """Of even patches of latents, whose pictures are of one colour each."""
    viewer = Viewer(sd)
    z = torch.tensor([[1.0, -1, 0.5, 0], [-1, 0.5, 0, 1]])[:, :, None, None].expand(-1, -1, 4, 4)
    for preview, picture in zip(viewer.preview(z), viewer.pictures(z), strict=True):
        a, b = (np.asarray(p, float).mean(axis=(0, 1)) for p in (preview, picture))
        assert np.abs(a - b).max() < 50 and np.corrcoef(a, b)[0, 1] > 0.8


# ---------------------------------------------------------------------- stopping


@pytest.mark.parametrize(
    ("answer", "stops"), [(False, True), (np.False_, True), (None, False), (True, False), (0, False), ([], False)]
)
def test_false_stops_and_nothing_else(answer, stops):
    assert wants_to_stop(answer) is stops


def test_a_stop_keeps_what_is_drawn(small):
    """Two batches of two: stopped in the second one, after its first step."""
    seen = []

    def callback(step):
        seen.append(step)
        return not (step.jobs == (2, 3) and step.i == 0)

    pictures = draw(small, callback, seed=[0, 1, 2, 3, 4], batch_size=2)
    finished = draw(small, seed=[0, 1], batch_size=2)
    assert len(pictures) == 4 and len(seen) == 4
    assert all(levels_apart(a, b) == 0 for a, b in zip(pictures, finished, strict=False))
    assert levels_apart(pictures[2], seen[-1].pictures()[0]) == 0


def test_a_stop_after_the_last_step_gives_the_finished_picture(small):
    assert levels_apart(draw(small, lambda step: step.i < 2)[0], draw(small)[0]) == 0


def test_progress_sees_the_steps_of_a_stopped_drawing(small):
    seen = []

    def progress(steps, total):
        assert total == 3
        for item in steps:
            seen.append(item)
            yield item

    draw(small, lambda step: False, progress=progress)
    assert len(seen) == 1


# ---------------------------------------------------------------------- given noise


def test_latents_take_the_place_of_the_seeds_noise(small):
    noise = small.noise([5, 6], 64, 64)
    given = small.generate(MAN, steps=2, latents=noise)
    seeds = small.generate(MAN, [5, 6], steps=2, height=64, width=64)
    assert all(levels_apart(a, b) == 0 for a, b in zip(given, seeds, strict=True))
    [a, b] = small.generate([MAN, "a cat"], steps=2, latents=noise[:1].double())
    assert levels_apart(a, seeds[0]) <= 1 and levels_apart(a, b) > 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"latents": torch.zeros(4, 8, 8)}, r"latents of shape \(4, 8, 8\); expected a tensor \(B,4,height,width\)"),
        ({"latents": torch.zeros(1, 3, 8, 8)}, r"latents of shape \(1, 3, 8, 8\)"),
        ({"latents": torch.zeros(0, 4, 8, 8)}, "0 latents of torch.float32"),
        ({"latents": torch.zeros(1, 4, 8, 8, dtype=torch.int64)}, "1 latents of torch.int64; expected finite floating"),
        ({"latents": torch.full((1, 4, 8, 8), torch.nan)}, "expected finite floating-point numbers"),
        ({"latents": "noise"}, "latents given as str"),
        ({"latents": torch.zeros(1, 4, 8, 8), "seed": 3}, "latents with seed 3; .* leave the seed out"),
        ({"latents": torch.zeros(2, 4, 8, 8), "seed": [0, 1]}, r"latents with seed \[0, 1\]"),
        ({"latents": torch.zeros(1, 4, 8, 8), "height": 128}, r"height = 128 with latents for 64×64 pixels"),
        ({"latents": torch.zeros(2, 4, 8, 8), "prompt": ["a", "b", "c"]}, "3 prompts and 2 latents"),
        ({"callback": 3}, "callback = 3; expected a function of a step"),
    ],
)
def test_what_cannot_be_used_is_named(small, given, message):
    with pytest.raises(UserError, match=message):
        small.generate(**{"prompt": MAN} | given)

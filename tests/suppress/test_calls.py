"""What `run` and `run_batch` take besides a method: steps, guidance, negative prompt, latents, callback."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

import suppress
from minisd import UserError
from suppress import Job, Unread
from suppress.methods import parse_method
from suppress.prompt import encode
from suppress.start.noise import from_noise

PROMPT = "a man without glasses"
SHORT = Unread(steps=3, start=1)
SIZE = {"height": 64, "width": 64}


def draw(sd, settings=SHORT, **more):
    return suppress.run(sd, PROMPT, "glasses", settings=settings, **(SIZE | more))


def latents(result):
    return torch.cat([result.original_latents, result.latents])


# ---------------------------------------------------------------------- steps, guidance, negative prompt, latents


@pytest.mark.parametrize(
    "more",
    [
        {"method": "unread:start=1", "settings": None, "steps": 2, "guidance": 3},
        {"negative_prompt": "a red hat", "seed": [1, 2]},
        {"latents": 1},
    ],
    ids=["steps and guidance", "negative prompt", "latents"],
)
def test_both_engines_draw_the_same(small, more):
    if "latents" in more:
        more = {"latents": small.noise([7], 64, 64)}
    fast, plain = (latents(draw(small, **more, engine=engine)) for engine in ("fast", "reference"))
    assert (fast - plain).abs().max() < 1e-3 * plain.std()


def test_steps_and_guidance_are_those_of_the_settings(small):
    given = draw(small, None, method="unread:start=1", steps=2, guidance=3)
    want = draw(small, replace(SHORT, steps=2, guidance=3.0))
    assert given.settings.steps == 2 and given.settings.guidance == 3
    assert torch.equal(given.latents, want.latents)
    assert torch.equal(draw(small, steps=3, guidance=7.5).latents, draw(small).latents)  # the same value is allowed


def test_a_negative_prompt_is_what_generate_draws_with(small):
    result = draw(small, negative_prompt="a red hat")
    ctx, uncond = small.encode_text(PROMPT), small.encode_text("a red hat")
    *_, (_, _, z) = small.sample(ctx, uncond, small.noise([0], 64, 64), steps=3)
    assert (result.original_latents - z).abs().max() < 1e-4 * z.std()
    assert (result.latents - draw(small).latents).abs().max() > 1e-3 * z.std()
    assert result.negative_prompt == "a red hat"


@pytest.mark.parametrize("spec", ["negative-prompt", "safree:negative=true"])
def test_a_methods_own_negative_words_follow_the_users(small, spec):
    prompt = encode(small, PROMPT, "glasses", negative="a red hat")
    settings = parse_method(spec, steps=2, start=0)
    engine = suppress.engine.Reference(small)
    edit = engine.two_branches([prompt], from_noise([prompt], small.noise([0], 64, 64)), settings).edit
    assert torch.equal(edit.negative, small.encode_text("a red hat, glasses"))


@pytest.mark.parametrize("spec", ["semantic-surgery", "value-flip", "attentive-eraser"])
def test_what_a_method_takes_the_empty_prompt_for_stays(small, spec):
    """A negative prompt is for guidance alone: at guidance 1, where ε = ε_c, it changes nothing."""
    settings = parse_method(spec, steps=1, start=0, guidance=1)
    plain, with_negative = (draw(small, settings, negative_prompt=text) for text in ("", "a red hat"))
    torch.testing.assert_close(with_negative.latents, plain.latents, rtol=0, atol=1e-4)


def test_jobs_of_one_call_have_values_of_their_own(small):
    noise = small.noise([9], 64, 64)
    base = Job(PROMPT, "glasses", 3, 64, 64, steps=2)
    jobs = [base, replace(base, negative_prompt="a red hat"), replace(base, steps=1, guidance=2.0)]
    jobs += [replace(base, seed=0, height=None, width=None, latents=noise)]
    together = suppress.run_batch(small, jobs, "unread:start=1")
    assert [(r.settings.steps, r.settings.guidance) for r in together] == [(2, 7.5), (2, 7.5), (1, 2.0), (2, 7.5)]
    assert [(r.job, r.seeds, r.negative_prompt) for r in together] == [
        (0, (3,), ""),
        (1, (3,), "a red hat"),
        (2, (3,), ""),
        (3, (), ""),
    ]
    for job, result in zip(jobs, together, strict=True):
        [alone] = suppress.run_batch(small, [job], "unread:start=1")
        assert (result.latents - alone.latents).abs().max() < 1e-3 * alone.latents.std()


def test_given_latents_draw_what_the_seed_draws(small):
    noise = small.noise([7, 8], 64, 64)
    given, seeds = suppress.run(small, PROMPT, settings=SHORT, latents=noise), draw(small, seed=[7, 8])
    assert torch.equal(given.latents, seeds.latents) and len(given.image) == 2 and given.seeds == ()
    assert isinstance(suppress.run(small, PROMPT, settings=SHORT, latents=noise[:1]).image, Image.Image)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 2}, "steps = 2, but the settings have steps = 3; give one of them"),
        ({"guidance": 2}, "guidance = 2, but the settings have guidance = 7.5"),
        ({"settings": None, "method": "unread:steps=4", "steps": 2}, "steps = 2, but method 'unread:steps=4' has"),
        ({"steps": 0}, "steps = 0; expected a whole number, 1 or more"),
        ({"guidance": "x"}, "guidance = 'x'; expected a finite number"),
        ({"negative_prompt": ["a", "b"]}, r"the negative prompt is one string for all pictures, not \['a', 'b'\]"),
        ({"negative_prompt": None}, "the negative prompt is one string"),
        ({"latents": torch.zeros(1, 4, 8, 8), "seed": 2}, "latents with seed 2"),
        ({"latents": torch.zeros(1, 4, 16, 16)}, "height = 64 with latents for 128×128 pixels"),
        ({"latents": torch.zeros(1, 4, 8, 8), "image": Image.new("RGB", (64, 64))}, "latents with an image"),
        ({"callback": "x"}, "callback = 'x'"),
    ],
)
def test_what_contradicts_something_is_named(small, given, message):
    with pytest.raises(UserError, match=message):
        draw(small, **given)


def test_a_job_has_latents_of_one_picture(small):
    with pytest.raises(UserError, match=r"a job with 2 latents; expected \(1,4,h,w\)"):
        suppress.run_batch(small, [Job(PROMPT, latents=small.noise([1, 2], 64, 64))])


# ---------------------------------------------------------------------- pictures


def test_an_inverted_picture_keeps_its_negative_prompt(small):
    picture = Image.radial_gradient("L").convert("RGB").resize((64, 64))
    start = suppress.invert(small, picture, PROMPT, "ddim", 2, negative_prompt="a red hat", **SIZE)
    settings = Unread(steps=2, start=1)
    given = draw(small, settings, image=picture, inversion="ddim", negative_prompt="a red hat")
    for negative in ("", "a red hat"):
        again = draw(small, settings, image=picture, inversion=start, negative_prompt=negative)
        assert torch.equal(latents(again), latents(given)) and again.negative_prompt == "a red hat"
    plain = draw(small, settings, image=picture, inversion="ddim")
    assert (latents(plain) - latents(given)).abs().max() > 1e-3 * latents(plain).std()
    with pytest.raises(UserError, match="negative prompt 'rain', but this start was made for 'a red hat'"):
        draw(small, settings, image=picture, inversion=start, negative_prompt="rain")
    for how in ("negative-prompt", "proximal"):
        with pytest.raises(UserError, match="negative prompt 'rain': this inversion has the prompt itself"):
            draw(small, settings, image=picture, inversion=how, negative_prompt="rain")


# ---------------------------------------------------------------------- callbacks


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_a_callback_sees_both_branches_and_changes_nothing(small, engine):
    seen = []

    def spoil(step):
        seen.append((step.i, step.total, step.jobs, step.latents.clone(), step.original.latents.clone()))
        for one in (step, step.original):
            one.latents.zero_(), one.before.zero_()

    result, plain = draw(small, callback=spoil, engine=engine), draw(small, engine=engine)
    assert torch.equal(latents(result), latents(plain)) and result.stopped_at is None
    assert [step[:3] for step in seen] == [(i, 3, (0,)) for i in range(3)]
    assert torch.equal(seen[-1][3], result.latents) and torch.equal(seen[-1][4], result.original_latents)
    assert torch.equal(seen[0][3], seen[0][4]) and not torch.equal(seen[1][3], seen[1][4])  # the edit begins at step 1


def test_a_stop_keeps_the_pictures_drawn_so_far(small):
    seen = []

    def callback(step):
        seen.append(step)
        return not (step.jobs == (2, 3) and step.i == 1)

    result = draw(small, seed=[0, 1, 2, 3, 4], batch_size=2, callback=callback, maps=True)
    whole = draw(small, seed=[0, 1], batch_size=2)
    assert len(result.image) == len(result.original) == 4 and result.seeds == (0, 1, 2, 3)
    assert result.stopped_at == 1 and result.maps.shape == (4, 77, 8, 8)
    assert (result.latents[:2] - whole.latents).abs().max() < 1e-3 * whole.latents.std()
    assert torch.equal(result.latents[2:], seen[-1].expected)
    assert torch.equal(result.original_latents[2:], seen[-1].original.expected)


def test_jobs_that_had_not_begun_have_no_result(small):
    """The jobs of one size are drawn together, so the second job is the one that is missing."""
    jobs = [Job(PROMPT, seed=k, height=h, width=64) for k, h in enumerate((64, 72, 64))]
    results = suppress.run_batch(small, jobs, settings=SHORT, callback=lambda step: step.i < 2)
    assert [(r.job, r.seeds, r.stopped_at) for r in results] == [(0, (0,), None), (2, (2,), None)]

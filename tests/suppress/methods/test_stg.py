"""STG: its steps by hand with both judges, the threshold, what tells that a judge is not fair, engines, settings."""

from dataclasses import replace

import pytest
import torch

import suppress
from minisd import UserError, ddim
from suppress.edits.judges import clip_judge, detector_judge, with_targets
from suppress.engine import Fast
from suppress.evaluation.prompt_table import unfair
from suppress.loop import Run
from suppress.methods import STG, parse_method
from suppress.methods.negative_prompt import NegativePrompt
from suppress.metrics import ClipScore, Detector, Unavailable
from suppress.prompt import encode
from suppress.start.noise import from_noise

CROWN = "a cat with a crown on the beach"
ALWAYS = STG(steps=3, guidance=2, start=1, stop=3, threshold=-10)  # each guided step descends, in each sample
JOBS = [
    suppress.Job("a man without glasses", "glasses", 5, 64, 64),
    suppress.Job("a man with a beard wearing glasses and a hat", ("glasses", "a hat"), 2, 64, 64),
]


def clip_by_hand(sd):
    clip = ClipScore.of(sd)
    full, less = clip.text(CROWN)[0], clip.text("a cat with a on the beach")[0]

    def judge(x):
        large = torch.nn.functional.interpolate(x, (clip.clip.side,) * 2, mode="bicubic", antialias=True).clamp(-1, 1)
        picture = clip.clip.picture(((large + 1) / 2 - clip.mean) / clip.std)[0]
        return (picture @ full / full.norm() - picture @ less / less.norm()) / picture.norm()

    return judge


def detector_by_hand(sd):
    detector = Detector.of(sd)

    def judge(x):
        large = torch.nn.functional.interpolate(x, (128, 128), mode="bilinear", antialias=True)
        return torch.sigmoid(detector.network(large)[0, detector.names.index("hat")])

    return judge


@pytest.mark.parametrize(("judge", "by_hand"), [("clip", clip_by_hand), ("detector", detector_by_hand)])
def test_three_steps_by_hand(sd, judge, by_hand):
    """Steps 0 and 1 descend, and step 2 keeps the context that they found."""
    settings = STG(steps=3, guidance=2, start=0, stop=2, step_size=0.9, threshold=-10, judge=judge)
    ctx, empty, z = sd.encode_text(CROWN), sd.encode_text(""), sd.noise([3], 64, 64)
    schedule, g = ddim.Schedule(3, sd.config.schedule), by_hand(sd)
    for i, t in enumerate(schedule.t):
        a = schedule.alpha[i]
        if i < 2:
            leaf = ctx.clone().requires_grad_()
            eps = 2 * sd.unet(z, t, leaf) - sd.unet(z, t, empty)
            x = sd.vae.decode((z - (1 - a) ** 0.5 * eps) / a**0.5)
            (gradient,) = torch.autograd.grad(g(x), leaf)
            ctx = ctx - 0.9 * gradient / gradient.norm()
        with torch.no_grad():
            z = ddim.step(z, 2 * sd.unet(z, t, ctx) - sd.unet(z, t, empty), a, schedule.alpha[i + 1])
    got = suppress.run(sd, CROWN, "crown", settings=settings, seed=3, engine="reference", height=64, width=64)
    assert (got.latents - z).abs().max() < 1e-3 < 0.05 < (got.latents - got.original_latents).abs().max()


def test_it_descends_only_where_the_judge_sees_the_target(sd):
    prompts = [encode(sd, CROWN, "crown"), encode(sd, "a man with a beard", "beard")]
    run = Run(sd, prompts, from_noise(prompts, sd.noise([3, 1], 64, 64)), ALWAYS)
    edit = replace(ALWAYS, threshold=0.25).edit(run)
    edit.judge = lambda x: torch.stack([x[0].mean() * 0 + 0.2, x[1].mean()]) + torch.tensor([0.0, 10.0])
    before, uncond = edit.ctx, run.original(1, run.start.z).contexts[0]
    after = edit._descend(1, run.start.z, uncond)
    assert torch.equal(after[0], before[0])
    assert (after[1] - before[1]).norm() == pytest.approx(0.5, rel=1e-4)


def test_each_sample_has_its_own_targets(sd):
    prompts = [encode(sd, "a man with a hat and glasses", ["hat", "glasses"]), encode(sd, CROWN, "crown")]
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    p = torch.sigmoid(Detector.of(sd).logits(x)).double()
    names = Detector.of(sd).names
    want = torch.stack([p[0, names.index("hat")] + p[0, names.index("glasses")], p[1, names.index("hat")]])
    torch.testing.assert_close(detector_judge(sd, prompts)(x), want, rtol=1e-4, atol=1e-7)
    prompts += [encode(sd, "a snowman in a hat", ["hat", "scarf"], needs_words=False)]
    assert with_targets(prompts[1]) == CROWN and with_targets(prompts[2]) == "a snowman in a hat with scarf"
    x = torch.cat([x, x[:1]])
    clip = ClipScore.of(sd)
    texts = clip.text("a snowman in a hat with scarf"), clip.text("a snowman in a")
    cosines = [torch.nn.functional.cosine_similarity(clip.picture(x[2:]), text) for text in texts]
    torch.testing.assert_close(clip_judge(sd, prompts[2:])(x[2:]).float(), cosines[0] - cosines[1], rtol=0, atol=1e-5)
    alone = [clip_judge(sd, [prompt])(x[k : k + 1]) for k, prompt in enumerate(prompts)]
    torch.testing.assert_close(clip_judge(sd, prompts)(x), torch.cat(alone), rtol=0, atol=1e-5)


def test_the_detectors_gradient_does_not_vanish_where_it_is_sure(sd, monkeypatch):
    sure = torch.full((1, len(Detector.of(sd).names)), 25.0, requires_grad=True)
    monkeypatch.setattr(Detector, "logits", lambda self, x: sure)
    (gradient,) = torch.autograd.grad(detector_judge(sd, [encode(sd, CROWN, "crown")])(None).sum(), sure)
    assert gradient.count_nonzero() == 1


def test_any_batch_on_both_engines_is_each_job_alone(check_batch):
    # short descents: longer ones enlarge rounding errors, because the gradient is scaled to one length
    check_batch(JOBS, replace(ALWAYS, start=0, stop=2, step_size=0.2), least=0.02)


@pytest.mark.parametrize("changes", [{"step_size": 0}, {"threshold": 10}])
def test_without_a_step_it_is_the_original(sd, changes):
    result = suppress.run(sd, CROWN, "crown", settings=replace(ALWAYS, **changes), seed=3, height=64, width=64)
    assert (result.latents - result.original_latents).abs().max() < 1e-3


def test_passes(sd):
    """2 more in each of the 2 guided steps, one of them with a gradient."""
    engine = Fast(sd)
    suppress.run(sd, CROWN, "crown", settings=ALWAYS, engine=engine, height=64, width=64)
    assert (engine.passes, engine.gradient_passes) == (2 + 2 * 4 + 2 * 2, 2)


def test_a_judge_that_is_not_fair_is_named():
    assert (STG().descends_on, STG(judge="detector").descends_on) == ("CLIP score", "DetScore")
    assert STG().remark(None) == "it descends on the CLIP score, so judge it by the DetScore"
    assert "judge it by the CLIP score" in STG(judge="detector").remark(None)
    assert "changes nothing" in STG(start=0.9).remark(None)
    added = NegativePrompt(to=STG())
    assert added.descends_on == "CLIP score" and NegativePrompt().descends_on == suppress.Unread().descends_on == ""
    lines = unfair({"SWR": "suppress-eot", "deleted": "deleted", "by the detector": "stg:judge=detector"})
    assert lines == ["**by the detector** makes the DetScore small by itself: judge it by the other columns"]


def test_a_target_that_no_judge_knows(sd):
    with pytest.raises(Unavailable, match="no class for 'shirt'"):
        suppress.run(sd, "a man in a shirt", "shirt", settings=STG(steps=2, judge="detector"), height=64, width=64)


@pytest.mark.parametrize("changes", [{"stop": 99}, {"step_size": -1}, {"threshold": float("nan")}, {"judge": "both"}])
def test_bad_settings_are_named(changes):
    [(name, value)] = changes.items()
    with pytest.raises(UserError, match=f"{name} = {value!r}; expected"):
        STG(**changes)
    assert parse_method("stg:judge=detector").judge == "detector"

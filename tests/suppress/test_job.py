"""`suppress.run` and the method: the loop against one written differently, seeds, settings, bad input."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image

import minisd
import suppress
from suppress.methods import METHODS
from suppress.metrics import Detector

PROMPT = "a man without glasses"
SHORT = suppress.SuppressEOT(steps=5, start=2)


def official_order(sd, prompt, rows, seed, settings):
    """The same job as the official code orders it: two branches throughout, a pass for each half of the guidance,
    numpy's SVD, alphas from the definition."""
    c, u = sd.encode_text(prompt), sd.encode_text("")
    u_, s, vt = np.linalg.svd(c[0, rows].double().numpy().T, full_matrices=False)
    edited = c.clone()
    edited[0, rows] = torch.from_numpy((u_ * (s * np.exp(-settings.gamma * s))) @ vt).T.float()
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alphas = np.cumprod(1 - betas)
    stride = 1000 // settings.steps
    z = sd.noise([seed], 128, 128).expand(2, -1, -1, -1)
    with torch.no_grad():
        for i in range(settings.steps):
            t = (settings.steps - 1 - i) * stride + 1
            a, a_prev = alphas[t], alphas[max(t - stride, 0)]
            ctx = torch.cat([c, edited if i >= settings.start_step else c])
            eps_u = sd.unet(z, t, u.expand(2, -1, -1))
            eps = eps_u + settings.guidance * (sd.unet(z, t, ctx) - eps_u)
            z = a_prev**0.5 * (z - (1 - a) ** 0.5 * eps) / a**0.5 + (1 - a_prev) ** 0.5 * eps
            z = z.float()
    return z


@pytest.mark.parametrize("start", [0, 2, 5])
def test_equals_the_official_order(sd, start):
    settings = replace(SHORT, start=start)
    result = suppress.run(sd, PROMPT, "glasses", seed=3, settings=settings)
    want = official_order(sd, PROMPT, [4, *range(5, 77)], 3, settings)
    got = torch.cat([result.original_latents, result.latents])
    assert (got - want).abs().max() < 2e-3 * want.std()
    if start == 5:  # never edited
        assert torch.equal(result.latents, result.original_latents)


def test_the_original_is_what_generate_draws(sd):
    result = suppress.run(sd, PROMPT, "glasses", seed=1, settings=SHORT)
    [picture] = sd.generate(PROMPT, 1, steps=5)
    assert np.abs(np.asarray(picture, int) - np.asarray(result.original, int)).max() <= 1


def test_glasses_disappear(sd):
    result = suppress.run(sd, PROMPT, "glasses", seed=[0, 1], settings=suppress.SuppressEOT(steps=8, start=0))
    detector = Detector.of(sd)
    assert (detector.scores(result.original)["glasses"] > 0.9).all()
    assert (detector.scores(result.image)["glasses"] < 0.1).all()
    assert (detector.scores(result.image)["man"] > 0.9).all()  # and the man stays


def test_seeds_do_not_mix_and_batches_do_not_matter(sd):
    many = suppress.run(sd, PROMPT, "glasses", seed=[5, 6, 7], settings=SHORT, batch_size=2)
    assert isinstance(many.image, list) and len(many.image) == len(many.original) == 3
    for k, seed in enumerate([5, 6, 7]):
        one = suppress.run(sd, PROMPT, "glasses", seed=seed, settings=SHORT)
        assert (many.latents[k] - one.latents[0]).abs().max() < 1e-3
        assert (many.original_latents[k] - one.original_latents[0]).abs().max() < 1e-3
        assert np.abs(np.asarray(many.image[k], int) - np.asarray(one.image, int)).max() <= 1


def test_several_targets_make_one_picture(sd):
    prompt = "a man without glasses or a hat"
    both = suppress.run(sd, prompt, ["glasses", "hat"], settings=SHORT)
    assert sd.tokens(prompt)[5:7] == ["o", "r"]  # a word the tiny vocabulary does not have
    assert both.rows == (4, 8) and both.targets == ("glasses", "hat")
    alone = suppress.run(sd, prompt, "glasses", settings=SHORT)
    assert not torch.allclose(both.latents, alone.latents)
    assert torch.equal(suppress.run(sd, prompt, None, settings=SHORT).latents, both.latents)


def test_maps_change_the_picture_by_rounding_only(sd):
    plain = suppress.run(sd, PROMPT, "glasses", settings=SHORT)
    mapped = suppress.run(sd, PROMPT, "glasses", settings=SHORT, maps=True)
    assert (plain.latents - mapped.latents).abs().max() < 1e-3
    assert plain.maps is None
    for maps in (mapped.maps, mapped.original_maps):
        assert maps.shape == (1, 77, 16, 16)
        assert torch.allclose(maps.sum(dim=1), torch.ones(1, 16, 16), atol=1e-3)  # a mean of softmaxes
    # from R on the target's row is next to zero, so it draws less attention
    assert mapped.maps[0, 4].mean() < mapped.original_maps[0, 4].mean()


def test_progress_and_timings(sd):
    seen = {}

    def progress(steps, total):
        seen["total"] = total
        for n, item in enumerate(steps, 1):
            seen["n"] = n
            yield item

    result = suppress.run(sd, PROMPT, "glasses", settings=SHORT, progress=progress)
    assert seen == {"total": 5, "n": 5}
    assert set(result.timings) == {"encode", "sample", "decode", "total"}
    assert result.timings["total"] == pytest.approx(sum(v for k, v in result.timings.items() if k != "total"))


def test_defaults_belong_to_the_checkpoint(sd):
    for method in (None, "suppress-eot", "zero"):
        settings, origin = suppress.default_settings(sd, method)
        assert settings.start < 0.2 and origin == "measured on tiny"
    for preset in ("official", "paper"):  # published as a whole
        assert suppress.default_settings(sd, preset)[1] == "published"
    assert suppress.default_settings(sd, "official")[0] == suppress.SuppressEOT.official()
    elsewhere = replace(sd, folder=None)
    assert suppress.default_settings(elsewhere) == (suppress.Unread(), "chosen by this project")
    assert suppress.Unread().start == 0.2


@pytest.mark.parametrize(
    "content",
    [
        "{broken",
        "[]",
        pytest.param("[" * 100_000, id="deep"),
        pytest.param(b"\xff", id="no UTF-8"),
        '{"all": {"start": "x"}}',
        '{"all": {"colour": 1}}',
    ],
)
def test_damaged_defaults_are_an_error(sd, tmp_path, content):
    (tmp_path / "defaults.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(minisd.UserError):
        suppress.default_settings(replace(sd, folder=tmp_path))


@pytest.mark.parametrize(
    ("start", "steps", "first"),
    [(0.2, 50, 10), (0.1, 25, 2), (0.3, 25, 7), (0.29, 100, 29), (0, 50, 0), (0.0, 50, 0), (7, 50, 7), (50, 50, 50)],
)
def test_start_is_a_step_or_a_share(start, steps, first):
    assert suppress.SuppressEOT(steps=steps, start=start).start_step == first


@pytest.mark.parametrize(
    "bad",
    [
        {"steps": 0},
        {"steps": 2.5},
        {"guidance": float("inf")},
        {"gamma": -1},
        {"start": -1},
        {"start": 51},
        {"start": 1.5},
        {"start": float("nan")},
        {"start": "x"},
        {"guidance": "x"},
        {"gamma": "x"},
        {"gamma": float("inf")},
    ],
)
def test_unusable_settings_are_named(bad):
    with pytest.raises(minisd.UserError, match=next(iter(bad))):
        suppress.SuppressEOT(**bad)


def test_unknown_method(sd):
    with pytest.raises(minisd.UserError, match="expected one of suppress-eot"):
        suppress.run(sd, PROMPT, "glasses", method="magic")
    with pytest.raises(minisd.UserError, match="give one of them"):
        suppress.run(sd, PROMPT, "glasses", method="unread", settings=SHORT)


def test_settings_that_were_published_for_pictures(sd, tmp_path):
    def step_size(method, model=sd, picture=True, **given):
        return suppress.default_settings(model, method, picture, **given)[0].step_size

    assert step_size("suppress-eot") == step_size("official") == 5
    assert step_size("suppress-eot", picture=False) == step_size("official", picture=False) == 20
    assert step_size("official:step_size=7") == step_size("official", step_size=7) == 7
    (tmp_path / "defaults.json").write_text(json.dumps({"official": {"step_size": 3}, "all": {"start": 0.5}}))
    assert step_size("official", replace(sd, folder=tmp_path)) == 3
    assert suppress.default_settings(replace(sd, folder=tmp_path), "suppress-eot", True)[0].start == 0.5


def test_a_name_stands_for_its_settings_for_pictures(sd):
    picture = Image.new("RGB", (64, 64), "red")
    jobs = [suppress.Job(PROMPT, "glasses", image=image) for image in (picture, None)]
    for given in (jobs[:1], jobs):
        assert suppress.run_batch(sd, given, "unread:steps=1")[0].settings.keep == 1
    assert suppress.run_batch(sd, jobs[1:], "unread:steps=1")[0].settings.keep == 0


def test_an_edit_of_a_picture_keeps_what_it_does_not_concern(sd, tmp_path):
    """Unless it is a preset, or `keep` is given, measured, or the method's own."""

    def keep(method, model=sd, **given):
        return suppress.default_settings(model, method, picture=True, **given)[0].keep

    assert keep(None) == keep("zero") == keep("suppress-eot:gamma=2") == 1
    assert keep("official") == keep("paper") == keep("sld") == 0
    assert keep("unread", keep=0.5) == keep("unread:keep=0.5") == keep("official", keep=0.5) == 0.5
    assert keep("unread", keep=0) == 0
    assert suppress.default_settings(sd, "unread")[0].keep == 0
    assert suppress.default_settings(sd, "unread", picture=True)[1] == "measured on tiny"
    for measured in ({"all": {"keep": 0.25}}, {"unread": {"keep": 0.25}}):
        (tmp_path / "defaults.json").write_text(json.dumps(measured))
        assert keep("unread", replace(sd, folder=tmp_path)) == 0.25

    @dataclass(frozen=True)
    class Own(suppress.Method):
        keep: float = 0.75

    suppress.register("own-keep", Own)
    try:
        assert keep("own-keep") == 0.75
    finally:
        del METHODS["own-keep"]

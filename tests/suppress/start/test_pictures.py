"""`suppress.run` on a picture: every engine and method from every start, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import minisd
import suppress
from minisd.picture import from_pil
from suppress.engine import Fast, Plan, Reference
from suppress.prompt import encode
from suppress.protocol import Start

PROMPT = "a man with a beard wearing glasses and a hat"
SIZE = {"height": 64, "width": 64}
SWR = suppress.SuppressEOT(steps=5, guidance=2.5, start=2)
STARTS = "direct", "proximal", "noised", "null-text:iterations=2"


@pytest.fixture(scope="module")
def starts(sd, photos):
    return {name: suppress.invert(sd, photos[0], PROMPT, name, 5, guidance=2.5, **SIZE) for name in STARTS}


@pytest.mark.parametrize(
    "settings",
    [SWR, replace(SWR, start=0), suppress.Unread(steps=5, guidance=2.5, start=1), replace(SWR, iterations=1, stop=4)],
    ids=["swr", "swr from the first step", "unread", "ito"],
)
@pytest.mark.parametrize(
    ("inversion", "maps"),
    [*[(name, False) for name in STARTS], ("direct", True)],  # watching changes the passes of a pinned original alone
)
def test_both_engines_draw_the_same(sd, photos, starts, settings, inversion, maps):
    want, got = (
        suppress.run(
            sd, PROMPT, "glasses", settings=settings, engine=engine, image=photos[0], inversion=starts[inversion],
            maps=maps, **SIZE,
        )
        for engine in ("reference", "fast")
    )  # fmt: skip
    assert (got.latents - want.latents).abs().max() < 1e-3
    assert (got.original_latents - want.original_latents).abs().max() < 1e-3
    assert (got.latents - got.original_latents).abs().max() > 0.05
    if maps:
        assert torch.allclose(got.original_maps, want.original_maps, atol=1e-4)
        assert torch.allclose(got.maps, want.maps, atol=1e-4)


@pytest.mark.parametrize(
    "plan", [Plan(ahead=False), Plan(one_batch=False), Plan(shared_maps=False), Plan(one_branch=False)]
)
def test_every_plan_follows_the_pivots(sd, starts, plan):
    settings = replace(SWR, iterations=1, stop=4)
    prompts, found = [encode(sd, PROMPT, ["glasses"])], []
    for engine in (Reference(sd), Fast(sd, plan)):
        steps = [torch.cat(z) for z in engine.two_branches(prompts, starts["direct"], settings)]
        found.append(torch.stack(steps))
    assert (found[0] - found[1]).abs().max() < 1e-3
    pivots = torch.cat(list(starts["direct"].pivots[1:]))
    assert torch.equal(found[0][:, 0], pivots) and torch.equal(found[1][:, 0], pivots)


def test_a_pinned_original_needs_no_passes_of_its_own(sd, photos, starts):
    counts = []
    for inversion in ("direct", "null-text:iterations=2"):
        engine = Fast(sd)
        suppress.run(
            sd, PROMPT, "hat", settings=SWR, engine=engine, image=photos[0], inversion=starts[inversion], **SIZE
        )
        counts.append(engine.passes)
    assert counts == [2 * 5, 2 * 2 + 4 * 3]


def test_a_result_has_the_picture_its_reconstruction_and_the_edit(sd, photos):
    large = photos[0].resize((100, 80))
    result = suppress.run(sd, PROMPT, "hat", settings=replace(SWR, steps=2, start=0), image=large, **SIZE)
    assert [p.size for p in (result.original, result.reconstruction, result.image)] == [(64, 64)] * 3
    assert (from_pil(result.original) - from_pil(large, 64, 64)).abs().max() < 1e-6
    assert np.abs(np.asarray(result.original, int) - np.asarray(result.image, int)).max() > 10
    assert list(result.timings) == ["encode", "invert", "sample", "decode", "total"]
    assert suppress.run(sd, PROMPT, "hat", settings=replace(SWR, steps=1, start=0)).reconstruction is None


def test_a_picture_has_the_models_size_by_default(sd, photos):
    result = suppress.run(sd, PROMPT, "hat", settings=replace(SWR, steps=1, start=0), image=photos[0])
    assert result.original.size == result.image.size == (128, 128)


def test_pictures_and_noise_in_one_batch(sd, photos):
    """Each job is what it is alone."""
    jobs = [
        suppress.Job(PROMPT, "hat", 1, **SIZE),
        suppress.Job(PROMPT, "hat", image=photos[0], **SIZE),
        suppress.Job(PROMPT, "hat", 2, **SIZE),
        suppress.Job("a man with glasses", "glasses", image=photos[1], inversion="negative-prompt", **SIZE),
    ]
    settings = replace(SWR, steps=3, start=1)
    together = suppress.run_batch(sd, jobs, settings=settings)
    for job, got in zip(jobs, together, strict=True):
        [alone] = suppress.run_batch(sd, [job], settings=settings)
        assert (got.latents - alone.latents).abs().max() < 1e-3
        assert (got.reconstruction is None) == (job.image is None)


def test_progress_is_told_of_the_inversion(sd, photos):
    totals = []

    def progress(iterator, total):
        totals.append(total)
        return iterator

    settings = replace(SWR, steps=2, start=0)
    suppress.run(
        sd, PROMPT, "hat", settings=settings, image=photos[0], inversion="null-text", progress=progress, **SIZE
    )
    assert totals == [2, 2, 2]  # DDIM inversion, null-text, the two branches


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image": "photo.png"}, r"image = 'photo\.png'; expected a PIL picture"),
        (
            {"inversion": "null"},
            "inversion = 'null'; expected one of ddim, renoise, null-text, negative-prompt, proximal, direct",
        ),
        ({"inversion": 3}, "inversion = 3; expected one of ddim"),
        ({"inversion": ["ddim"]}, r"inversion = \['ddim'\]; expected one of ddim"),
        ({"inversion": "ddim:rate=1"}, "'rate=1' in 'ddim:rate=1'; expected field=value with a field of ddim: repeats"),
        ({"inversion": "null-text:rate=-1"}, "rate = -1"),
        ({"inversion": "renoise:repeats=x"}, "repeats = 'x'; expected a whole number"),
        ({"image": None, "inversion": "ddim"}, "inversion = 'ddim' without an image"),
        ({"seed": [0, 1]}, r"an image with seeds \[0, 1\]"),
        ({"seed": 3}, "an image with seed 3"),
        ({"height": 65}, "must be multiples of 8"),
        ({"image": Image.new("RGB", (0, 0))}, "the picture has 0×0 pixels"),
    ],
)
def test_what_run_cannot_use(sd, photos, given, message):
    arguments = {"image": photos[0], "settings": replace(SWR, steps=1, start=0)} | SIZE | given
    with pytest.raises(minisd.UserError, match=message):
        suppress.run(sd, PROMPT, "hat", **arguments)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image": None}, "image = None; expected a PIL picture"),
        ({"how": "nothing"}, "inversion = 'nothing'; expected one of ddim"),
        ({"how": None, "prompt": 3}, "a prompt is a string, not 3"),
        ({"steps": 0}, "steps = 0"),
        ({"guidance": "x"}, "guidance = 'x'"),
        ({"progress": 1}, "progress = 1"),
        ({"sd": "tiny"}, "sd = 'tiny'; expected a model"),
    ],
)
def test_what_invert_cannot_use(sd, photos, given, message):
    with pytest.raises(minisd.UserError, match=message):
        suppress.invert(**{"sd": sd, "image": photos[0], "prompt": PROMPT, "steps": 2} | given)


@pytest.mark.slow
def test_half_precision(photos):
    half = minisd.load("tiny", device="cpu", dtype=torch.bfloat16)
    settings = replace(SWR, steps=2, start=0)
    for name in suppress.INVERSIONS:
        found = [
            suppress.run(half, PROMPT, "hat", settings=settings, image=photos[0], inversion=name, engine=engine, **SIZE)
            for engine in ("reference", "fast")
        ]
        assert found[0].latents.dtype == torch.float32
        assert (found[0].original_latents - found[1].original_latents).abs().mean() < 0.1


def test_a_start_fits_its_steps_and_its_size(sd, photos, starts):
    with pytest.raises(minisd.UserError, match="a start of 5 steps for a method of 4; give both the same number"):
        suppress.run(
            sd, PROMPT, "hat", settings=replace(SWR, steps=4), image=photos[0], inversion=starts["direct"], **SIZE
        )
    with pytest.raises(minisd.UserError, match=r"a start of shape \(1, 4, 8, 8\) for latents of \(1, 4, 16, 16\)"):
        suppress.run(sd, PROMPT, "hat", settings=SWR, image=photos[0], inversion=starts["direct"])
    z = starts["direct"].z
    with pytest.raises(minisd.UserError, match="pinned=True needs the pivots"):
        Start(z, lambda i: z, pinned=True)

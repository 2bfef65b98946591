"""The fast loop draws the same as the reference loop, for every preset, method, technique and batch."""

from collections import deque
from dataclasses import replace

import pytest
import torch

import minisd
import suppress
from bench.ladder import ladder
from suppress.engine import Fast, Plan, Reference, find_engine
from suppress.prompt import encode
from suppress.start.noise import from_noise

PROMPT, LIST = "a man without glasses", "a man with a beard wearing glasses and a hat"
OFFICIAL = suppress.SuppressEOT.official(steps=5, start=1, stop=3, iterations=2)
PAPER = suppress.SuppressEOT.paper(steps=4, stop=2, iterations=2)
METHODS = {
    "swr": suppress.SuppressEOT(steps=4, start=2),
    "official": OFFICIAL,
    "paper": PAPER,
    "paper, SWR after stop": replace(PAPER, after="swr"),
    "official on edited maps": replace(OFFICIAL, maps_of="edited"),
    "ITO to the last step": replace(OFFICIAL, steps=3, stop=3),
    "one step of ITO": replace(OFFICIAL, steps=3, stop=2),
    "value loss": suppress.SuppressEOT.official(steps=4, start=1, stop=3, iterations=2, loss="value"),
    "unread": suppress.Unread(steps=4, start=1),
    "attn2zero": suppress.methods.AttentionToZero(steps=4, start=2),
    "sld": suppress.methods.SLD(steps=4, warm_up=1),
    "gie": suppress.methods.GIE(steps=4),
    "value-flip": suppress.methods.ValueFlip(steps=4),
    "value-flip in place": suppress.methods.ValueFlip(steps=4, form="in-place"),
    "value-flip, continuous": suppress.methods.ValueFlip(steps=4, form="continuous", start=1),
    "vsf": suppress.methods.ValueFlip.vsf(steps=4),
    "never": suppress.SuppressEOT(steps=3, start=3),
}
# All seeds in this file are calm: if the noise changes by a millionth, the reference's latents change by at most 1e-4
SEED, LIST_SEED = (5,), (8,)


def draw(engine, prompts, z, settings):
    """(original, edited): the latents that an engine draws."""
    [latents] = deque(engine.two_branches(prompts, from_noise(prompts, z), settings), maxlen=1)
    return latents


@pytest.mark.parametrize("name", METHODS)
def test_equals_the_reference(sd, reference, name):
    prompt, seed = (LIST, LIST_SEED) if name in ("unread", "attn2zero") else (PROMPT, SEED)
    want = reference(prompt, "glasses", seed, METHODS[name])
    got = suppress.run(sd, prompt, "glasses", seed=seed, settings=METHODS[name], maps=True)
    assert want.distance(got.original_latents, got.latents) < want.bound
    for maps, theirs in ((got.maps, want.maps), (got.original_maps, want.original_maps)):
        assert torch.allclose(maps, theirs, atol=0.1 * want.bound)
    changed = float((want.edited - want.original).abs().max())
    assert (changed == 0) if name == "never" else (changed > 0.1)
    plain = draw(Fast(sd), [encode(sd, prompt, ["glasses"])], sd.noise(seed, 128, 128), METHODS[name])
    assert want.distance(*plain) < want.bound  # and watching changes nothing


@pytest.mark.parametrize(
    "rung", [r for r in ladder("cpu", torch.float32, compiler=False) if r.plan], ids=lambda r: r.name
)
def test_every_rung_of_the_ladder(sd, reference, rung):
    want = reference(PROMPT, "glasses", SEED, OFFICIAL)
    got = draw(Fast(sd, rung.plan), [encode(sd, PROMPT, ["glasses"])], sd.noise(SEED, 128, 128), OFFICIAL)
    assert want.distance(*got) < want.bound


@pytest.mark.parametrize("plan", [Plan(graph=True), Plan(graph=True, ito_samples=1), Plan(one_batch=False)])
def test_buffers_and_smaller_batches(sd, reference, plan):
    """On the CPU, the buffers of the CUDA graphs are used without the graphs."""
    engine, settings = Fast(sd, plan), replace(OFFICIAL, steps=4)
    for seeds in ((2, 5), (6, 3)):  # the second run uses the buffers of the first
        want = reference(PROMPT, "glasses", seeds, settings)
        prompts = [encode(sd, PROMPT, ["glasses"])] * len(seeds)
        assert want.distance(*draw(engine, prompts, sd.noise(seeds, 128, 128), settings)) < want.bound


JOBS = [
    suppress.Job(PROMPT, "glasses", 5),
    suppress.Job(LIST, ("glasses", "a hat"), 1),
    suppress.Job(LIST, ("glasses", "a hat"), 3),
    suppress.Job("a cat with a crown", "crown", 3),
]


@pytest.mark.parametrize(
    ("engine", "name"), [("fast", "official"), ("fast", "unread"), ("fast", "value loss"), ("reference", "unread")]
)
def test_prompts_of_one_batch_do_not_mix(sd, reference, name, engine):
    """With other targets and numbers of tokens in the batch, each picture is still that of the job alone."""
    settings = METHODS[name]
    results = suppress.run_batch(sd, JOBS, settings=settings, engine=engine, batch_size=3)
    for job, result in zip(JOBS, results, strict=True):
        alone = reference(job.prompt, job.remove, (job.seed,), settings)
        assert result.prompt == job.prompt and result.rows == suppress.find_rows(sd, job.prompt, job.remove)
        assert alone.distance(result.original_latents, result.latents) < alone.bound


def test_half_precision_costs_about_what_it_costs_the_reference(sd):
    """Rounding errors of bfloat16 are large and depend on the kernel: both loops are about as far from float32, and ITO
    works.

    The latents have a quarter of the usual pixels and are not decoded, because a processor without bfloat16 needs
    minutes for a picture. The guidance is 2, because a large one enlarges the rounding errors too much.
    """
    half = minisd.load("tiny", device="cpu", dtype=torch.bfloat16)
    settings = suppress.SuppressEOT.official(steps=3, start=1, stop=2, iterations=2, resolution=4, guidance=2.0)
    z = sd.noise([2, 5], 64, 64)

    def latents(sd, engine, settings=settings):
        prompt = encode(sd, PROMPT, ["glasses"])
        return draw(find_engine(sd, engine), [prompt] * len(z), z, settings)[1]

    exact, fast = latents(sd, "fast"), latents(half, "fast")
    errors = [(fast - exact).norm(), (latents(half, "reference") - exact).norm()]
    assert errors[0] < 2.5 * errors[1] and errors[1] < 0.4 * exact.norm()
    assert (fast - latents(half, "fast", replace(settings, iterations=0))).norm() > 0.1


def test_unknown_engines_and_engines_of_another_model(sd):
    with pytest.raises(minisd.UserError, match="'warp'; expected one of reference, fast, compiled"):
        suppress.run(sd, PROMPT, "glasses", engine="warp")
    with pytest.raises(minisd.UserError, match="another model"):
        suppress.run(sd, PROMPT, "glasses", engine=Fast(replace(sd)))
    with pytest.raises(minisd.UserError, match="ito_samples = 0"):
        Plan(ito_samples=0)
    assert isinstance(find_engine(sd, "reference"), Reference) and find_engine(sd, None).plan.compile is None


@pytest.mark.parametrize("batch_size", [0, -1, 1.5])
def test_unusable_batch_size(sd, batch_size):
    with pytest.raises(minisd.UserError, match="batch_size"):
        suppress.run(sd, PROMPT, "glasses", batch_size=batch_size)


@pytest.mark.parametrize("bad", [{"heads": 9}, {"resolution": 5}])
def test_maps_that_the_unet_does_not_have(sd, bad):
    for engine in ("fast", "reference"):
        with pytest.raises(minisd.UserError, match=next(iter(bad))):
            suppress.run(sd, PROMPT, "glasses", settings=replace(OFFICIAL, **bad), engine=engine)

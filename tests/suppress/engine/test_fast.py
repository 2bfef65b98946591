"""The fast loop draws what the reference loop draws: every preset, every method, every technique, every batch."""

from dataclasses import replace

import pytest
import torch

import minisd
import suppress
from bench.ladder import ladder
from suppress.engine import Fast, Plan, find_engine

PROMPT, LIST = "a man without glasses", "a man with a beard wearing glasses and a hat"
OFFICIAL = suppress.SuppressEOT.official(steps=8, start=2, stop=5, iterations=2)
PAPER = suppress.SuppressEOT.paper(steps=6, stop=3, iterations=2)
METHODS = {
    "swr": suppress.SuppressEOT(steps=5, start=2),
    "official": OFFICIAL,
    "paper": PAPER,
    "paper, SWR after stop": replace(PAPER, after="swr"),
    "official on edited maps": replace(OFFICIAL, reference="edited"),
    "ITO to the last step": replace(OFFICIAL, steps=5, stop=5),
    "one step of ITO": replace(OFFICIAL, steps=5, stop=3),
    "value loss": suppress.SuppressEOT.official(steps=5, start=2, stop=4, iterations=2, loss="value"),
    "unread": suppress.Unread(steps=5, start=2),
    "attn2zero": suppress.methods.AttentionToZero(steps=5, start=2),
    "never": suppress.SuppressEOT(steps=4, start=4),
}


def distance(a: suppress.Result, b: suppress.Result) -> float:
    pairs = (a.latents, b.latents), (a.original_latents, b.original_latents)
    return max(float((x - y).abs().max()) for x, y in pairs)


@pytest.mark.parametrize("name", METHODS)
def test_equals_the_reference(sd, name):
    job = {"prompt": LIST if name in ("unread", "attn2zero") else PROMPT, "remove": "glasses", "seed": [3, 4]}
    runs = [suppress.run(sd, **job, settings=METHODS[name], engine=e, maps=True) for e in ("reference", "fast")]
    assert distance(*runs) < 1e-3
    for kind in ("maps", "original_maps"):
        assert torch.allclose(getattr(runs[0], kind), getattr(runs[1], kind), atol=1e-4)
    changed = float((runs[0].latents - runs[0].original_latents).abs().max())
    assert (changed == 0) if name == "never" else (changed > 0.1)
    plain = suppress.run(sd, **job, settings=METHODS[name])
    assert distance(plain, runs[0]) < 1e-3  # and watching changes nothing


@pytest.fixture(scope="module")
def reference(sd):
    return suppress.run(sd, PROMPT, "glasses", settings=OFFICIAL, engine="reference")


@pytest.mark.parametrize(
    "rung", [r for r in ladder("cpu", torch.float32, compiler=False) if r.plan], ids=lambda r: r.name
)
def test_every_rung_of_the_ladder(reference, rung):
    own = minisd.load("tiny", device="cpu")  # `channels_last` is for good
    result = suppress.run(own, PROMPT, "glasses", settings=OFFICIAL, engine=Fast(own, rung.plan))
    assert distance(result, reference) < 1e-3


@pytest.mark.parametrize("plan", [Plan(graph=True), Plan(graph=True, micro=1), Plan(one_batch=False)])
def test_buffers_and_micro_batches(sd, plan):
    """On the CPU the buffers of the CUDA graphs are used without the graphs."""
    engine = Fast(sd, plan)
    for seeds in ([0, 1, 2], [5, 6, 7]):  # the second run finds the first one's buffers
        want = suppress.run(sd, PROMPT, "glasses", seed=seeds, settings=OFFICIAL, engine="reference")
        assert distance(suppress.run(sd, PROMPT, "glasses", seed=seeds, settings=OFFICIAL, engine=engine), want) < 1e-3


JOBS = [
    suppress.Job(PROMPT, "glasses", 0),
    suppress.Job(LIST, ["glasses", "a hat"], 1),
    suppress.Job(LIST, ["glasses", "a hat"], 2),
    suppress.Job("a cat with a crown", "crown", 3),
]


@pytest.mark.parametrize("name", ["official", "unread", "value loss"])
@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_prompts_of_one_batch_do_not_mix(sd, name, engine):
    """Different targets, different numbers of tokens: each picture is that of the job alone."""
    settings = METHODS[name]
    results = suppress.run_batch(sd, JOBS, settings=settings, engine=engine, batch_size=3)
    for job, result in zip(JOBS, results, strict=True):
        alone = suppress.run(sd, job.prompt, job.remove, seed=job.seed, settings=settings)
        assert result.prompt == job.prompt and result.rows == alone.rows
        assert distance(result, alone) < 1e-3


def test_half_precision_costs_about_what_it_costs_the_reference(sd):
    """Rounding of bfloat16 is large and differs by kernel: both loops are about as far from float32, and ITO works."""
    half = minisd.load("tiny", device="cpu", dtype=torch.bfloat16)
    settings = replace(OFFICIAL, steps=5, stop=4)

    def latents(sd, **changes):
        engine = changes.pop("engine", "fast")
        settings_ = replace(settings, **changes)
        return suppress.run(sd, PROMPT, "glasses", seed=[0, 1, 2, 3], settings=settings_, engine=engine).latents

    exact = latents(sd)
    errors = [(latents(half, engine=engine) - exact).norm() for engine in ("fast", "reference")]
    assert errors[0] < 2.5 * errors[1] < 0.25 * exact.norm()
    assert (latents(half) - latents(half, iterations=0)).norm() > 0.1


def test_unknown_engines_and_foreign_ones(sd):
    with pytest.raises(minisd.UserError, match="'warp'; expected one of reference, fast, compiled"):
        suppress.run(sd, PROMPT, "glasses", engine="warp")
    with pytest.raises(minisd.UserError, match="another model"):
        suppress.run(sd, PROMPT, "glasses", engine=Fast(replace(sd)))
    with pytest.raises(minisd.UserError, match="micro = 0"):
        Plan(micro=0)
    assert find_engine(sd, "reference") is None and find_engine(sd, None).plan.compile is None


@pytest.mark.parametrize("batch_size", [0, -1, 1.5])
def test_unusable_batch_size(sd, batch_size):
    with pytest.raises(minisd.UserError, match="batch_size"):
        suppress.run(sd, PROMPT, "glasses", batch_size=batch_size)


@pytest.mark.parametrize("bad", [{"heads": 9}, {"resolution": 5}])
def test_maps_that_the_unet_does_not_have(sd, bad):
    for engine in ("fast", "reference"):
        with pytest.raises(minisd.UserError, match=next(iter(bad))):
            suppress.run(sd, PROMPT, "glasses", settings=replace(OFFICIAL, **bad), engine=engine)

"""Recorded functions: their buffers on every machine; on a GPU, their graphs, and that the loop never synchronises."""

import pytest
import torch

import minisd
import suppress
from suppress.engine import Fast, Plan
from suppress.engine.captured import Captured
from suppress.prompt import encode
from suppress.start.noise import from_noise

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
PROMPT = "a man without glasses"
SETTINGS = suppress.SuppressEOT.official(steps=10, start=2, stop=6, iterations=3)


def test_buffers_keep_their_addresses_and_take_new_contents():
    seen = []

    def f(a, b):
        seen.append((a.data_ptr(), b.data_ptr()))
        return a + b, a * b

    captured = Captured(f)
    for k in (1.0, 2.0):
        total, product = captured(torch.full((3,), k), torch.full((3,), 10.0))
        assert torch.equal(total, torch.full((3,), k + 10)) and torch.equal(product, torch.full((3,), 10 * k))
    assert seen[0] == seen[1]


@CUDA
@pytest.mark.gpu
def test_graphs_equal_the_reference():
    sd = minisd.load("tiny", device="cuda")
    want = suppress.run(sd, PROMPT, "glasses", settings=SETTINGS, engine="reference")
    engine = Fast(sd, Plan(graph=True))
    for _ in range(2):  # recorded, then replayed
        got = suppress.run(sd, PROMPT, "glasses", settings=SETTINGS, engine=engine)
        assert (got.latents - want.latents).abs().max() < 1e-3
    assert engine._graphs and all(g.graph is not None for g in engine._graphs.values())


@CUDA
@pytest.mark.gpu
@pytest.mark.parametrize("graph", [False, True])
def test_no_synchronisation_inside_the_loop(graph):
    """CUDA's debug mode makes every synchronising call an error. The first steps may synchronise: they allocate and
    record."""
    sd = minisd.load("tiny", device="cuda")
    engine = Fast(sd, Plan(graph=graph))
    prompts = [encode(sd, PROMPT, ["glasses"])]
    steps = engine.two_branches(prompts, from_noise(prompts, sd.noise([0], 128, 128)), SETTINGS)
    for _ in range(SETTINGS.start_step + 2):  # includes the first steps of ITO
        next(steps)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(SETTINGS.start_step + 2, SETTINGS.ito_end):
            next(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@CUDA
@pytest.mark.gpu
def test_one_seed_is_one_picture_on_both_devices():
    results = [
        suppress.run(minisd.load("tiny", device=device), PROMPT, "glasses", settings=SETTINGS)
        for device in ("cpu", "cuda")
    ]
    assert (results[0].latents - results[1].latents.cpu()).abs().max() < 1e-2

"""torch.compile compiles the passes without a graph break, and only rounding changes."""

import shutil
from functools import partial

import pytest
import torch
import torch._dynamo

import suppress
from suppress.edits.ito import AttentionLoss, LossWeights
from suppress.edits.maps import Maps, MapSpec
from suppress.engine import Fast, Plan
from suppress.engine.ito import attention_loss, find_words, prepare_reference

PROMPT = "a man without glasses"


@pytest.mark.slow
def test_whole_graphs_of_every_pass(small):
    """fullgraph=True raises an error at a graph break. The backend "eager" runs the captured graph without changes."""
    torch._dynamo.reset()
    settings = suppress.SuppressEOT.official(steps=3, start=1, stop=3, iterations=2, resolution=4)
    want = suppress.run(small, PROMPT, "glasses", settings=settings, engine="reference")
    engine = Fast(small, Plan(compile="eager", graph=True))
    got = suppress.run(small, PROMPT, "glasses", settings=settings, engine=engine)
    assert (got.latents - want.latents).abs().max() < 1e-3 < (want.latents - want.original_latents).abs().max()
    compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    again = suppress.run(small, PROMPT, "glasses", seed=1, settings=settings, engine=engine)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiled > 3  # nothing is compiled twice
    assert (again.latents - got.latents).abs().max() > 0.1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler, which is not here")
@pytest.mark.parametrize("form", ["cosine", "l2"])
def test_the_fused_loss_and_its_gradient_by_inductor(form):
    generator = torch.Generator().manual_seed(0)
    maps = [torch.rand(2, 16, n, generator=generator) for n in (5, 16, 5, 16)]
    loss = AttentionLoss(MapSpec(4), ((1, 2), (1,)), ((3,), (2,)), LossWeights(1, 0.5, 1, 0.5), form)
    prepared = prepare_reference(find_words(loss, torch.device("cpu")), Maps(maps[0], maps[1], (4, 4)), form)
    compiled = torch.compile(partial(attention_loss, form=form), fullgraph=True, dynamic=False)
    both = []
    for f in (partial(attention_loss, form=form), compiled):
        leaves = [x.clone().requires_grad_() for x in maps[2:]]
        value = f(prepared, *leaves)
        both.append((value.detach(), *torch.autograd.grad(value.sum(), leaves)))
    for eager, fused in zip(*both, strict=True):
        assert torch.allclose(eager, fused, rtol=1e-6, atol=1e-8)

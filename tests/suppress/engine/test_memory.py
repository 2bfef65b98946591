"""How many samples ITO takes at once."""

import pytest
import torch
from torch import nn

import suppress
from suppress.engine import Fast, Plan, memory
from suppress.prompt import encode
from suppress.start.noise import from_noise

PROMPT = "a man without glasses"
SETTINGS = suppress.SuppressEOT.official(steps=3, start=1, stop=2, iterations=2)


def test_saved_bytes_are_those_of_the_activations():
    layer = nn.Linear(8, 16, bias=False).requires_grad_(False)
    x = torch.randn(4, 8, requires_grad=True)
    # x W^T keeps only W, which is not an activation; sin keeps its input, 4 × 16 floats; exp keeps its output, as many
    assert memory.saved_bytes(lambda: layer(x).sin().exp().sum(), layer.parameters()) == 2 * 4 * 16 * 4
    with torch.no_grad():  # as inside the loop
        assert memory.saved_bytes(lambda: x.sin(), []) == x.nbytes


@pytest.mark.parametrize(
    ("free", "each", "most", "want"),
    [(1000, 10, 100, 40), (1000, 10, 3, 3), (1000, 300, 8, 1), (0, 300, 8, 1), (1000, 100, 1, 1)],
)
def test_as_many_as_fit_and_at_least_one(monkeypatch, free, each, most, want):
    monkeypatch.setattr(memory, "free_bytes", lambda device: free)
    assert memory.samples_at_once(torch.device("cuda"), most, lambda: each) == want
    assert memory.samples_at_once(torch.device("cpu"), most, lambda: 1 / 0) == min(most, memory.CPU_SAMPLES)


def test_the_loop_takes_what_fits(sd, reference, monkeypatch):
    """The CPU stands for a GPU with memory for two samples: three pictures are optimised as two and one."""
    arguments = []

    def room_for_two(device, most, bytes_each):
        arguments.append((most, bytes_each()))
        return 2

    monkeypatch.setattr("suppress.engine.run.samples_at_once", room_for_two)
    engine, sizes = Fast(sd, Plan()), []
    call = engine.call

    def watched(name, f, *inputs):
        if name == "ito":
            sizes.append(len(inputs[0]))
        return call(name, f, *inputs)

    monkeypatch.setattr(engine, "call", watched)
    seeds = (2, 5, 6)  # calm ones, as in test_fast.py
    prompts = [encode(sd, PROMPT, ["glasses"])] * len(seeds)
    *_, latents = engine.two_branches(prompts, from_noise(prompts, sd.noise(seeds, 128, 128)), SETTINGS)
    assert sizes == [2, 1]
    [(most, bytes_each)] = arguments
    assert most == 3 and 1e6 < bytes_each < 1e8  # about 8 MB of the embedded model's activations
    want = reference(PROMPT, "glasses", seeds, SETTINGS)
    assert want.distance(*latents) < want.bound

"""The example method: its equation, and the same picture on both engines. Copy this file with the method."""

import pytest
import torch

import minisd
import suppress
from suppress.methods.example import Fade
from suppress.prompt import encode

PROMPT = "a man with a beard wearing glasses and a hat"


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_zero_changes_nothing(sd, engine):
    result = suppress.run(sd, PROMPT, "glasses", settings=Fade(steps=3, start=1, amount=0.0), engine=engine)
    assert (result.latents - result.original_latents).abs().max() < 1e-3


def test_both_engines_draw_the_same(sd):
    settings = Fade(steps=4, start=1)
    runs = [suppress.run(sd, PROMPT, "glasses", seed=2, settings=settings, engine=e) for e in ("reference", "fast")]
    assert (runs[0].latents - runs[1].latents).abs().max() < 1e-3
    assert (runs[0].latents - runs[0].original_latents).abs().max() > 0.1


def test_the_rows_are_those_of_the_empty_prompt(sd):
    """With amount 1, the picture is that of a context that the test makes by hand."""
    prompt = encode(sd, PROMPT, ["glasses"])
    ctx = prompt.ctx.clone()
    ctx[:, [*prompt.target, *prompt.eot]] = prompt.uncond[:, [*prompt.target, *prompt.eot]]
    *_, (_, _, want) = sd.sample(ctx, prompt.uncond, sd.noise([2], 128, 128), steps=3)
    got = suppress.run(sd, PROMPT, "glasses", seed=2, settings=Fade(steps=3, start=0)).latents
    assert torch.allclose(got, want, atol=1e-3)


def test_bad_amount():
    with pytest.raises(minisd.UserError, match="amount = -1"):
        Fade(amount=-1)

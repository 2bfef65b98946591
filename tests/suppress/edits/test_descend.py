"""Gradient steps on the context."""

import pytest
import torch

from suppress.edits.ito import descend, gradient_scale


def test_steps_are_those_of_plain_gradient_descent():
    start = torch.randn(2, 77, 4, generator=torch.Generator().manual_seed(0))
    got = descend(start, lambda c: c.square().sum() / 2, 3, 0.1)
    assert torch.allclose(got, start * 0.9**3) and not got.requires_grad
    assert torch.equal(descend(start, lambda c: c.sum(), 0, 0.1), start)


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_a_scaled_loss_makes_the_same_steps(scale):
    start = torch.randn(1, 77, 4, generator=torch.Generator().manual_seed(1))
    eta = torch.tensor(0.5)
    assert torch.equal(
        descend(start, lambda c: c.sin().sum(), 2, eta, scale), descend(start, lambda c: c.sin().sum(), 2, eta)
    )


def test_float16_keeps_gradients_that_would_underflow():
    """In the backward pass, a gradient of 1e-8 goes through a float16 tensor, whose smallest number is 6e-8."""
    start = torch.ones(1, 77, 4)

    def loss(ctx):
        return (ctx.half().float() * 1e-8).sum()

    assert torch.equal(descend(start, loss, 1, 1e7), start)
    kept = descend(start, loss, 1, 1e7, gradient_scale(torch.float16))
    assert torch.allclose(kept, torch.full_like(start, 0.9), atol=1e-3)
    assert gradient_scale(torch.bfloat16) == gradient_scale(torch.float32) == 1

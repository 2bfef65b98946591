"""Attention on a CPU: what is remembered, and what is computed in another form, equals the plain layer."""

import pytest
import torch
from torch import nn

import suppress
from minisd import Tap
from minisd.attention import Attention, Site
from suppress.engine import Fast, Plan
from suppress.engine.attention import WIDTH, FastAttention, Once, wide_attention
from suppress.prompt import encode
from suppress.start.noise import from_noise


class Counted(nn.Linear):
    """A linear layer that counts its calls."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


@pytest.fixture
def counted():
    torch.manual_seed(0)
    return Counted(6, 4, bias=False).requires_grad_(False)


def test_the_same_tensor_is_computed_once(counted):
    once, x = Once(counted), torch.randn(2, 5, 6)
    first = once(x)
    assert once(x) is first and counted.calls == 1
    assert once.weight is counted.weight
    other = once(x.clone())  # equal, but another tensor
    assert torch.equal(other, first) and counted.calls == 2
    third = once(x.clone())
    assert torch.equal(third, first) and counted.calls == 3
    assert once(x) is first and counted.calls == 3  # all three are remembered
    once(x.clone())
    assert torch.equal(once(x), first) and counted.calls == 5  # but not four


def test_what_was_changed_in_place_is_not_used_again(counted):
    once, x = Once(counted), torch.randn(2, 5, 6)
    y = once(x)
    want = y.clone()
    y.view(2, 5, 2, 2)[:, 0] = 0  # as a tap might do with its values
    assert torch.equal(once(x), want)
    x[0] = 0
    assert torch.equal(once(x), torch.nn.functional.linear(x, counted.weight))


def test_with_a_gradient_nothing_is_remembered(counted):
    once, x = Once(counted), torch.randn(2, 5, 6, requires_grad=True)
    for _ in range(2):
        (gradient,) = torch.autograd.grad(once(x).square().sum(), x)
        assert gradient.abs().sum() > 0
    with torch.no_grad():
        assert not once(x).requires_grad and once(x) is once(x)
    with torch.inference_mode():
        assert once(torch.ones(1, 6)).is_inference()


@pytest.mark.parametrize("d", [4, 8, WIDTH, 24])
def test_wide_heads_give_the_same_output_and_gradient(d):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, d, requires_grad=True) for n in (9, 7, 7))
    found = []
    for attend in (torch.nn.functional.scaled_dot_product_attention, wide_attention):
        out = attend(q, k, v)
        found.append((out, *torch.autograd.grad(out.sin().sum(), (q, k, v))))
    for want, got in zip(*found, strict=True):
        assert want.shape == got.shape and torch.allclose(want, got, atol=1e-6)


class Halved(Tap):
    """Halves the first maps that it sees."""

    def wants(self, site):
        return site.name == "seen"

    def probs(self, site, p):
        return p / 2


@pytest.mark.parametrize("kind", ["self", "cross"])
@pytest.mark.parametrize("name", ["seen", "unseen"])
def test_the_layer_equals_the_plain_one(kind, name):
    torch.manual_seed(0)
    layer = Attention(Site(name, kind, "down", 1, 2), 16, 16 if kind == "self" else 6).requires_grad_(False)
    x = torch.randn(2, 9, 16, requires_grad=True)
    ctx = x if kind == "self" else torch.randn(2, 7, 6, requires_grad=True)
    for tap in (None, Halved()):
        found = []
        for module in (layer, FastAttention(layer, one_product=True, wide_heads=True)):
            out = module(x, ctx, tap)
            found.append((out, *torch.autograd.grad(out.sin().sum(), (x, ctx))))
        for want, got in zip(*found, strict=True):
            assert torch.allclose(want, got, atol=1e-6)


def test_a_run_computes_the_keys_of_its_contexts_once(sd):
    """Before R one batch of contexts, after it another one, and each layer works twice; the pictures stay the same."""
    prompts = [encode(sd, "a man with glasses and a hat", ["glasses"])]
    start = from_noise(prompts, sd.noise([0], 64, 64))
    latents = []
    for once in (False, True):
        engine, calls = Fast(sd, Plan(packed=True, keys_once=once)), []
        layers = [m for m in engine.unet.modules() if isinstance(m, Attention) and m.site.kind == "cross"]
        inner = layers[3].to_v.layer if once else layers[3].to_v
        inner.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        *_, last = engine.two_branches(prompts, start, suppress.Unread(steps=5, start=2, shared_until=0))
        latents.append(last)
        assert len(calls) == (2 if once else 5)
    for want, got in zip(*latents, strict=True):
        assert torch.equal(want, got)

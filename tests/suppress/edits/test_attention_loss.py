"""The losses: the vectorised form against the loops, and what the terms mean."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from suppress.edits.attention_loss import (
    DROP_SHARE,
    Maps,
    Weights,
    attention_loss,
    distance,
    find_words,
    loss_reference,
    mask_reference,
    masks,
    set_target,
)

pytestmark = pytest.mark.quick

WORDS = 6


def random_maps(seed: int, samples: int = 2, side: int = 4) -> Maps:
    generator = torch.Generator().manual_seed(seed)
    n = side * side
    cross = torch.randn(samples, n, WORDS, generator=generator).softmax(dim=-1)
    return Maps(cross, torch.randn(samples, n, n, generator=generator).softmax(dim=-1), (side, side))


def fused(ref: Maps, new: Maps, keep, drop, weights: Weights, form: str) -> torch.Tensor:
    """`attention_loss` of all columns; keep, drop: the words of every sample, or a list for each."""
    if not keep or isinstance(keep[0], int):
        keep, drop = [keep] * len(ref.cross), [drop] * len(ref.cross)
    words = find_words(keep, drop, weights, torch.device("cpu"))
    at = words.columns[:, None].expand(-1, ref.cross.shape[1], -1)
    target = set_target(words, ref.cross.gather(2, at), ref.self_, ref.grid, form)
    return attention_loss(target, new.cross.gather(2, at), new.self_, form)


@pytest.mark.parametrize("form", ["cosine", "l2"])
@pytest.mark.parametrize("weights", [Weights(1, 0.5, 1, 0.5), Weights(1, 0.5, 0, 0), Weights(0.3, 0, 2, 1)])
@given(st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_vectorised_equals_the_loops(form, weights, seed):
    ref, new = random_maps(seed), random_maps(seed + 1)
    keep, drop = [1, 2, 4], [3]
    want = loss_reference(ref, new, keep, drop, weights, form)
    got = fused(ref, new, keep, drop, weights, form)
    assert got.dtype == torch.float64 and got.shape == (2,)
    assert got.sum().item() == pytest.approx(want.item(), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("form", ["cosine", "l2"])
def test_samples_with_words_of_their_own(form):
    """Different words, and different numbers of them, in one batch: each sample's loss is that of the sample alone."""
    ref, new, weights = random_maps(3, samples=3), random_maps(4, samples=3), Weights(1, 0.5, 1, 0.5)
    keep, drop = [[1, 2, 4], [5], []], [[3], [1, 2], [4]]
    got = fused(ref, new, keep, drop, weights, form)
    for k in range(3):
        one = [Maps(m.cross[k : k + 1], m.self_[k : k + 1], m.grid) for m in (ref, new)]
        want = loss_reference(*one, keep[k], drop[k], weights, form)
        assert got[k].item() == pytest.approx(want.item(), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("form", ["cosine", "l2"])
def test_gradients_are_equal_and_samples_do_not_mix(form):
    ref, new = random_maps(0), random_maps(1)
    weights = Weights(1, 0.5, 1, 0.5)
    gradients = []
    for loss in (
        lambda maps: loss_reference(ref, maps, [1, 2], [3], weights, form),
        lambda maps: fused(ref, maps, [1, 2], [3], weights, form).sum(),
    ):
        leaf = new.cross.clone().requires_grad_()
        gradients.append(torch.autograd.grad(loss(Maps(leaf, new.self_, new.grid)), leaf)[0])
    assert torch.allclose(*gradients, rtol=1e-6, atol=1e-9)
    first = Maps(ref.cross[:1], ref.self_[:1], ref.grid)
    alone = new.cross[:1].clone().requires_grad_()
    loss = fused(first, Maps(alone, new.self_[:1], new.grid), [1, 2], [3], weights, form)
    assert torch.allclose(torch.autograd.grad(loss.sum(), alone)[0], gradients[1][:1], atol=1e-12)


def test_signs():
    """Kept words are pulled back to the reference, the target is pushed away."""
    ref, new = random_maps(0, samples=1), random_maps(1, samples=1)
    assert fused(ref, new, [1], [], Weights(1, 0.5, 0, 0), "l2") > 0
    assert fused(ref, new, [], [1], Weights(1, 0.5, 0, 0), "l2") < 0
    assert fused(ref, ref, [1, 2], [3], Weights(1, 0.5, 1, 0.5), "cosine").abs() < 1e-12


def test_distances():
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])
    assert distance(a, b, "l2").item() == 1
    assert distance(a, b, "cosine").item() == pytest.approx(1 - 0.5**0.5)
    assert distance(a, 3 * a, "cosine").item() == pytest.approx(0)


@given(st.integers(0, 2**31), st.sampled_from([(4, 4), (3, 5)]))
@settings(max_examples=20, deadline=None)
def test_masks_equal_the_reference(seed, grid):
    n = grid[0] * grid[1]
    cross = torch.rand(1, n, WORDS, generator=torch.Generator().manual_seed(seed))
    shares = torch.tensor([0.95, 0.85, 0.95, 0.85, 0.5, 0.99])
    got = masks(cross, grid, shares)
    for k in range(WORDS):
        want = mask_reference(cross[0, :, k], grid, float(shares[k]))
        assert got[0, k].nonzero().flatten().tolist() == want


def test_mask_of_a_single_bright_pixel():
    column = torch.full((16,), 0.01)
    column[5] = 1.0
    assert mask_reference(column, (4, 4), DROP_SHARE) == [5]
    column[6] = 1.0  # two neighbours
    assert mask_reference(column, (4, 4), DROP_SHARE) == [5, 6]

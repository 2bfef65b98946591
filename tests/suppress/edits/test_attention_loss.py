"""The attention loss: the fused form equals the loops, and each term does what it should."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from suppress.edits.ito import DROP_THRESHOLD, AttentionLoss, LossWeights, distance, mask
from suppress.edits.maps import Maps, MapSpec
from suppress.engine.ito import attention_loss, find_words, masks, prepare_reference

pytestmark = pytest.mark.quick

WORDS = 6


def random_maps(seed: int, samples: int = 2, side: int = 4) -> Maps:
    generator = torch.Generator().manual_seed(seed)
    n = side * side
    cross = torch.randn(samples, n, WORDS, generator=generator).softmax(dim=-1)
    return Maps(cross, torch.randn(samples, n, n, generator=generator).softmax(dim=-1), (side, side))


def loss_of(keep, drop, weights: LossWeights, form: str, samples: int = 2) -> AttentionLoss:
    """keep, drop: the rows of all samples, or one list per sample."""
    if not keep or isinstance(keep[0], int):
        keep, drop = [keep] * samples, [drop] * samples
    return AttentionLoss(MapSpec(4), tuple(map(tuple, keep)), tuple(map(tuple, drop)), weights, form)


def fused(ref: Maps, new: Maps, keep, drop, weights: LossWeights, form: str) -> torch.Tensor:
    """`attention_loss`, one value per sample."""
    words = find_words(loss_of(keep, drop, weights, form, len(ref.cross)), torch.device("cpu"))
    return attention_loss(prepare_reference(words, ref, form), new.cross, new.self_, form)


@pytest.mark.parametrize("form", ["cosine", "l2"])
@pytest.mark.parametrize("weights", [LossWeights(1, 0.5, 1, 0.5), LossWeights(1, 0.5, 0, 0), LossWeights(0.3, 0, 2, 1)])
@given(st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_the_fused_form_equals_the_loops(form, weights, seed):
    ref, new = random_maps(seed), random_maps(seed + 1)
    keep, drop = [1, 2, 4], [3]
    want = loss_of(keep, drop, weights, form)(ref, new)
    got = fused(ref, new, keep, drop, weights, form)
    assert got.dtype == torch.float64 and got.shape == (2,)
    assert got.sum().item() == pytest.approx(want.item(), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("form", ["cosine", "l2"])
def test_samples_with_different_words(form):
    """Samples of one batch have other words, and other numbers of words; each has the same loss as alone."""
    ref, new, weights = random_maps(3, samples=3), random_maps(4, samples=3), LossWeights(1, 0.5, 1, 0.5)
    keep, drop = [[1, 2, 4], [5], []], [[3], [1, 2], [4]]
    got = fused(ref, new, keep, drop, weights, form)
    for k in range(3):
        one = [Maps(m.cross[k : k + 1], m.self_[k : k + 1], m.grid) for m in (ref, new)]
        want = loss_of(keep[k], drop[k], weights, form, 1)(*one)
        assert got[k].item() == pytest.approx(want.item(), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("form", ["cosine", "l2"])
def test_gradients_are_equal_and_samples_do_not_mix(form):
    ref, new = random_maps(0), random_maps(1)
    weights = LossWeights(1, 0.5, 1, 0.5)
    gradients = []
    for loss in (
        lambda maps: loss_of([1, 2], [3], weights, form)(ref, maps),
        lambda maps: fused(ref, maps, [1, 2], [3], weights, form).sum(),
    ):
        leaf = new.cross.clone().requires_grad_()
        gradients.append(torch.autograd.grad(loss(Maps(leaf, new.self_, new.grid)), leaf)[0])
    assert torch.allclose(*gradients, rtol=1e-6, atol=1e-9)
    ref_alone = Maps(ref.cross[:1], ref.self_[:1], ref.grid)
    alone = new.cross[:1].clone().requires_grad_()
    loss = fused(ref_alone, Maps(alone, new.self_[:1], new.grid), [1, 2], [3], weights, form)
    assert torch.allclose(torch.autograd.grad(loss.sum(), alone)[0], gradients[1][:1], atol=1e-12)


def test_signs():
    """The loss pulls the maps of kept words to the reference maps, and pushes those of the target away from them."""
    ref, new = random_maps(0, samples=1), random_maps(1, samples=1)
    assert fused(ref, new, [1], [], LossWeights(1, 0.5, 0, 0), "l2") > 0
    assert fused(ref, new, [], [1], LossWeights(1, 0.5, 0, 0), "l2") < 0
    assert fused(ref, ref, [1, 2], [3], LossWeights(1, 0.5, 1, 0.5), "cosine").abs() < 1e-12


def test_distances():
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])
    assert distance(a, b, "l2").item() == 1
    assert distance(a, b, "cosine").item() == pytest.approx(1 - 0.5**0.5)
    assert distance(a, 3 * a, "cosine").item() == pytest.approx(0)


@given(st.integers(0, 2**31), st.sampled_from([(4, 4), (3, 5)]))
@settings(max_examples=20, deadline=None)
def test_fused_masks_equal_the_loops(seed, grid):
    n = grid[0] * grid[1]
    cross = torch.rand(1, n, WORDS, generator=torch.Generator().manual_seed(seed))
    thresholds = torch.tensor([0.95, 0.85, 0.95, 0.85, 0.5, 0.99])
    got = masks(cross, grid, thresholds)
    for k in range(WORDS):
        want = mask(cross[0, :, k], grid, float(thresholds[k]))
        assert got[0, k].nonzero().flatten().tolist() == want


def test_mask_of_a_single_bright_pixel():
    column = torch.full((16,), 0.01)
    column[5] = 1.0
    assert mask(column, (4, 4), DROP_THRESHOLD) == [5]
    column[6] = 1.0  # two neighbours
    assert mask(column, (4, 4), DROP_THRESHOLD) == [5, 6]

"""Soft-weighted regularisation: comparison with another decomposition, and properties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minisd
import suppress

pytestmark = pytest.mark.quick


def by_eigenvectors(chi: np.ndarray, gamma: float) -> np.ndarray:
    """SWR without an SVD: f(χχᵀ) χ with f(λ) = e^(-γ√λ), from the eigenvectors of the Gram matrix χχᵀ."""
    values, vectors = np.linalg.eigh(chi @ chi.T)
    return (vectors * np.exp(-gamma * np.sqrt(values.clip(min=0)))) @ vectors.T @ chi


@pytest.mark.parametrize("gamma", [0.5, 1.0, 3.0])
def test_equals_the_gram_form_on_a_real_context(sd, gamma):
    ctx = sd.encode_text("a man without glasses")[0]
    rows = [4, *range(5, 77)]
    got = suppress.soft_weight(ctx, rows, gamma)
    want = by_eigenvectors(ctx[rows].double().numpy(), gamma)
    assert np.abs(got[rows].numpy() - want).max() < 1e-5 * np.abs(want).max() + 1e-9
    assert torch.equal(got[:4], ctx[:4])  # [SOT] and the other words


def test_published_rule_on_known_singular_values():
    # two orthogonal rows of length 2 and 0.5, which become σ e^(-σ)
    ctx = torch.zeros(3, 4)
    ctx[1, 0], ctx[2, 1] = 2.0, 0.5
    got = suppress.soft_weight(ctx, [1, 2])
    assert got[1, 0].item() == pytest.approx(2 * np.exp(-2)) and got[2, 1].item() == pytest.approx(0.5 * np.exp(-0.5))


contexts = st.integers(0, 2**31).map(lambda seed: torch.randn(8, 5, generator=torch.Generator().manual_seed(seed)))
row_sets = st.sets(st.integers(0, 7), min_size=1).map(sorted)


@given(contexts, row_sets)
@settings(max_examples=40, deadline=None)
def test_gamma_zero_is_the_identity_and_a_large_one_zeroes(ctx, rows):
    assert torch.allclose(suppress.soft_weight(ctx, rows, 0.0), ctx, atol=1e-6)
    zeroed = suppress.soft_weight(ctx, rows, 1e9)
    assert zeroed[rows].abs().max() < 1e-6
    kept = [i for i in range(8) if i not in rows]
    assert torch.equal(zeroed[kept], ctx[kept])


@given(contexts, row_sets)
@settings(max_examples=40, deadline=None)
def test_twice_is_not_once_and_nothing_grows(ctx, rows):
    once = suppress.soft_weight(ctx, rows)
    twice = suppress.soft_weight(once, rows)
    assert not torch.allclose(once[rows], twice[rows], atol=1e-4)
    assert once[rows].norm() < ctx[rows].norm()


@given(contexts, contexts, row_sets)
@settings(max_examples=20, deadline=None)
def test_samples_of_a_batch_do_not_mix(a, b, rows):
    both = suppress.soft_weight(torch.stack([a, b]), rows)
    for got, ctx in zip(both, (a, b), strict=True):
        assert torch.allclose(got, suppress.soft_weight(ctx, rows), atol=1e-6)


def test_order_and_repetition_of_rows_do_not_matter(sd):
    ctx = sd.encode_text("a man without glasses")
    assert torch.equal(suppress.soft_weight(ctx, [6, 5, 4, 4]), suppress.soft_weight(ctx, (4, 5, 6)))


def test_dtype_and_shape_are_kept():
    ctx = torch.randn(2, 77, 16).bfloat16()
    got = suppress.soft_weight(ctx, [3, 4])
    assert got.dtype == torch.bfloat16 and got.shape == ctx.shape


@pytest.mark.parametrize("kind", [tuple, set, np.array, torch.tensor, lambda rows: [np.int64(r) for r in rows]])
def test_rows_may_be_any_whole_numbers(sd, kind):
    ctx = sd.encode_text("a man without glasses")
    assert torch.equal(suppress.soft_weight(ctx, kind([4, 5])), suppress.soft_weight(ctx, [4, 5]))
    assert torch.equal(suppress.soft_weight(ctx, range(4, 6)), suppress.soft_weight(ctx, [4, 5]))


NO_ROWS = [[], [77], [-1], [4.0], ["4"], 4, None, [[4, 5]], torch.tensor(4), torch.tensor([4.5]), np.array([])]
NO_ROWS += [[True] * 5, torch.ones(5, dtype=torch.bool), np.ones(5, dtype=bool), torch.tensor([[4, 5]])]


@pytest.mark.parametrize("rows", NO_ROWS, ids=repr)
def test_bad_rows(rows):
    with pytest.raises(minisd.UserError, match=r"^rows .*expected positions from 0 to 76") as caught:
        suppress.soft_weight(torch.randn(77, 8), rows)
    assert repr(rows) in str(caught.value)


@pytest.mark.parametrize("gamma", [-1.0, float("nan"), float("inf")])
def test_bad_gamma(gamma):
    with pytest.raises(minisd.UserError, match="gamma"):
        suppress.soft_weight(torch.randn(77, 8), [1], gamma)

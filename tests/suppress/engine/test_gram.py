"""SWR on the Gram matrix equals SWR by SVD in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import suppress
from suppress.engine.gram import soft_weight_gram

pytestmark = pytest.mark.quick

PROMPTS = {"a man without glasses": "glasses", "a man with a beard wearing glasses and a hat in a blue shirt": "a hat"}


def rows_of(sd, prompt, target) -> list[int]:
    return [*suppress.find_rows(sd, prompt, target), *range(len(sd.tokens(prompt)) - 1, 77)]


@pytest.mark.parametrize("gamma", [0.25, 1.0, 3.0])
def test_equals_the_svd_on_real_contexts_of_different_k(sd, gamma):
    ctx = sd.encode_text(list(PROMPTS)).double()
    rows = torch.zeros(2, 77, dtype=torch.bool)
    for k, (prompt, target) in enumerate(PROMPTS.items()):
        rows[k, rows_of(sd, prompt, target)] = True
    assert rows[0].sum() != rows[1].sum()
    got = soft_weight_gram(ctx, rows, gamma)
    for k in range(2):
        want = suppress.soft_weight(ctx[k], rows[k].nonzero().flatten().tolist(), gamma)
        assert (got[k] - want)[rows[k]].norm() < 1e-5 * want[rows[k]].norm()
        assert torch.equal(got[k][~rows[k]], ctx[k][~rows[k]])  # the other words are equal in every bit


def test_singular_values_over_many_orders_of_magnitude():
    """As in SD: the largest value is 250, the smallest are below the rounding error, and the rank is below 77."""
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(n, 60, generator=generator, dtype=torch.float64))[0] for n in (77, 768))
    ctx = (u * torch.logspace(2.4, -8, 60, dtype=torch.float64)) @ v.T
    got = soft_weight_gram(ctx[None], torch.ones(1, 77, dtype=torch.bool))[0]
    want = suppress.soft_weight(ctx, range(77))
    assert (got - want).norm() < 1e-5 * want.norm()


contexts = st.integers(0, 2**31).map(lambda seed: torch.randn(1, 8, 5, generator=torch.Generator().manual_seed(seed)))
masks = st.lists(st.booleans(), min_size=8, max_size=8).map(lambda row: torch.tensor([row]))


@given(ctx=contexts, rows=masks)
@settings(max_examples=25, deadline=None)
def test_zero_is_the_identity_and_a_large_gamma_zeroes(ctx, rows):
    assert torch.allclose(soft_weight_gram(ctx, rows, 0.0), ctx, atol=1e-6)
    zeroed = soft_weight_gram(ctx, rows, 1e6)
    assert zeroed[rows].abs().max() < 1e-5 if rows.any() else torch.equal(zeroed, ctx)


def test_dtype_is_kept_and_no_rows_change_nothing():
    ctx = torch.randn(2, 77, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    rows = torch.zeros(2, 77, dtype=torch.bool)
    assert torch.equal(soft_weight_gram(ctx, rows), ctx) and soft_weight_gram(ctx, ~rows).dtype == torch.bfloat16

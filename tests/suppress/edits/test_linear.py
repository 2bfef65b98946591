"""The linear maps of UCE and RECE against the weights that they stand for."""

import pytest
import torch

from minisd import UserError
from suppress.edits.linear import Pairs, projection_products, recover, solve
from suppress.edits.taps import cross_layers

D = 12


@pytest.fixture
def pairs():
    g = torch.Generator().manual_seed(0)
    return Pairs(*(torch.randn(k, D, generator=g, dtype=torch.float64) for k in (3, 3, 5)))


def test_the_map_is_the_published_solution_for_any_weight(pairs):
    w = torch.randn(7, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    lam, s, r = 0.5, 1.7, 0.3
    left, right = lam * w, lam * torch.eye(D, dtype=torch.float64)
    for c, new in zip(pairs.old, pairs.new, strict=True):
        left, right = left + s * torch.outer(w @ new, c), right + s * torch.outer(c, c)
    for p in pairs.kept:
        left, right = left + r * torch.outer(w @ p, p), right + r * torch.outer(p, p)
    torch.testing.assert_close(w @ solve(pairs, lam, s, r), left @ right.inverse())


def test_one_pair_moves_each_token_by_its_overlap():
    g = torch.Generator().manual_seed(2)
    c, new, e = (torch.randn(D, generator=g, dtype=torch.float64) for _ in range(3))
    t = solve(Pairs(c[None], new[None], torch.zeros(0, D, dtype=torch.float64)), 0.5, 2.0)
    torch.testing.assert_close(t @ e, e + 2 * (new - c) * (c @ e) / (0.5 + 2 * c @ c))


def test_nothing_to_erase_is_the_identity(pairs):
    assert torch.equal(solve(Pairs(pairs.old[:0], pairs.new[:0], pairs.kept), 0), torch.eye(D, dtype=torch.float64))


def test_a_system_without_a_single_solution(pairs):
    with pytest.raises(UserError, match="λ = 0 is too small"):
        solve(pairs, 0)


def test_what_brings_a_concept_back_is_the_least_squares_solution(sd, pairs):
    layers = [layer.weight.double() for attn in cross_layers(sd.unet) for layer in (attn.to_v, attn.to_k)]
    assert len(layers) == 32
    w = torch.cat(layers)
    g = torch.Generator().manual_seed(3)
    t = torch.eye(192, dtype=torch.float64) + 0.05 * torch.randn(192, 192, generator=g, dtype=torch.float64)
    c = torch.randn(192, generator=g, dtype=torch.float64)
    back = recover(t, projection_products(sd.unet), 2.0) @ c
    stacked = torch.cat([w @ t, 2.0**0.5 * torch.eye(192, dtype=torch.float64)])
    want = torch.linalg.lstsq(stacked, torch.cat([w @ c, torch.zeros(192, dtype=torch.float64)])[:, None]).solution
    torch.testing.assert_close(back, want[:, 0])

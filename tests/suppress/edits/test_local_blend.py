"""LocalBlend's mask against a form in numpy."""

import numpy as np
import pytest
import torch

from minisd import Site
from suppress.edits.local_blend import LocalBlend
from suppress.edits.maps import MapSpec

pytestmark = pytest.mark.quick
DOWN = Site("down.2.0.cross", "cross", "down", 4, 2)


def mask_in_numpy(maps, rows, size, threshold):
    """maps: per step and layer (H,h,w,77). The mask (H,W) of one branch."""
    s = sum(p.mean(axis=0)[..., sorted(rows)].sum(axis=-1) for p in maps)
    h, w = s.shape
    padded = np.pad(s, 1, constant_values=-np.inf)
    largest = np.max([padded[a : a + h, b : b + w] for a in range(3) for b in range(3)], axis=0)
    values = np.repeat(np.repeat(largest, size[0] // h, axis=0), size[1] // w, axis=1)
    return values / values.max() > threshold


def hot(*rows):
    return [1.0 if i in rows else 0.0 for i in range(77)]


@pytest.mark.parametrize("threshold", [0.3, 0.8])
def test_the_mask_is_that_of_the_formula(threshold):
    """Two samples, 6 × 8 pixels, two layers, two steps; maps with few peaks."""
    generator = torch.Generator().manual_seed(3)
    words = [(2,), (4, 5), (3,), (1, 2)]  # of [original × 2, edited × 2]
    local = LocalBlend(torch.tensor([hot(*w) for w in words]), torch.zeros(2, 4, 24, 32), MapSpec(4), threshold)
    maps = [torch.rand(4, 2, 48, 77, generator=generator) ** 400 for _ in range(4)]
    for p in maps:
        assert local.probs(DOWN, p) is p
    want = [
        mask_in_numpy([p[k].view(2, 6, 8, 77).numpy() for p in maps], rows, (24, 32), threshold)
        for k, rows in enumerate(words)
    ]
    got = local.mask()
    assert got.shape == (2, 1, 24, 32)
    for k in range(2):
        assert np.array_equal(got[k, 0].numpy(), want[k] | want[k + 2])
        assert 0 < got[k].float().mean() < 1
    z, original = torch.randn(2, 2, 4, 24, 32, generator=generator)
    blended, inside = local.blend(z, original), got.expand(-1, 4, -1, -1)
    assert torch.equal(blended[inside], z[inside]) and torch.equal(blended[~inside], original[~inside])


def test_a_branch_without_words_has_the_empty_mask():
    local = LocalBlend(torch.tensor([hot(2), hot()]), torch.zeros(1, 4, 12, 12), MapSpec(4), 0.3)
    p = torch.zeros(2, 1, 9, 77)
    p[0, 0, 0, 2] = p[1, 0, 8, 2] = 1
    local.probs(DOWN, p)
    mask = local.mask()[0, 0]
    assert mask[:8, :8].all() and mask.sum() == 64


def test_the_sites_are_those_of_one_scale_without_the_middle():
    local = LocalBlend(torch.zeros(2, 77), torch.zeros(1, 4, 16, 16), MapSpec(4), 0.3)
    assert local.wants(DOWN) and local.wants(Site("up.1.0.cross", "cross", "up", 4, 8))
    for kind, place, scale in (("self", "down", 4), ("cross", "mid", 4), ("cross", "up", 2)):
        assert not local.wants(Site("", kind, place, scale, 8))

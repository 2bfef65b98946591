"""FID against Gaussians whose distance is known, and on the drawn world."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from minisd import UserError
from suppress import world
from suppress.metrics import ClipFeatures, ClipScore, InceptionFeatures, Unavailable, fid, ifid, pictures_needed
from suppress.metrics.frechet import Features, features_of, frechet_distance


def white(n, dims, seed):
    """(n,dims) with a mean of exactly 0 and a covariance of exactly 1."""
    x = torch.randn(n, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = x - x.mean(dim=0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov())).T


def test_the_distance_of_gaussians_along_the_axes():
    """|μ|² + Σ (σ - 1)² for covariances 1 and diag(σ²)."""
    a, b = white(50, 4, seed=0), white(70, 4, seed=1)
    sigma, mean = torch.tensor([1.0, 2, 0.5, 3]), torch.tensor([0, 3.0, 0, -4])
    assert frechet_distance(a, b) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b * sigma + mean) == pytest.approx(25 + 0 + 1 + 0.25 + 4, rel=1e-9)


def test_the_distance_of_gaussians_with_other_axes():
    """tr (Σ_a Σ_b)^½ is the sum of the singular values of Σ_a^½ Σ_b^½."""
    generator = torch.Generator().manual_seed(2)
    left, right = (torch.randn(5, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    roots = [torch.linalg.svd(m)[0] * torch.linalg.svd(m)[1] @ torch.linalg.svd(m)[0].T for m in (left, right)]
    traces = sum(root.square().sum() for root in roots)
    want = traces - 2 * torch.linalg.svdvals(roots[0] @ roots[1]).sum()
    got = frechet_distance(white(40, 5, seed=3) @ roots[0], white(60, 5, seed=4) @ roots[1])
    assert got == pytest.approx(want.item(), rel=1e-8)


class Colours(Features):
    """Six numbers: the picture's mean colour, and how much the colours of neighbours differ."""

    num_features = 6

    def forward(self, x):
        return torch.cat([x.mean(dim=(2, 3)), x.diff(dim=-1).abs().mean(dim=(2, 3))], dim=1)


def drawn(n, seed, **changes):
    rng = np.random.default_rng(seed)
    return [world.render(replace(world.sample_spec(rng), **changes)) for _ in range(n)]


def test_halves_of_one_world_are_near_and_two_worlds_far():
    plain, others, van_gogh = (drawn(120, seed, style=style) for seed, style in ((0, ""), (1, ""), (2, "van_gogh")))
    near, far = fid(plain, others, Colours()), fid(plain, van_gogh, Colours())
    assert near < 0.01 < 0.03 < far
    assert ifid(plain, plain, Colours()) == pytest.approx(0, abs=1e-6)
    assert ifid(plain, van_gogh, Colours()) == far


@pytest.mark.slow
def test_worlds_through_clip(sd):
    """193 pictures are just enough for the 192 features of the embedded CLIP: 38 and 135 when it was measured."""
    features = ClipFeatures(ClipScore.of(sd))
    n = pictures_needed(features)
    assert n == 193
    near = fid(drawn(n, 0), drawn(n, 1), features)
    far = fid(drawn(n, 0, style=""), drawn(n, 2, style="van_gogh"), features)
    assert near < 60 < 100 < far


def test_clip_features_are_the_vectors_of_clip(sd):
    clip = ClipScore.of(sd)
    x = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        got, want = ClipFeatures(clip)(x), clip.picture(x)
    assert got.dtype == torch.float64 and torch.equal(got, want.double()) and got.shape == (2, 192)


def test_pictures_of_several_sizes():
    """Each row belongs to its picture, whatever sizes stand side by side."""
    levels, sides = (0, 50, 100, 200, 255), (8, 8, 4, 4, 8)
    pictures = [Image.new("RGB", (side, side), (level,) * 3) for level, side in zip(levels, sides, strict=True)]
    want = torch.tensor(levels).double() / 127.5 - 1
    assert torch.allclose(features_of(pictures, Colours())[:, :3], want[:, None].expand(5, 3), atol=1e-6)


def test_too_few_pictures_are_refused_before_anything_is_computed():
    class Never(Features):
        num_features = 12

        def forward(self, x):
            raise AssertionError

    assert pictures_needed(Never()) == 13
    pictures = [Image.new("RGB", (4, 4))] * 13
    for a, b in ((pictures, pictures[1:]), (pictures[1:], pictures)):
        with pytest.raises(UserError, match="12 features needs 13 pictures or more in each set, not 12"):
            fid(a, b, Never())
    with pytest.raises(UserError, match="13 pictures"):
        frechet_distance(torch.zeros(13, 12), torch.zeros(12, 12))


def test_bad_sets():
    pictures = [Image.new("RGB", (4, 4))] * 14
    with pytest.raises(UserError, match="originals: 14, edited pictures: 13"):
        ifid(pictures, pictures[1:], Colours())
    with pytest.raises(UserError, match="shapes"):
        frechet_distance(torch.zeros(9, 3), torch.zeros(9, 4))


def test_inception_reads_levels():
    read = []

    def network(x):
        read.append(x)
        return torch.zeros(len(x), 2048)

    x = torch.tensor([-1.0, -1 + 1 / 127.5, 0.999, 1.5]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    features = InceptionFeatures(nn.Identity())
    features.network.forward = network
    assert features(x).dtype == torch.float64 and features.num_features == 2048
    assert read[0].dtype == torch.uint8 and read[0][0, 0].flatten().tolist() == [0, 1, 255, 255]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ModuleNotFoundError("torch_fidelity"), "minisd\\[eval\\]"), (OSError("no route"), "cannot be had: no route")],
)
def test_inception_that_cannot_be_had(monkeypatch, error, reason):
    from torchmetrics.image import fid as module

    def refuse(feature):
        raise error

    monkeypatch.setattr(module, "FrechetInceptionDistance", refuse)
    with pytest.raises(Unavailable, match=reason):
        InceptionFeatures.load()

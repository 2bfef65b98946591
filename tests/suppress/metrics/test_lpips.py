"""LPIPS: one value per picture, and the reason if its network cannot be had. Its weights are not at hand here."""

import pytest
import torch

from minisd import UserError
from suppress.metrics import Lpips, Unavailable


def test_each_pair_has_a_value_of_its_own():
    def distance(x, y):
        assert x.shape == y.shape == (1, 3, 32, 32) and x.abs().max() <= 1 and y.abs().max() <= 1
        return (x - 2 * y).mean()

    a = torch.tensor([0.5, 3.0, -1.0]).view(3, 1, 1, 1).expand(3, 3, 32, 32)
    b = torch.tensor([0.25, 0.0, -7.0]).view(3, 1, 1, 1).expand(3, 3, 32, 32)
    assert Lpips(distance)(a, b).tolist() == [0, 1, 1]


@pytest.mark.parametrize("shapes", [((1, 3, 32, 32), (2, 3, 32, 32)), ((3, 32, 32),) * 2, ((1, 3, 32, 31),) * 2])
def test_bad_shapes(shapes):
    with pytest.raises(UserError, match="32 pixels or more"):
        Lpips(lambda x, y: x.sum())(*map(torch.zeros, shapes))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModuleNotFoundError("torchvision"), "minisd\\[eval\\]"),
        (OSError("no route"), "\\(squeeze\\) cannot be had: no route"),
        (RuntimeError("operator torchvision::nms does not exist"), "cannot be had: operator"),
    ],
)
def test_a_network_that_cannot_be_had(monkeypatch, error, reason):
    from torchmetrics.image import lpip

    def refuse(net_type):
        raise error

    monkeypatch.setattr(lpip, "LearnedPerceptualImagePatchSimilarity", refuse)
    with pytest.raises(Unavailable, match=reason):
        Lpips.load("squeeze")

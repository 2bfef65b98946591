"""The moving average of the weights."""

import pytest
import torch
from torch import nn

from weights.tiny.train.ema import EMA

pytestmark = pytest.mark.quick


def test_the_average_follows_its_equation():
    model = nn.Linear(1, 1)
    nn.init.zeros_(model.weight)
    ema = EMA(model, 0.5)
    average = 0.0
    for n in range(20):
        nn.init.constant_(model.weight, n + 1.0)
        ema.update(model, n)
        d = min(0.5, (1 + n) / (10 + n))
        average = d * average + (1 - d) * (n + 1)
        assert abs(ema.model.weight.item() - average) < 1e-5


def test_the_model_itself_stays(monkeypatch):
    model = nn.Linear(2, 2)
    before = model.weight.clone()
    ema = EMA(model, 0.9)
    nn.init.zeros_(ema.model.weight)
    ema.update(model, 5)
    assert torch.equal(model.weight, before) and model.weight.requires_grad
    assert not ema.model.weight.requires_grad and not ema.model.training

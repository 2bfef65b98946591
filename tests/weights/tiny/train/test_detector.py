"""What the detector's stage shows its network."""

import pytest
import torch

from suppress.metrics import Detector
from weights.tiny.train.detector import DetectorStage
from weights.tiny.train.drawings import NAMES


def test_half_the_pictures_pass_through_the_autoencoder(job):
    stage = DetectorStage(job)
    x = torch.full((4, 3, 32, 32), 0.5)
    seen = stage.imperfect(x, torch.Generator().manual_seed(0))
    assert seen.shape == (4, 3, 128, 128)
    changes = (seen - 0.5).abs().mean(dim=(1, 2, 3))
    assert changes[:2].min() > 0.2  # the micro model's autoencoder rebuilds nothing well
    assert changes[2:].max() < 0.1 and changes[2:].min() > 0


def test_the_loss_is_the_cross_entropy_of_each_attribute(job):
    stage, batch = DetectorStage(job), job.drawings.__getitems__([0, 1, 2, 3])
    logits = torch.where(batch.attributes, 2.0, -2.0)
    losses = stage.losses(lambda x: logits, batch, torch.Generator().manual_seed(0))
    assert losses["loss"].item() == pytest.approx(torch.log1p(torch.exp(torch.tensor(-2.0))).item(), rel=1e-5)
    assert losses["right"].item() == 1


def test_the_judge_reads_the_files(micro):
    assert Detector(micro / "detector").names == NAMES

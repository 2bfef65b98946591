"""The loop that all stages share."""

import math
import signal

import pytest
import torch

from minisd import UserError
from weights.tiny.train.clip import ClipStage
from weights.tiny.train.detector import DetectorStage
from weights.tiny.train.loop import Training, asked_to_stop
from weights.tiny.train.processes import Processes
from weights.tiny.train.randomness import generator
from weights.tiny.train.unet import UNetStage
from weights.tiny.train.vae import VAEStage


def loss_of(training, batch):
    """The loss with the noise of one step, always the same."""
    random = generator(0, training.stage.name, 0, 0, torch.device("cpu"))
    with torch.no_grad():
        return float(training.stage.losses(training.model, batch, random)["loss"])


@pytest.mark.parametrize(("kind", "most"), [(ClipStage, 0.9), (VAEStage, 0.7), (DetectorStage, 0.6), (UNetStage, 0.95)])
def test_the_loss_falls_on_a_fixed_batch(unsaved, kind, most):
    training = Training(kind(unsaved))
    batch = next(training.stage.batches(0))
    before = loss_of(training, batch)
    for _ in range(40):
        training.step(batch, 0.1)
    assert loss_of(training, batch) < most * before


@pytest.mark.parametrize("kind", [ClipStage, VAEStage, DetectorStage, UNetStage])
def test_half_precision_changes_the_loss_by_little(unsaved, kind, monkeypatch):
    """As on a GPU: the networks compute in bfloat16, the loss is made of their output in float32."""
    training = Training(kind(unsaved))
    batch = next(training.stage.batches(0))
    full = loss_of(training, batch)
    seen = []
    network = training.network
    monkeypatch.setattr(Processes, "autocast", lambda self: torch.autocast("cpu", torch.bfloat16))
    monkeypatch.setattr(training, "network", lambda *x: seen.append(torch.is_autocast_enabled("cpu")) or network(*x))
    random = generator(0, training.stage.name, 0, 0, torch.device("cpu"))
    loss = training.stage.losses(training.forward, batch, random)["loss"]
    assert seen == [True] and not torch.is_autocast_enabled("cpu")
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(full, rel=0.02)
    assert loss.item() != full


def test_the_rate_follows_the_share(unsaved):
    training = Training(ClipStage(unsaved))
    batch = next(training.stage.batches(0))
    rates = []
    for share in (0.0, 0.03, 1.0):
        training.step(batch, share)
        rates.append(training.optimizer.param_groups[0]["lr"])
    assert rates[0] == pytest.approx(2e-5) and rates[2] == pytest.approx(2e-5) and rates[1] > 9.9e-4


def test_a_long_gradient_is_shortened(unsaved):
    training = Training(ClipStage(unsaved))
    training.step(next(training.stage.batches(0)), 0.1)
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in training.model.parameters()))
    assert norm == pytest.approx(1, rel=1e-3)


def test_a_loss_that_is_not_finite_stops_the_run(unsaved):
    training = Training(UNetStage(unsaved))
    torch.nn.init.constant_(training.model.conv_in.weight, math.nan)
    with pytest.raises(UserError, match=r"unet: the loss of step 1 is nan; begin a new folder with another --seed"):
        training.step(next(training.stage.batches(0)), 0.1)


def test_the_best_model_is_the_average_if_there_is_one(unsaved):
    vae, clip = Training(VAEStage(unsaved)), Training(ClipStage(unsaved))
    assert vae.ema is not None and vae.best is vae.ema.model
    assert clip.best is clip.model


def test_the_average_is_counted_from_the_first_step(unsaved):
    """d = 1/10 after none was taken."""
    training = Training(VAEStage(unsaved))
    first, average = (m.vae.quant_conv.weight for m in (training.model, training.ema.model))
    before = first.detach().clone()
    training.step(next(training.stage.batches(0)), 0.1)
    assert not torch.equal(first, before)
    assert torch.allclose(average, 0.1 * before + 0.9 * first, atol=1e-6)


def test_a_stage_ends_with_its_best_model(unsaved):
    training = Training(VAEStage(unsaved))
    assert training.run() is training.ema.model


def test_the_second_signal_acts_at_once():
    before = signal.getsignal(signal.SIGINT)
    with asked_to_stop() as asked:
        signal.raise_signal(signal.SIGINT)  # in this thread, so it is handled before the next line
        assert asked == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("length", [0, 9, 5000])
def test_a_damaged_checkpoint_is_named(unsaved, length):
    Training(ClipStage(unsaved)).save()
    file = unsaved.work / "clip.checkpoint.pt"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(UserError, match=r"clip\.checkpoint\.pt cannot be read .*remove it"):
        Training(ClipStage(unsaved))


def test_a_checkpoint_of_other_sizes_is_named(unsaved):
    Training(DetectorStage(unsaved)).save()
    (unsaved.work / "detector.checkpoint.pt").rename(unsaved.work / "clip.checkpoint.pt")
    with pytest.raises(UserError, match=r"clip\.checkpoint\.pt does not fit .*remove it"):
        Training(ClipStage(unsaved))

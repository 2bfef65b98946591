"""The objective of the UNet's stage."""

import pytest
import torch

from minisd.config import ScheduleConfig
from minisd.ddim import alpha_bar
from weights.tiny.train import latents
from weights.tiny.train.latents import Latents, encode_all
from weights.tiny.train.parts import read_vae
from weights.tiny.train.unet import UNetStage, min_snr


def random():
    return torch.Generator().manual_seed(0)


def test_min_snr_weights():
    a = torch.tensor([10 / 11, 5 / 6, 1 / 2, 1 / 11])  # SNR 10, 5, 1, .1
    assert min_snr(a).tolist() == pytest.approx([0.5, 1, 1, 1])
    weights = min_snr(alpha_bar(ScheduleConfig()))
    assert weights[0] < 0.01 and weights[999] == 1 and (weights.diff() >= 0).all()


def test_the_loss_is_the_weighted_error_of_the_noise(job):
    stage = UNetStage(job)
    batch = Latents(torch.zeros(256, 4, 4, 4, dtype=torch.float16), torch.zeros(256, 4, 77, dtype=torch.int16))
    seen = []

    def forward(z, t, ctx):
        seen.append((t, ctx))
        a = stage.alpha_bar[t][:, None, None, None]
        return z / (1 - a).sqrt() + 0.1  # z_0 is zero, so this is the noise, and a tenth too much

    losses = stage.losses(forward, batch, random())
    [(t, ctx)] = seen
    assert ctx.shape == (256, 77, 32) and not ctx.requires_grad
    assert t.min() < 40 and t.max() > 960
    assert losses["unweighted"].item() == pytest.approx(0.01, rel=1e-2)
    assert losses["loss"].item() == pytest.approx(0.01 * stage.weights[t].mean().item(), rel=1e-2)


def test_noisy_latents_keep_the_signal(job):
    stage = UNetStage(job)
    batch = Latents(torch.full((8, 4, 4, 4), 100.0), torch.zeros(8, 4, 77, dtype=torch.int16))

    def forward(z, t, ctx):
        expected = 100 * stage.alpha_bar[t].sqrt()
        assert torch.allclose(z.mean(dim=(1, 2, 3)), expected, atol=1.0)
        return z

    stage.losses(forward, batch, random())


def test_a_tenth_of_the_captions_is_empty(job):
    stage = UNetStage(job)
    ids = torch.full((2000, 4, 77), 5, dtype=torch.int16)
    captions = stage.captions(ids, random())
    empty = (captions == stage.empty).all(dim=1)
    assert 0.07 < empty.float().mean().item() < 0.13
    assert (captions[~empty] == 5).all()
    assert stage.empty.tolist() == [stage.tokenizer.sot] + [stage.tokenizer.eot] * 76


def test_latents_are_those_of_the_pictures(job, monkeypatch):
    monkeypatch.setattr(latents, "_BATCH", 6)  # three batches, the last of them smaller
    known = encode_all(job)
    batch = job.drawings.__getitems__([3, 15])
    with torch.no_grad():
        z = read_vae(job.out).encode(batch.x(torch.device("cpu")))
    assert known.z.shape == (16, 4, 4, 4) and known.z.dtype == torch.float16
    assert torch.allclose(known.z[[3, 15]].float(), z, atol=1e-2)
    assert torch.equal(known.ids[[3, 15]], batch.ids)


def test_batches_go_on_from_any_step(job):
    whole, later = UNetStage(job).batches(0), UNetStage(job).batches(1)
    next(whole)
    a, b = next(whole), next(later)
    assert torch.equal(a.z, b.z) and torch.equal(a.ids, b.ids) and len(a.z) == 8

"""The losses of the autoencoder's stage, and the scaling."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from minisd.base.inputs import read_json
from weights.tiny.train.parts import read_vae
from weights.tiny.train.vae import Autoencoding, VAEStage, divergence, laplacian


def test_the_divergence_is_that_of_two_normals():
    mean, log_variance = torch.randn(2, 3, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).mean()
    assert divergence(mean, log_variance).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_laplacian_sees_edges_only():
    ramp = torch.arange(6.0).expand(1, 3, 6, 6)
    assert not laplacian(ramp).any()
    point = torch.zeros(1, 1, 5, 5)
    point[0, 0, 2, 2] = 1
    assert laplacian(point)[0, 0].tolist() == [[0, 1, 0], [1, -4, 1], [0, 1, 0]]


def test_the_loss_is_the_weighted_sum_of_its_parts(job):
    stage = VAEStage(job)
    batch = job.drawings.__getitems__([0, 1])
    x = batch.x(torch.device("cpu"))
    seen = []

    def forward(x, noise):
        seen.append(noise)
        return x + 0.5, torch.ones_like(noise), torch.zeros_like(noise)

    losses = stage.losses(forward, batch, torch.Generator().manual_seed(0))
    assert seen[0].shape == (2, 4, 4, 4) and x.shape == (2, 3, 32, 32)
    assert losses["pixels"].item() == pytest.approx(0.5, rel=1e-5)
    assert losses["edges"].item() == pytest.approx(0, abs=1e-5)
    assert losses["low"].item() == pytest.approx(0.5, rel=1e-5)
    assert losses["kl"].item() == pytest.approx(0.5)
    assert losses["loss"].item() == pytest.approx(0.5 + 0.5 * 0.5 + 2e-4 * 0.5, rel=1e-4)


def test_the_forward_pass_goes_through_a_sample(job):
    model = VAEStage(job).model
    assert isinstance(model, Autoencoding)
    x, noise = job.drawings.__getitems__([0]).x(torch.device("cpu")), torch.ones(1, 4, 4, 4)
    with torch.no_grad():
        rebuilt, mean, log_variance = model(x, noise)
        expected = model.vae.decode(mean + (log_variance / 2).exp())
        assert torch.equal(rebuilt, expected)
        assert torch.equal(mean, model.vae.encode(x))
        assert not torch.equal(rebuilt, model.vae.decode(mean))


def test_scaled_latents_have_a_deviation_of_one(job, micro):
    vae = read_vae(micro)
    with torch.no_grad():
        z = vae.encode(job.drawings.__getitems__(range(16)).x(torch.device("cpu")))
    assert z.std().item() == pytest.approx(1, rel=0.1)
    assert vae.config.scaling == read_json(micro / "vae" / "config.json")["scaling_factor"]

"""The autoencoder compared with diffusers: encoding and decoding."""

import pytest
import torch
from closeness import relative_error

from minisd import UserError


def reflected(x):
    """128×128 pixels, padded to 136×200 like the goldens."""
    return torch.nn.functional.pad(x, (36, 36, 4, 4), mode="reflect")


def test_encode_is_that_of_diffusers(sd, goldens):
    z = sd.encode(goldens["vae.x"])
    assert relative_error(z, goldens["vae.latent"]) < 1e-4


def test_decode_is_that_of_diffusers(sd, goldens):
    x = sd.vae.decode(goldens["vae.z"])
    assert relative_error(x, goldens["vae.decoded"]) < 1e-4
    # `sd.decode` clamps the picture to [-1,1]
    assert torch.equal(sd.decode(goldens["vae.z"]), x.clamp(-1, 1))


def test_odd_sizes_are_those_of_diffusers(sd, goldens):
    z = sd.encode(reflected(goldens["vae.x"]))
    assert z.shape == (1, 4, 17, 25)
    assert relative_error(z, goldens["vae.odd.latent"]) < 1e-4
    x = sd.vae.decode(goldens["vae.odd.latent"])
    assert x.shape == (1, 3, 136, 200)
    assert relative_error(x[:, :, ::3, ::3], goldens["vae.odd.decoded_every3"]) < 1e-4


def test_a_picture_survives_the_way_there_and_back(sd, goldens):
    x = goldens["vae.x"]
    mse = ((sd.decode(sd.encode(x)) - x) ** 2).mean()
    assert 10 * torch.log10(4 / mse) > 28  # dB; the range of [-1,1] is 2


def test_samples_of_a_batch_do_not_mix(sd, goldens):
    x = torch.cat([goldens["vae.x"], goldens["vae.x"].flip(3)])
    z = sd.encode(x)
    for k in range(2):
        torch.testing.assert_close(z[k : k + 1], sd.encode(x[k : k + 1]), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(sd.decode(z)[k : k + 1], sd.decode(z[k : k + 1]), rtol=1e-3, atol=1e-3)


def test_a_gradient_reaches_the_latents(sd, goldens):
    z = goldens["vae.z"].clone().requires_grad_()
    sd.vae.decode(z).square().mean().backward()
    assert z.grad.abs().sum() > 0


def test_pixels_that_make_no_whole_latents_are_refused(sd):
    with pytest.raises(UserError, match=r"multiples of 8, e\.g\. 128×128"):
        sd.encode(torch.zeros(1, 3, 130, 127))

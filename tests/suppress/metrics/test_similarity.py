"""PSNR and SSIM against values worked out by hand."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from minisd import UserError
from suppress.metrics import psnr, ssim

pytestmark = pytest.mark.quick


def test_psnr_of_a_known_error():
    a = torch.zeros(2, 3, 16, 16)
    b = a.clone()
    b[1] += 0.2  # MSE .04 of a range of 2: 10 log10(4 / .04) = 20 dB
    assert psnr(a, b)[0] == float("inf") and psnr(a, b)[1].item() == pytest.approx(20, abs=1e-5)


def test_psnr_of_some_pixels():
    a, where = torch.zeros(2, 3, 4, 4), torch.zeros(4, 4, dtype=torch.bool)
    where[1, 2:] = True
    b = a.clone()
    b[:, :, 0, 0] = 9  # not among them
    b[1, :, 1, 2] = 0.2  # one of two: MSE .02
    assert psnr(a, b, where).tolist() == [float("inf"), pytest.approx(10 * np.log10(4 / 0.02), abs=1e-5)]
    assert psnr(a, b, ~torch.ones_like(where)).isnan().all()


def test_psnr_is_that_of_torchmetrics():
    from torchmetrics.functional.image import peak_signal_noise_ratio

    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(3, 3, 8, 9, generator=generator, dtype=torch.double) * 2 - 1 for _ in range(2))
    where = torch.rand(8, 9, generator=generator) > 0.5
    for mask in (None, where):
        x, y = (each.flatten(2) if mask is None else each[:, :, mask] for each in (a, b))
        want = peak_signal_noise_ratio(x, y, data_range=2.0, reduction="none", dim=(1, 2))
        torch.testing.assert_close(psnr(a, b, mask), want, rtol=1e-6, atol=0)  # their log(10) is in float32


def test_psnr_needs_no_torchmetrics():
    """Its import takes longer than that of PyTorch, and `suppress --image` needs PSNR alone."""
    call = "import sys, torch; from suppress.metrics.similarity import psnr; psnr(*torch.rand(2, 1, 3, 4, 4)); "
    subprocess.run([sys.executable, "-c", f"{call} assert 'torchmetrics' not in sys.modules"], check=True)


def test_ssim_of_one_window_by_the_definition():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(1, 1, 11, 11, generator=generator) * 2 - 1 for _ in range(2))
    at = np.arange(11) - 5
    w = np.exp(-(at[:, None] ** 2 + at**2) / 4.5)
    w /= w.sum()
    x, y = a[0, 0].double().numpy(), b[0, 0].double().numpy()
    mx, my = (w * x).sum(), (w * y).sum()
    vx, vy, cov = (w * (x - mx) ** 2).sum(), (w * (y - my) ** 2).sum(), (w * (x - mx) * (y - my)).sum()
    want = (2 * mx * my + 4e-4) * (2 * cov + 3.6e-3) / ((mx**2 + my**2 + 4e-4) * (vx + vy + 3.6e-3))
    assert ssim(a, b).item() == pytest.approx(want, rel=1e-9)


def test_ssim_counts_only_windows_inside_the_picture():
    """A picture of 12 × 11 pixels has two. The value is their mean: mirrored pixels add nothing."""
    generator = torch.Generator().manual_seed(3)
    a, b = (torch.rand(2, 3, 12, 11, generator=generator) * 2 - 1 for _ in range(2))
    windows = [ssim(a[:, :, at : at + 11], b[:, :, at : at + 11]) for at in (0, 1)]
    assert torch.allclose(ssim(a, b), (windows[0] + windows[1]) / 2, atol=1e-9)


def test_ssim_is_one_for_equals_and_falls_with_noise():
    a = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(2))
    values = [ssim(a, a + k * noise).item() for k in (0, 0.1, 0.5)]
    assert values[0] == pytest.approx(1) and values[0] > values[1] > values[2]


def test_bad_shapes():
    with pytest.raises(UserError, match="shapes"):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 16, 16))
    with pytest.raises(UserError, match="11 × 11"):
        ssim(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))

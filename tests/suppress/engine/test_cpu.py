"""The UNet for a CPU: its layers give the outputs and gradients of the plain layers."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import minisd
import suppress
from minisd import Record
from minisd.attention import FeedForward
from suppress.engine import Fast, Plan
from suppress.engine.cpu import LARGE, PIXELS, ProductConv, SlicedFeedForward, SumsGroupNorm, for_cpu
from suppress.engine.packed import WORTH, Packed, PackedConv, PackedLinear, can_pack
from suppress.engine.plan import CPU_TECHNIQUES, fast_plan
from suppress.prompt import encode
from suppress.start.noise import from_noise

PACKS = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch is built without oneDNN")


def both(layer: nn.Module, packed: nn.Module, x: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """(output, gradient) of both layers. It also checks that the output without a gradient is the same."""
    found = []
    for module in (layer, packed):
        leaf = x.clone().requires_grad_()
        out = module(leaf)
        (gradient,) = torch.autograd.grad(out.sin().sum(), leaf)
        with torch.no_grad():
            assert torch.allclose(module(x), out, atol=1e-5)
        found.append([out.detach(), gradient])
    return found[0], found[1]


@PACKS
@pytest.mark.parametrize(
    ("c_in", "c_out", "k"), [(64, 64, 3), (320, 192, 3), (4, 64, 3), (192, 4, 3), (96, 64, 1), (8, 6, 5)]
)
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_convolution(c_in, c_out, k, bias):
    torch.manual_seed(0)
    layer = nn.Conv2d(c_in, c_out, k, padding=k // 2, bias=bias).requires_grad_(False)
    packed = PackedConv(layer)
    for shape in ((1, c_in, 16, 16), (4, c_in, 16, 16), (2, c_in, 3, 5), (1, c_in, 16, 16)):
        for want, got in zip(*both(layer, packed, torch.randn(shape)), strict=True):
            assert want.shape == got.shape and torch.allclose(want, got, atol=2e-5)


@PACKS
@pytest.mark.parametrize(("c_in", "c_out"), [(192, 768), (768, 192), (64, 512), (40, 24)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_matrix(c_in, c_out, bias):
    torch.manual_seed(0)
    layer = nn.Linear(c_in, c_out, bias=bias).requires_grad_(False)
    packed = PackedLinear(layer)
    for shape in ((1, 256, c_in), (4, 77, c_in), (3, c_in), (2, 1024, c_in)):
        for want, got in zip(*both(layer, packed, torch.randn(shape)), strict=True):
            assert want.shape == got.shape and torch.allclose(want, got, atol=2e-5)
    worthy = any(rows * c_in * c_out > WORTH for rows in (256, 308, 2048))
    assert bool(packed._packs) == worthy  # small ones are left to PyTorch


@PACKS
def test_weights_are_packed_once():
    packed = PackedConv(nn.Conv2d(32, 32, 3, padding=1).requires_grad_(False))
    shapes = [(1, 32, 8, 8), (2, 32, 8, 8), (1, 32, 8, 8), (2, 32, 8, 8)]
    for shape in shapes:
        packed(torch.randn(shape))
    assert set(packed._packs) == {(False, torch.Size(shape), 1) for shape in shapes}
    pack = packed.packed(False, torch.Size(shapes[0]))
    assert pack is packed.packed(False, torch.Size(shapes[0]))
    again = {id(pack) for pack in packed._packs.values()}
    packed(torch.randn(1, 32, 8, 8))
    assert {id(pack) for pack in packed._packs.values()} == again


@pytest.mark.parametrize(("batch", "pixels"), [(1, 256), (4, 256), (3, 100), (1, 1), (2, PIXELS + 1)])
def test_slices_of_a_feed_forward_layer(batch, pixels):
    torch.manual_seed(0)
    layer = FeedForward(16).requires_grad_(False)
    x = torch.randn(batch, pixels, 16)
    for want, got in zip(*both(layer, SlicedFeedForward(layer), x), strict=True):
        assert torch.allclose(want, got, atol=1e-6)


@pytest.mark.parametrize(("c_in", "c_out"), [(64, 64), (96, 32)])
def test_a_convolution_of_one_pixel_as_a_product(c_in, c_out):
    torch.manual_seed(0)
    layer = nn.Conv2d(c_in, c_out, 1).requires_grad_(False)
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(2, c_in, 5, 8).contiguous(memory_format=layout)
        for want, got in zip(*both(layer, ProductConv(layer), x), strict=True):
            assert want.shape == got.shape and torch.allclose(want, got, atol=2e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("samples", "channels"), [(4, 64), (3, 96), (1, 64)])
def test_a_group_norm_by_sums(samples, channels, layout, monkeypatch):
    """Large batches in the channels-last layout are computed by sums, all others by PyTorch; both are the same."""
    torch.manual_seed(0)
    layer = nn.GroupNorm(32, channels, eps=1e-6).requires_grad_(False)
    layer.weight.copy_(torch.randn(channels)), layer.bias.copy_(torch.randn(channels))
    x = (3 + 2 * torch.randn(samples, channels, 16, 16)).contiguous(memory_format=layout)
    for want, got in zip(*both(layer, SumsGroupNorm(layer), x), strict=True):
        assert torch.allclose(want, got, atol=1e-5)
    want = layer(x)
    monkeypatch.setattr(layer, "forward", None)  # PyTorch's form is not called
    if x.numel() > LARGE and layout == torch.channels_last:
        out = SumsGroupNorm(layer)(x)
        assert torch.allclose(out, want, atol=1e-5) and out.is_contiguous(memory_format=layout)
    else:
        with pytest.raises(TypeError):
            SumsGroupNorm(layer)(x)


def test_a_group_norm_of_equal_numbers_is_finite():
    layer = nn.GroupNorm(32, 64, eps=1e-6).requires_grad_(False)
    x = torch.full((4, 64, 16, 16), 1000.1).contiguous(memory_format=torch.channels_last)
    assert SumsGroupNorm(layer)(x).isfinite().all()


@PACKS
def test_the_unet_computes_the_same_and_shares_its_parameters(sd):
    kinds = [type(m) for m in sd.unet.modules()]
    own = for_cpu(sd.unet, fast_plan(torch.device("cpu")))
    assert {id(p) for p in own.parameters()} == {id(p) for p in sd.unet.parameters()}
    assert [type(m) for m in sd.unet.modules()] == kinds  # the user's UNet did not change
    assert sum(isinstance(m, Packed) for m in own.modules()) > 150
    z = torch.randn(3, 4, 16, 12, generator=torch.Generator().manual_seed(0))
    found = []
    for unet in (sd.unet, own):
        ctx = sd.encode_text(["a man", "a cat with a crown", ""]).clone().requires_grad_()
        record = Record()
        eps = unet(z, torch.tensor([1, 500, 981]), ctx, tap=record)
        found.append((eps, *torch.autograd.grad(eps.sin().sum(), ctx), *record.maps.values()))
    for want, got in zip(*found, strict=True):
        assert torch.allclose(want, got, atol=1e-4 * float(want.detach().abs().max()))


def test_weights_that_cannot_be_packed(sd):
    half = minisd.load("tiny", device="cpu", dtype=torch.bfloat16)
    everything = replace(fast_plan(torch.device("cpu")), sliced=False)
    assert not can_pack(half.unet.conv_in.weight) and for_cpu(half.unet, everything) is half.unet
    assert for_cpu(sd.unet, Plan()) is sd.unet
    prompts = [encode(half, "a man", ["man"])]
    start = from_noise(prompts, half.noise([0], 64, 64))
    steps = Fast(half).two_branches(prompts, start, suppress.SuppressEOT(steps=2, start=1))
    assert all(z.isfinite().all() for branches in steps for z in branches)
    for name in CPU_TECHNIQUES:
        if name != "sliced":
            with pytest.raises(minisd.UserError, match=f"{name}=True, compile=…: expected one of them"):
                Plan(compile="inductor", **{name: True})


@PACKS
def test_weights_are_packed_for_the_number_of_threads():
    """The layout depends on it; a weight in another layout is packed again at every call."""
    layer = PackedLinear(nn.Linear(512, 512))
    x = torch.randn(256, 512)
    try:
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            layer(x)
    finally:
        torch.set_num_threads(1)
    assert sorted(threads for _, _, threads in layer._packs) == [1, 2]

"""What `minisd.load` returns from both layouts: complete modules with the requested dtype and device."""

import pytest
import torch
from checkpoints import modules, outputs, tiny_compvis, tiny_config, tiny_folder, write

import minisd
from minisd import UserError
from minisd.loading import checkpoint
from minisd.pipeline import StableDiffusion

DTYPES = [torch.float32, torch.float16, torch.bfloat16]


@pytest.fixture(scope="module", params=["folder", "safetensors", "ckpt"])
def path(request, tmp_path_factory):
    """The embedded model in each layout."""
    to = tmp_path_factory.mktemp("layouts")
    if request.param == "folder":
        yield tiny_folder(to / "model")
        return
    with pytest.MonkeyPatch.context() as patch:  # a single file must have SD v1.4's sizes
        patch.setattr(checkpoint, "SD14", tiny_config())
        yield write(to / f"model.{request.param}", tiny_compvis())


@pytest.fixture(scope="module", params=DTYPES, ids=str)
def loaded(request, path):
    return minisd.load(path, device="cpu", dtype=request.param), request.param


def test_every_tensor_is_real(loaded):
    model, dtype = loaded
    assert isinstance(model, StableDiffusion) and model.dtype == dtype
    assert model.device == torch.device("cpu")
    for part, module in modules(model).items():
        tensors = [*module.named_parameters(), *module.named_buffers()]
        assert len(tensors) >= 68
        for name, tensor in tensors:
            assert tensor.device == torch.device("cpu"), f"{part}.{name}"
            assert not tensor.requires_grad and tensor.is_leaf
            assert tensor.dtype == dtype and torch.isfinite(tensor).all()


def test_every_module_is_for_inference(loaded):
    model, _dtype = loaded
    for module in modules(model).values():
        assert not any(m.training for m in module.modules())


def test_it_computes(loaded, sd):
    """Also in half precision, where the result is close to that of float32."""
    model, dtype = loaded
    expected = outputs(sd)
    tolerance = {torch.float32: 1e-5, torch.float16: 0.01, torch.bfloat16: 0.08}[dtype]
    for name, tensor in outputs(model).items():
        error = (tensor.float() - expected[name]).norm() / expected[name].norm()
        assert error < tolerance, f"{name} is off by {error:.4f}"


def test_float64(sd):
    exact = minisd.load("tiny", device="cpu", dtype=torch.float64)
    assert exact.unet.conv_in.weight.dtype == torch.float64
    for name, tensor in outputs(exact).items():
        torch.testing.assert_close(tensor.float(), outputs(sd)[name], rtol=1e-3, atol=1e-3)


def test_loads_do_not_share_weights(sd):
    """Otherwise a method that trains one model would change the other."""
    again = minisd.load("tiny", device="cpu")
    for part, module in modules(again).items():
        theirs = {t.data_ptr() for t in modules(sd)[part].state_dict().values()}
        assert theirs.isdisjoint(t.data_ptr() for t in module.state_dict().values())


def test_default_dtype_and_grad_mode_do_not_matter(sd):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            again = minisd.load("tiny", device="cpu")
    finally:
        torch.set_default_dtype(before)
    assert {t.dtype for module in modules(again).values() for t in module.parameters()} == {torch.float32}
    for name, weight in sd.unet.named_parameters():
        assert torch.equal(again.unet.get_parameter(name), weight)


NO_DTYPES = [torch.int32, torch.int8, torch.bool, torch.complex64, torch.float8_e4m3fn, "float16", 16, float, [1]]


@pytest.mark.parametrize("dtype", NO_DTYPES, ids=str)
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(UserError) as caught:
        minisd.load("tiny", device="cpu", dtype=dtype)
    assert f"dtype = {dtype!r}" in str(caught.value)
    assert all(str(d) in str(caught.value) for d in DTYPES)


@pytest.mark.parametrize("device", ["nonsense", "", "cpu:x", 3.5, "cuda:1000", "vulkan", 99999, "meta"])
def test_other_devices_are_refused(device):
    with pytest.raises(UserError) as caught:
        minisd.load("tiny", device=device)
    assert f"device {device!r}" in str(caught.value) and "There is " in str(caught.value)
    assert str(caught.value).endswith("cpu")


def test_device_by_any_name():
    for device in ("cpu", torch.device("cpu"), "cpu:0"):
        assert minisd.load("tiny", device=device).device.type == "cpu"


def test_default_device(monkeypatch):
    """First cuda, then mps, then cpu."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert checkpoint._check_device(None) == torch.device("cpu")
    asked = []
    monkeypatch.setattr(torch, "empty", lambda *size, device: asked.append(device.type))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    checkpoint._check_device(None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    checkpoint._check_device(None)
    assert asked == ["mps", "cuda"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_on_a_gpu(path, dtype):
    model = minisd.load(path, device="cuda", dtype=dtype)
    for module in modules(model).values():
        assert {t.device.type for t in (*module.parameters(), *module.buffers())} == {"cuda"}
    assert all(torch.isfinite(t).all() for t in outputs(model).values())


def test_loading_is_quiet(capfd):
    """No progress bar and no messages of libraries in the caller's terminal."""
    minisd.load("tiny", device="cpu")
    assert capfd.readouterr() == ("", "")

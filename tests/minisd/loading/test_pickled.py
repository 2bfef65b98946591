"""Pickled checkpoints: the tensors in old files are read, and no code in them is run."""

import builtins
import collections
import os
import pickle
import struct
import sys
import tracemalloc
import types
import zipfile

import numpy as np
import pytest
import torch
from checkpoints import lightning, training_state

from minisd import CheckpointError
from minisd.loading.weight_files import PickleFile, open_weights

pytestmark = pytest.mark.quick

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.bias": torch.ones(4, dtype=torch.float16)}
both_formats = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])


def save(file, content, zipped=True):
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file


def loads(file, expected=STATE):
    weights = PickleFile(file)
    tensors = weights.read(weights.shapes, torch.float32, torch.device("cpu"))
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[k], expected[k].float()) for k in expected)


def refused(file, *words):
    with pytest.raises(CheckpointError) as caught:
        open_weights(file)
    for word in (file, *words):
        assert str(word) in str(caught.value)


# ---------------------------------------------------------------- what old files hold


@both_formats
def test_state_dict(tmp_path, zipped):
    loads(save(tmp_path / "m.ckpt", STATE, zipped))
    loads(save(tmp_path / "m.ckpt", collections.OrderedDict(STATE), zipped))
    loads(save(tmp_path / "m.ckpt", {"state_dict": STATE, "global_step": 4}, zipped))


@both_formats
def test_a_trainers_file(tmp_path, zipped):
    """Classes as keys, objects with state and numpy scalars, as in the public v1-4 and v1-5 files."""
    file = tmp_path / "m.ckpt"
    with lightning():
        save(file, training_state(STATE), zipped)
    assert "pytorch_lightning" not in sys.modules
    loads(file)
    assert "pytorch_lightning" not in sys.modules


@both_formats
def test_stand_ins_run_nothing(tmp_path, zipped):
    """Even if pytorch_lightning is installed, its classes are not called."""
    called = []
    file = tmp_path / "m.ckpt"
    with lightning() as kind:
        save(file, training_state(STATE), zipped)
        for name in ("__new__", "__init__", "__setstate__"):
            setattr(kind, name, lambda *args: called.append(args))
        loads(file)
    assert called == []


def test_hyperparameters_of_the_trainer(tmp_path):
    """AttributeDict is a dict that is pickled by its items."""
    module = types.ModuleType("pytorch_lightning.utilities.parsing")
    kind = module.AttributeDict = type("AttributeDict", (dict,), {"__module__": module.__name__})
    sys.modules |= {"pytorch_lightning": module, "pytorch_lightning.utilities": module, module.__name__: module}
    try:
        file = save(tmp_path / "m.ckpt", {"state_dict": STATE, "hyper_parameters": kind(lr=1e-4, size=64)})
    finally:
        for name in ("pytorch_lightning", "pytorch_lightning.utilities", module.__name__):
            del sys.modules[name]
    loads(file)


@both_formats
@pytest.mark.parametrize("core", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numpy_scalars_of_either_module_name(tmp_path, monkeypatch, core, zipped):
    """numpy 2 moved `scalar` to numpy._core. A file has the name of the numpy that wrote it."""
    scalar = np.float64(0).__reduce__()[0]
    module = types.ModuleType(core)
    module.scalar = scalar
    monkeypatch.setitem(sys.modules, core, module)
    monkeypatch.setattr(scalar, "__module__", core, raising=False)
    file = tmp_path / "m.ckpt"
    numbers = [np.float64(0.5), np.float32(2), np.int64(3), np.float16(1)]
    try:
        save(file, {"state_dict": STATE, "loss": numbers}, zipped)
    except (AttributeError, TypeError, pickle.PicklingError):
        pytest.fail("this numpy's scalars cannot be pickled under another name")
    assert core.encode() in file.read_bytes()
    monkeypatch.undo()
    loads(file)


def test_parameters_and_shared_storage(tmp_path):
    weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    state = {"a": weight, "tied": weight, "half": weight.data.flatten()[2:4]}
    found = PickleFile(save(tmp_path / "m.bin", state)).read(state, torch.float32, torch.device("cpu"))
    assert all(torch.equal(found[k], state[k]) for k in state)
    assert len({t.untyped_storage().data_ptr() for t in found.values()}) == 3


@both_formats
def test_headers_and_conversion(tmp_path, zipped):
    state = STATE | {"ids": torch.arange(3), "b": torch.ones(2, dtype=torch.bfloat16), "i8": torch.ones(2).char()}
    weights = PickleFile(save(tmp_path / "m.bin", state, zipped))
    assert {k: (h.shape, h.dtype) for k, h in weights.shapes.items()} == {
        "a.weight": ((2, 3), "F32"),
        "b.bias": ((4,), "F16"),
        "ids": ((3,), "INT64"),
        "b": ((2,), "BF16"),
        "i8": ((2,), "INT8"),
    }
    found = weights.read(["b.bias", "ids"], torch.float64, torch.device("cpu"))
    assert found["b.bias"].dtype == torch.float64 and torch.equal(found["ids"], torch.arange(3))


@both_formats
def test_only_what_is_asked_for_is_read(tmp_path, zipped):
    """Only the requested tensors are read, and of a large storage only the part that a tensor uses."""
    base = torch.arange(3_000_000.0)
    state = {"part": base[10:14].view(2, 2).T, "other": torch.ones(1_000_000)}
    weights = PickleFile(save(tmp_path / "m.bin", state, zipped))
    tracemalloc.start()
    found = weights.read(["part"], torch.float32, torch.device("cpu"))["part"]
    assert torch.equal(found, state["part"]) and found.untyped_storage().nbytes() == 16
    assert tracemalloc.get_traced_memory()[1] < 500_000
    tracemalloc.stop()


def test_a_column_keeps_no_more_than_its_own_numbers(tmp_path):
    state = {"column": torch.arange(3000.0).view(100, 30)[:, 3]}
    found = PickleFile(save(tmp_path / "m.bin", state)).read(state, torch.float32, torch.device("cpu"))["column"]
    assert torch.equal(found, state["column"]) and found.untyped_storage().nbytes() == 400


@both_formats
def test_numbers_are_those_of_torch_load(tmp_path, zipped):
    """Views, shared and empty storages, odd strides, a single number, parameters, attributes, newer dtypes."""
    base = torch.randn(6, 8, generator=torch.Generator().manual_seed(3))
    with_attribute = torch.ones(3)
    with_attribute.note = "kept by torch.save"
    state = collections.OrderedDict(
        whole=base,
        column=base[:, 3],
        steps=base[1::2, ::3],
        turned=base.T,
        last=base[5, 7],
        none=torch.ones(0, 4),
        parameter=torch.nn.Parameter(base[2]),
        attribute=with_attribute,
        channels_last=torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        double=torch.tensor([0.1], dtype=torch.float64),
    )
    if zipped:  # torch cannot read newer dtypes from the older layout
        state["eight"] = torch.tensor([0.5, -2.0]).to(torch.float8_e4m3fn)
    file = save(tmp_path / "m.bin", state, zipped)
    expected = torch.load(file, weights_only=True)
    found = PickleFile(file).read(state, torch.float64, torch.device("cpu"))
    assert all(torch.equal(found[k], expected[k].double()) for k in state)


def test_numbers_of_a_machine_with_the_other_byte_order(tmp_path):
    file = save(tmp_path / "m.bin", STATE | {"d": torch.randn(3, dtype=torch.float64)})
    other = tmp_path / "other.bin"
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("byteorder"):
                content = {b"little": b"big", b"big": b"little"}[content]
            new.writestr(name, content)
    expected = torch.load(other, weights_only=True)
    assert not torch.equal(expected["d"], torch.load(file, weights_only=True)["d"])
    found = PickleFile(other).read(expected, torch.float64, torch.device("cpu"))
    assert all(torch.equal(found[k], expected[k].double()) for k in expected)


# ---------------------------------------------------------------- what a pickle would run


class Runs:
    """An object whose pickle calls `function`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@both_formats
@pytest.mark.parametrize(
    "function, name",
    [
        (os.system, "system"),
        (builtins.eval, "builtin"),
        (builtins.exec, "builtin"),
        (torch.hub.load, "torch.hub.load"),
        (np.load, "numpy"),
    ],
)
def test_a_call_is_refused_by_name_and_not_made(tmp_path, zipped, function, name):
    """If the call were made, there would be a new file."""
    trace = tmp_path / "trace"
    command = f"touch {trace}" if function is os.system else f"open({str(trace)!r}, 'w')"
    file = save(tmp_path / "m.ckpt", {"state_dict": STATE, "x": Runs(function, command)}, zipped)
    refused(file, name, "not opened", ".safetensors")
    assert not trace.exists()


def test_the_call_would_be_made_by_plain_unpickling(tmp_path):
    """This shows that the test above can fail."""
    trace = tmp_path / "trace"
    pickle.loads(pickle.dumps(Runs(builtins.exec, f"open({str(trace)!r}, 'w')")))
    assert trace.exists()


@both_formats
def test_a_class_of_someone_elses_is_refused(tmp_path, zipped):
    module = types.ModuleType("evil_trainer")
    kind = module.State = type("State", (), {"__module__": "evil_trainer"})
    sys.modules["evil_trainer"] = module
    try:
        file = save(tmp_path / "m.ckpt", STATE | {"state": kind()}, zipped)
    finally:
        del sys.modules["evil_trainer"]
    refused(file, "evil_trainer.State")


@pytest.mark.parametrize("module", ["pytorch_lightning_evil", "pytorch_lightningx.y", "evil.pytorch_lightning"])
def test_only_the_trainers_own_modules_have_stand_ins(tmp_path, module):
    file = tmp_path / "m.ckpt"
    content = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01c" + module.encode() + b"\nThing\nq\x02)Rq\x03u."
    archive(file, content)
    refused(file, f"{module}.Thing")


@pytest.mark.parametrize(
    "content, name",
    [
        (b"\x80\x04U\x05posixU\x06system\x93U\x04true\x85R.", "STACK_GLOBAL"),
        (b"(U\x04trueios\nsystem\n.", "INST"),
        (b"\x80\x02(cos\nOrderedDict\nU\x04trueo.".replace(b"cos", b"ccollections"), "OBJ"),
    ],
)
def test_other_ways_to_name_a_callable(tmp_path, content, name):
    archive(tmp_path / "m.ckpt", content)
    refused(tmp_path / "m.ckpt", name, "not opened")


def archive(file, content):
    """A zip as torch.save writes it, with this pickle."""
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("m/data.pkl", content)
        out.writestr("m/version", "3\n")


# ---------------------------------------------------------------- damage


@both_formats
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_truncated(tmp_path, zipped, kept):
    file = save(tmp_path / "m.ckpt", {"state_dict": {"w": torch.randn(300, 300)}}, zipped)
    size = int(file.stat().st_size * kept)
    os.truncate(file, size)
    refused(file, f"{size:,} bytes", "its end is missing" if zipped else "ends early or is damaged")


def test_no_pickle_at_all(tmp_path):
    file = tmp_path / "m.ckpt"
    file.write_bytes(b"\x00" * 1000)
    refused(file, "1,000 bytes")
    file.write_bytes(struct.pack("<Q", 2) + b"{}" + b"\x01" * 99)
    refused(file, "109")


def test_a_zip_of_something_else(tmp_path):
    file = tmp_path / "m.ckpt"
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("readme.txt", "hello")
    refused(file)


@both_formats
@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"state_dict": {}}, torch.ones(2), "text", {3: torch.ones(1)}])
def test_no_state_dict(tmp_path, zipped, content):
    refused(save(tmp_path / "m.ckpt", content, zipped), "no state dict")

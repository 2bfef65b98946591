"""Pickled checkpoints that were packed again, or made to do harm: right numbers or a clear error.

Nothing in a file is run, and no memory is taken before the shapes are checked.
"""

import pickle
import struct
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest
import torch
from checkpoints import modules, put, tiny_folder, tiny_tensors

import minisd
from minisd import CheckpointError
from minisd.loading.source import PARTS
from minisd.loading.weight_files import open_weights

CPU = torch.device("cpu")
STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.bias": torch.ones(4, dtype=torch.float16)}
both_formats = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])


def save(file, content, zipped=True):
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file


def read_all(path):
    weights = open_weights(path)
    return weights.read(weights.shapes, torch.float32, CPU)


def loads(file, expected=STATE):
    tensors = read_all(file)
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[k], expected[k].float()) for k in expected)


def refused(path, *words):
    with pytest.raises(CheckpointError) as caught:
        read_all(path)
    for word in (path, *words):
        assert str(word) in str(caught.value)


def pack_again(file):
    """Packs the records of a file again, deflated, as an archiver does. The largest stay unpacked, to save time."""
    with zipfile.ZipFile(file) as old:
        content = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(file, "w") as new:
        for name, entry in content.items():
            new.writestr(name, entry, zipfile.ZIP_DEFLATED if len(entry) < 100_000 else zipfile.ZIP_STORED)


# ---------------------------------------------------------------- packed by another program


def test_a_checkpoint_that_was_unpacked_and_packed_again(tmp_path, sd):
    """The records in the file are compressed. Mapping them would give other numbers."""
    folder = tiny_folder(tmp_path / "model")
    for part, stem in PARTS.items():
        stem = "pytorch_model" if part == "text_encoder" else stem
        pack_again(put(folder / part / f"{stem}.bin", tiny_tensors(part)))
    found = modules(minisd.load(folder, device="cpu"))
    for part, module in modules(sd).items():
        weights = found[part].state_dict()
        assert [k for k, v in module.state_dict().items() if not torch.equal(v, weights[k])] == [], part


def test_packed_without_the_folder_around_it(tmp_path):
    file = save(tmp_path / "m.bin", STATE)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "new.bin", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name.partition("/")[2], old.read(name))
    loads(tmp_path / "new.bin")


def test_a_packed_record_that_several_tensors_share_is_unpacked_once(tmp_path, monkeypatch):
    base = torch.arange(1000.0)
    state = {str(k): base[k : k + 5] for k in range(200)}
    pack_again(save(tmp_path / "m.bin", state))
    weights, unpacked = open_weights(tmp_path / "m.bin"), []
    read = zipfile.ZipFile.read
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda self, entry: unpacked.append(entry) or read(self, entry))
    found = weights.read(state, torch.float32, CPU)
    assert all(torch.equal(found[k], state[k]) for k in state) and len(unpacked) == 1


@pytest.mark.parametrize("damage", ["two names", "two pickles", "bzip2"])
def test_archives_that_can_be_read_in_two_ways_are_refused(tmp_path, damage):
    file = save(tmp_path / "m.bin", STATE)
    with zipfile.ZipFile(file) as old:
        content = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_BZIP2 if damage == "bzip2" else zipfile.ZIP_STORED) as new:
        for name, entry in content.items():
            new.writestr(name, entry)
        if damage == "two names":
            with pytest.warns(UserWarning, match="Duplicate name"):
                new.writestr("m/data/0", bytes(24))
        if damage == "two pickles":
            new.writestr("x/data.pkl", b"\x80\x02}.")
    refused(file, "archive")


# ---------------------------------------------------------------- numbers of numpy


def numpy_state():
    return {
        "state_dict": dict(STATE),
        "losses": np.linspace(0, 1, 50),
        "counts": np.arange(6).reshape(2, 3),
        "best": [np.float32(0.5), np.int64(3), np.bool_(True), np.complex64(1j)],
        "kinds": [np.dtype("f4"), np.dtype([("x", "i4"), ("y", "O")])],
        "random": np.random.RandomState(0).get_state(),
        "objects": np.array([{"a": 1}, None], dtype=object),
        "names": {"a", "b"},
    }


@both_formats
@pytest.mark.parametrize("core", [b"numpy.core.", b"numpy._core."])
def test_numpy_in_the_training_state(tmp_path, zipped, core):
    """Arrays, numbers and dtypes are ignored, under both names of numpy's module."""
    file = save(tmp_path / "m.ckpt", numpy_state(), zipped)

    def renamed(content):
        return content.replace(b"numpy._core.", core).replace(b"numpy.core.", core)

    if zipped:
        with zipfile.ZipFile(file) as old:
            content = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(file, "w") as new:
            for name, entry in content.items():
                new.writestr(name, renamed(entry) if name.endswith("data.pkl") else entry)
    else:
        file.write_bytes(renamed(file.read_bytes()))
    assert core in file.read_bytes()
    loads(file)


def raw_archive(file, content):
    """A zip as torch.save writes it, with this pickle and one storage of four float32."""
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("m/data.pkl", content)
        out.writestr("m/data/0", struct.pack("<4f", 1, 2, 3, 4))


def tensor(shape=(4,), stride=(1,), offset=0, key="0", rebuild="_rebuild_tensor_v2", kind="FloatStorage"):
    """The instructions that make a tensor."""
    storage = b"(U\x07storagectorch\n" + kind.encode() + b"\n" + text(key) + b"U\x03cpuK\x04tQ"
    rest = b"\x89ccollections\nOrderedDict\n)Rt"
    return (
        b"ctorch._utils\n"
        + rebuild.encode()
        + b"\n("
        + storage
        + plain(offset)
        + plain(tuple(shape))
        + plain(tuple(stride))
        + rest
        + b"R"
    )


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def plain(value):
    """The instructions for a value of Python itself."""
    return pickle.dumps(value, 2)[2:-1]


def state_dict(**entries):
    return b"\x80\x02}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u."


_NUMPY = "numpy._core.multiarray" if np.__version__ >= "2" else "numpy.core.multiarray"
_ARRAY = f"c{_NUMPY}\n_reconstruct\ncnumpy\nndarray\n".encode() + b"K\x00\x85U\x01b\x87R"
_DTYPE = b"cnumpy\ndtype\nU\x02%s\x89\x88\x87R"
_STATES = [
    (3, "<", None, None, None, -1, -1, 0),
    (3, "|", None, ("x",), {"x": (None, 10**9)}, 2**31 - 1, 1, 63),
    (4, "|", (1, 2), None, None, -(2**31), -1, 0, None),
    (1, (2**40,), 0, False, b"ab"),
    (1, (-1, 3), None, True, [1, 2]),
    (),
    0,
    None,
    {"__class__": int, "__dict__": 1},
]


def test_crafted_states_run_nothing_of_numpy(tmp_path):
    """States that make numpy's classes read any memory, and a key that is nested too deeply to be hashed.

    They run in another process: if one kills the interpreter, only this test fails.
    """
    crafted = [
        start + (plain(state) if state != _STATES[-1] else b"}(" + text("__class__") + b"K\x01u") + b"b"
        for start in (_ARRAY, *(_DTYPE % code for code in (b"f8", b"O8", b"V8", b"M8", b"S9")))
        for state in _STATES
    ]
    crafted.append(f"c{_NUMPY}\nscalar\n".encode() + _DTYPE % b"O8" + b"U\x08AAAAAAAA\x86R")
    crafted.append(b"})" + b"\x85" * 200_000 + b"K\x01s")  # {((((…),),),): 1}
    for count, value in enumerate(crafted):
        raw_archive(tmp_path / f"{count}.ckpt", state_dict(t=tensor(), x=value))
    code = f"""
        import sys, torch
        from pathlib import Path
        from minisd.loading.weight_files import open_weights
        for n in range({len(crafted)}):
            weights = open_weights(Path(sys.argv[1]) / f"{{n}}.ckpt")
            assert weights.read(["t"], torch.float32, torch.device("cpu"))["t"].tolist() == [1, 2, 3, 4], n
        print("all", n + 1)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert run.stdout == f"all {len(crafted)}\n", (run.returncode, run.stderr)


# ---------------------------------------------------------------- tensors of other kinds


# name -> (the tensor, a word of the error): tensors that torch.save accepts and that are not plain numbers
ODD = {
    "meta": (lambda: torch.ones(4, device="meta"), "meta"),
    "quantised": (lambda: torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8), "qtensor"),
    "sparse": (lambda: torch.ones(4).to_sparse(), "sparse"),
    "sparse rows": (lambda: torch.ones(2, 2).to_sparse_csr(), "sparse"),
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "nested"),
    "expanded": (lambda: torch.ones(1).expand(10**6, 10**6), "several times"),
    "negative": (lambda: torch.ones(4, dtype=torch.complex64).conj().imag, "negative"),
    "integers": (lambda: torch.ones(4, dtype=torch.int8), "INT8"),
    "complex": (lambda: torch.ones(4, dtype=torch.complex64), "COMPLEX64"),
    "float4": (lambda: torch.ones(4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2), "FLOAT4"),
}
quiet = pytest.mark.filterwarnings(
    "ignore:The PyTorch API of nested", "ignore:Sparse CSR tensor", "ignore:torch.quantize_per_tensor"
)


@quiet
@pytest.mark.parametrize("kind", ODD)
def test_weights_that_are_no_plain_numbers(tmp_path, kind):
    """The error names the tensor and its kind before anything is read."""
    make, word = ODD[kind]
    folder = tiny_folder(tmp_path / "model")
    name = "decoder.conv_in.weight"
    put(folder / "vae" / "diffusion_pytorch_model.bin", tiny_tensors("vae") | {name: make()})
    with pytest.raises(CheckpointError) as caught:
        minisd.load(folder, device="cpu")
    assert f"{name} of the kind" in str(caught.value) and word in str(caught.value)


@quiet
def test_odd_tensors_that_are_not_asked_for_do_not_matter(tmp_path):
    weights = open_weights(save(tmp_path / "m.bin", STATE | {kind: make() for kind, (make, _) in ODD.items()}))
    assert torch.equal(weights.read(["a.weight"], torch.float32, CPU)["a.weight"], STATE["a.weight"])
    with pytest.raises(CheckpointError, match="sparse rows is a sparse tensor"):
        weights.read(["sparse rows"], torch.float32, CPU)


@pytest.mark.parametrize(
    "crafted",
    [
        tensor(shape=(5,)),
        tensor(offset=1),
        tensor(offset=2**61),
        tensor(shape=(2, 2), stride=(4, 1)),
        tensor(shape=(10**6, 10**6), stride=(10**6, 1)),
        tensor(key="1"),
        tensor(kind="DoubleStorage"),
        tensor(shape=(-4,)),
        tensor(shape=(4.0,)),
        tensor(shape=(True,)),
        tensor(shape=(2**70,)),
        tensor(shape=("4",)),
        tensor(shape=(1,) * 100, stride=(1,) * 100),
        tensor(stride=(-1,)),
        tensor(stride=(1, 1)),
        tensor(offset=-1),
        tensor(kind="Storage"),
        tensor(rebuild="_rebuild_tensor_v3"),
        b"ctorch._utils\n_rebuild_tensor_v2\n)R",
        b"ctorch._utils\n_rebuild_parameter\n)R",
    ],
)
def test_tensors_that_reach_beyond_their_numbers(tmp_path, crafted):
    raw_archive(tmp_path / "m.bin", state_dict(good=tensor(), bad=crafted))
    refused(tmp_path / "m.bin", "damaged")


def test_a_number_shown_several_times_takes_no_memory(tmp_path):
    raw_archive(tmp_path / "m.bin", state_dict(good=tensor(), giant=tensor(shape=(10**6, 10**6), stride=(0, 0))))
    weights = open_weights(tmp_path / "m.bin")
    assert weights.read(["good"], torch.float32, CPU)["good"].tolist() == [1, 2, 3, 4]
    with pytest.raises(CheckpointError, match="giant is a tensor that shows the same numbers several times"):
        weights.read(["giant"], torch.float32, CPU)

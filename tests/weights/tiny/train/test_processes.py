"""Several processes: one per GPU in practice, two on the CPU here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import minisd
from minisd import UserError
from weights.tiny.train.processes import Processes, processes

ROOT = Path(__file__).parents[4]
CPU = torch.device("cpu")


def torchrun(*command):
    """The output of two processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *command], capture_output=True, text=True, env=env, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_processes_make_a_model(tmp_path):
    out = tmp_path / "model"
    options = ["--recipe", "micro", "--steps", "2", "--pictures", "16", "--device", "cpu", "--workers", "0"]
    shown = torchrun("-m", "weights.tiny.train", "--out", str(out), *options)
    assert shown.count("unet  finished 2") == 1  # only the first process writes
    assert minisd.load(out, device="cpu").generate("a man", steps=1)[0].size == (32, 32)


GRADIENT = """
import sys

import torch
from torch import nn
from weights.tiny.train.clip import contrastive
from weights.tiny.train.processes import processes

def loss(model, x, ids, gather=lambda y: y):
    a, b = model(x).chunk(2, dim=1)
    return contrastive(gather(a), gather(b), gather(ids), torch.tensor(3.0))

with processes("cpu") as these:
    torch.manual_seed(0)
    model, whole = nn.Linear(5, 8), torch.randn(6, 5)
    ids = torch.arange(6)[:, None].expand(6, 77).contiguous()
    expected = torch.autograd.grad(loss(model, whole, ids), model.weight)[0]
    mine = slice(these.rank * 3, these.rank * 3 + 3)
    shared = these.wrap(model)
    loss(shared, whole[mine], ids[mine], these.gather).backward()
    close = torch.allclose(model.weight.grad, expected, atol=1e-6)
    low, high = these.highest(float(these.rank == 0), these.rank + 5.0)
    told = "equal" if close and (low, high) == (1.0, 6.0) else (model.weight.grad, expected, low, high)
    sys.stdout.write(f"{told}\\n")  # in one piece: print writes the line break apart, and another process between
"""


def test_two_processes_have_the_gradient_of_one(tmp_path):
    """Of the contrastive loss, in which each picture is compared with the captions of both processes."""
    script = tmp_path / "gradient.py"
    script.write_text(GRADIENT)
    assert torchrun(str(script)).split() == ["equal", "equal"]


def test_one_process_does_nothing_special():
    one = Processes(CPU)
    x, model = torch.ones(2), torch.nn.Linear(1, 1)
    assert one.gather(x) is x and one.wrap(model) is model and one.highest(1.0, 2.0) == [1.0, 2.0]
    assert one.is_first and not Processes(CPU, 1, 2).is_first


def test_a_batch_that_cannot_be_divided():
    assert Processes(CPU, 0, 4).share(8) == 2
    with pytest.raises(UserError, match="a batch of 8 cannot be divided among 3 processes"):
        Processes(CPU, 0, 3).share(8)


def test_odd_devices(monkeypatch):
    with pytest.raises(UserError, match="--device mps: expected cpu or cuda"), processes("mps"):
        pass
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match="has no GPU, there are 0"), processes("cuda"):
        pass

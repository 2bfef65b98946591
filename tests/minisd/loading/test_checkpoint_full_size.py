"""SD v1.4 in full size, with random weights, in each layout: compared with diffusers, and the memory that it takes.

Only one layout at a time is on the disk (2 GB, in float16). tests/goldens/make_sd14.py made the goldens.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checkpoints import V1_4, as_compvis, lightning, training_state, write
from random_weights import fill, noise
from safetensors import safe_open

import minisd
from minisd import SD14
from minisd.loading import checkpoint
from minisd.loading.source import PARTS, data_folder

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parents[2] / "goldens" / "sd14.safetensors"


@pytest.fixture(scope="module")
def golden():
    with safe_open(GOLDEN, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()} | {"prompt": file.metadata()["prompt"]}


@pytest.fixture(scope="module")
def tensors():
    """part -> names of the diffusers files -> float16 weights."""
    parts = checkpoint.single_file_parts(SD14, NoWeights())
    shapes = {
        part: {
            ("text_model." if part == "text_encoder" else "") + key: tuple(tensor.shape)
            for key, tensor in parts[part].module.state_dict().items()
        }
        for part in PARTS
    }
    return {part: fill(shapes[part]) for part in PARTS}


class NoWeights:
    name, shapes = "", {}


@pytest.fixture(scope="module", params=["folder", "safetensors", "ckpt"])
def path(request, tensors, tmp_path_factory):
    to = tmp_path_factory.mktemp(request.param) / f"sd14.{request.param}"
    if request.param == "folder":
        write_folder(to, tensors)
    elif request.param == "safetensors":
        write(to, {k: t.contiguous() for k, t in as_compvis(SD14, tensors).items()})
    else:
        with lightning():
            torch.save(training_state(as_compvis(SD14, tensors)), to)
    yield to
    shutil.rmtree(to.parent)


def write_folder(to, tensors):
    """A folder like the hub's v1-4: its configs with few fields, CLIP's tokenizer."""
    for part, config in V1_4.items():
        (to / part).mkdir(parents=True)
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        (to / part / name).write_text(json.dumps(config))
    for part, stem in PARTS.items():
        write(to / part / f"{stem}.safetensors", tensors[part])
    (to / "tokenizer").mkdir()
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(data_folder() / "clip_tokenizer" / name, to / "tokenizer" / name)


@torch.no_grad()
def test_outputs_are_those_of_diffusers(path, golden):
    sd = minisd.load(path, device="cpu")
    assert torch.equal(sd.token_ids(golden["prompt"]), golden["text.input_ids"])
    ctx = noise("unet.ctx", (1, 77, 768))
    found = {
        "text.last_hidden_every4": sd.encode_text(golden["prompt"])[:, ::4],
        "unet.eps": torch.cat([sd.unet(golden["unet.z"], t, ctx) for t in golden["unet.t"].tolist()]),
        "vae.decoded": sd.vae.decode(golden["vae.z"]),
        "vae.latent": sd.vae.encode(golden["vae.x"]),
    }
    for name, tensor in found.items():
        error = float((tensor - golden[name]).norm() / golden[name].norm())
        assert tensor.shape == golden[name].shape
        assert error < 1e-4, f"{name} is off by {error:.1e}"


# VmHWM is the peak; getrusage's ru_maxrss is inherited from the parent process
LOAD = """
import re, sys, torch, minisd
def memory(field):
    return 1024 * int(re.search(field + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1])
minisd.load("tiny", device="cpu", dtype=torch.float16)   # every import is done
before = memory("VmRSS")
sd = minisd.load(sys.argv[1], device="cpu", dtype=torch.float16)
print(memory("VmHWM") - before)
print(sum(t.nbytes for m in (sd.unet, sd.vae, sd.text_encoder) for t in m.state_dict().values()))
"""


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def check_memory(path):
    """Loading takes the memory of the weights in the requested dtype and little more, for every size of the file."""
    done = subprocess.run([sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    taken, weights = map(int, done.stdout.split())
    print(f"{path.name}: {taken / 1e9:.2f} GB for {weights / 1e9:.2f} GB of weights")
    assert weights > 2.1e9
    assert taken < 1.3 * weights


@linux
def test_memory(path):
    check_memory(path)


@linux
def test_memory_of_a_float32_file_for_a_float16_model(tensors, tmp_path):
    """4.3 GB are read, but not held: only a window of the file is mapped at a time."""
    file = tmp_path / "sd14.safetensors"
    write(file, {k: t.float().contiguous() for k, t in as_compvis(SD14, tensors).items()})
    try:
        check_memory(file)
    finally:
        file.unlink()

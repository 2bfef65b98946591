"""Finding a checkpoint: paths, hub ids (in a cache made by the test), and names that are neither."""

import fnmatch
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import TINY, put, tiny_folder, tiny_tensors

import minisd
from minisd import CheckpointError, UserError
from minisd.loading import source
from minisd.loading.source import PARTS, Source, find

pytestmark = pytest.mark.quick

SHA = "0123456789abcdef0123456789abcdef01234567"


# ---------------------------------------------------------------- paths


def test_paths(tmp_path, monkeypatch):
    file = tmp_path / "model.ckpt"
    file.touch()
    assert find(str(file)) == Source(str(file), file) and not find(file).is_folder
    assert find(tmp_path).is_folder
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find("~/model.ckpt") == Source("~/model.ckpt", file)


def test_tiny_is_the_embedded_model_wherever_one_stands(tmp_path, monkeypatch):
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find("tiny").path == TINY and (TINY / "unet" / "config.json").is_file()
    assert find("./tiny").path == Path("tiny")


def test_a_folder_comes_before_a_hub_id_of_its_name(tmp_path, monkeypatch):
    (tmp_path / "org" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find("org/model").path == Path("org/model")


NO_PATHS = ["", " ", "tinny", "model.safetensors", "org/model.ckpt", "./org/model", "a/b/c", "/no/such", "org/mo del"]
NOT_EVEN_NAMES = ["a\0b", "x" * 5000, "~nobody-of-that-name/model", 3, None, b"tiny", ["tiny"]]


@pytest.mark.parametrize("nothing", NO_PATHS + NOT_EVEN_NAMES, ids=lambda v: repr(v)[:30])
def test_no_source_at_all(nothing):
    with pytest.raises(UserError) as caught:
        minisd.load(nothing, device="cpu")
    assert not isinstance(caught.value, CheckpointError)
    assert repr(nothing) in str(caught.value) and "Expected 'tiny'" in str(caught.value)


# ---------------------------------------------------------------- the hub's cache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub's cache after a download of one model, org/model: links from snapshots to blobs."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repo = tmp_path / "hub" / "models--org--model"
    tiny_folder(repo / "snapshots" / SHA)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(SHA)
    (repo / "refs" / "v2").write_text(SHA)
    return repo


def test_cached_model_loads_without_network(cache):
    """With the real hub library, in another process: it reads these variables when it is imported."""
    code = (
        "import minisd, torch\n"
        "sd = minisd.load('org/model', device='cpu')\n"
        "print(sd.name, sd.folder.name, sd.unet.conv_in.weight.double().sum().item())\n"
        "for args in ({'source': 'org/other'}, {'source': 'org/model', 'revision': 'v9'}):\n"
        "    try:\n"
        "        minisd.load(device='cpu', **args)\n"
        "    except minisd.CheckpointError as error:\n"
        "        print(error)\n"
    )
    env = os.environ | {"HF_HUB_CACHE": str(cache.parent), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    first, other, revision = done.stdout.splitlines()
    name, folder, total = first.split()
    assert (name, folder) == ("org/model", SHA)
    assert float(total) == pytest.approx(tiny_tensors("unet")["conv_in.weight"].double().sum().item())
    for message, repo in ((other, "org/other"), (revision, "org/model")):
        assert message.startswith(repo) and "HF_HUB_OFFLINE" in message and "local folder" in message


def test_looking_into_the_cache_advises_the_command_that_fills_it(cache):
    with pytest.raises(CheckpointError, match=r"^openai/nothing is not.* `minisd fetch openai/nothing`"):
        find("openai/nothing", download=False)


def test_revisions(cache):
    for revision in (None, "main", "v2", SHA):
        assert find("org/model", revision=revision, download=False).path == cache / "snapshots" / SHA
    with pytest.raises(CheckpointError, match="org/model"):
        find("org/model", revision="v9", download=False)


@pytest.mark.parametrize("name", ["org/..", "org/mo--del", "org/model.", "o/" + "x" * 200])
def test_a_name_that_the_hub_forbids(cache, name):
    with pytest.raises(CheckpointError) as caught:
        find(name, download=False)
    assert str(caught.value).startswith(name)


def test_weights_left_out_of_the_cache(cache):
    """After a download that was interrupted, the folder exists, and the error lists its files."""
    (cache / "snapshots" / SHA / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="vae has no weights"):
        minisd.load(find("org/model", download=False).path, device="cpu")


# ---------------------------------------------------------------- what is fetched


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub in a folder. It copies the requested files and records the requests. Returns (repository, fetched)."""
    import huggingface_hub

    repository, cache = tiny_folder(tmp_path / "repository"), tmp_path / "cache"
    (repository / "safety_checker").mkdir()
    for extra in ("safety_checker/config.json", "safety_checker/model.safetensors", "NOTES.md", "v1-4.ckpt"):
        (repository / extra).write_text("{}")
    fetched = []

    def snapshot_download(repo, *, revision, allow_patterns, local_files_only):
        assert (repo, revision, local_files_only) == ("org/model", "v1", False)
        for file in sorted(p for p in repository.rglob("*") if p.is_file()):
            name = file.relative_to(repository).as_posix()
            if any(fnmatch.fnmatch(name, p) for p in allow_patterns) and name not in fetched:
                fetched.append(name)
                (cache / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, cache / name)
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return repository, fetched


def weights_of(fetched):
    return sorted(name for name in fetched if name.endswith((".safetensors", ".bin", ".ckpt")))


def fetch(variant=None):
    return minisd.load("org/model", device="cpu", revision="v1", variant=variant)


def name(part, variant="", ending=".safetensors"):
    return f"{part}/{PARTS[part]}{variant}{ending}" if ending != ".bin" or part != "text_encoder" else BIN


BIN = "text_encoder/pytorch_model.bin"


def test_only_what_is_read_is_fetched(hub):
    repository, fetched = hub
    for part in PARTS:
        for other in (".fp16", ".non_ema"):
            (repository / name(part, other)).write_text("large")
        (repository / name(part, ending=".bin")).write_text("large")
    assert fetch().name == "org/model"
    assert weights_of(fetched) == sorted(name(part) for part in PARTS)
    assert not any(file.startswith(("safety_checker", "README")) for file in fetched)


def test_the_variant_is_fetched(hub, sd):
    repository, fetched = hub
    for part in PARTS:
        (repository / name(part)).rename(repository / name(part, ".fp16"))
        (repository / name(part)).write_text("large")
    again = fetch("fp16")
    assert weights_of(fetched) == sorted(name(part, ".fp16") for part in PARTS)
    assert (again.unet.conv_in.weight == sd.unet.conv_in.weight).all()


def test_plain_weights_for_the_parts_without_the_variant(hub, sd):
    """Like v1.5's non_ema, which only the UNet has. The UNet's plain weights are not downloaded."""
    repository, fetched = hub
    shutil.copy(TINY / name("unet"), repository / name("unet", ".non_ema"))
    put(repository / BIN, tiny_tensors("text_encoder"))
    again = fetch("non_ema")
    assert weights_of(fetched) == sorted([name("unet", ".non_ema"), name("vae"), BIN])
    assert (again.unet.conv_in.weight == sd.unet.conv_in.weight).all()


def test_a_variant_that_does_not_exist_fetches_no_weights(hub):
    _repository, fetched = hub
    with pytest.raises(CheckpointError, match="variant 'fp17'"):
        fetch("fp17")
    assert weights_of(fetched) == []


def test_bin_files_for_the_parts_that_have_nothing_else(hub):
    """Many repositories have a .safetensors UNet and a .bin text encoder."""
    repository, fetched = hub
    put(repository / BIN, tiny_tensors("text_encoder"))
    fetch()
    assert weights_of(fetched) == sorted([name("unet"), name("vae"), BIN])


def test_other_variants_in_safetensors_do_not_keep_the_bin_files_away(hub):
    repository, fetched = hub
    for part in PARTS:
        put(repository / name(part, ending=".bin"), tiny_tensors(part))
        shutil.copy(TINY / name(part), repository / name(part, ".fp16"))
    fetch()
    assert weights_of(fetched) == sorted(name(part, ending=".bin") for part in PARTS)


def test_shards_are_fetched(hub):
    repository, fetched = hub
    whole = repository / name("unet")
    shard, index = "diffusion_pytorch_model-00001-of-00001.safetensors", f"{whole.name}.index.json"
    whole.rename(whole.parent / shard)
    where = dict.fromkeys(tiny_tensors("unet"), shard)
    (whole.parent / index).write_text(json.dumps({"weight_map": where}))
    fetch()
    assert {f"unet/{shard}", f"unet/{index}"} <= set(fetched)


@pytest.mark.parametrize("error", [OSError("disk full"), RuntimeError("proxy refused\nmore"), ValueError("")])
def test_a_download_that_fails(monkeypatch, error):
    """For any class of error that the hub's HTTP client raises (the hub has changed its client twice)."""
    import huggingface_hub

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(CheckpointError) as caught:
        fetch()
    reason = str(error).split("\n")[0]
    assert f"{type(error).__name__}: {reason}. Check the name and the network" in str(caught.value)


# ---------------------------------------------------------------- names


def test_weight_names():
    assert source.weight_names("unet", "fp16", ".safetensors") == [
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model.safetensors.index.fp16.json",
        "diffusion_pytorch_model.fp16.safetensors.index.json",
        "diffusion_pytorch_model.fp16-*-of-*.safetensors",
    ]
    assert source.weight_names("text_encoder", None, ".bin")[:2] == [
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ]

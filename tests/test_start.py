"""What a start costs and sets: what an import brings in, and settings that PyTorch reads when it is imported."""

import os
import subprocess
import sys

import pytest

import minisd
import suppress


def python(code, **env):
    """Standard output of a new process."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))} | env
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["minisd", "suppress", "minisd.cli"])
def test_an_import_brings_in_no_torch(module):
    heavy = {"torch", "numpy", "PIL", "transformers", "tokenizers", "safetensors", "tqdm"}
    loaded = python(f"import sys, {module}; print(*sys.modules)").split()
    assert not heavy & set(loaded)


def test_the_names_of_methods_and_inversions_bring_in_no_torch():
    loaded = python("import sys, suppress; [*suppress.METHODS, *suppress.INVERSIONS]; print(*sys.modules)").split()
    assert "suppress.start.catalogue" in loaded and not {"torch", "numpy"} & set(loaded)


@pytest.mark.parametrize("command", ["", "analyse", "eval", "methods", "sheet"])
def test_help_brings_in_no_torch(command):
    code = f"""
import sys
from suppress.cli import main
try:
    main("{command} --help".split())
except SystemExit:
    print("loaded:", *sys.modules)
"""
    text, _, loaded = python(code).partition("loaded:")
    assert f"usage: suppress {command}".strip() in text
    assert not {"torch", "numpy", "PIL", "transformers", "matplotlib"} & set(loaded.split())


def test_help_of_the_recipe_brings_in_no_torch():
    code = """
import sys
from weights.tiny.train.__main__ import main
try:
    main(["--help"])
except SystemExit:
    print("loaded:", *sys.modules)
"""
    text, _, loaded = python(code).partition("loaded:")
    assert "usage: python -m weights.tiny.train" in text
    assert not {"torch", "numpy", "PIL"} & set(loaded.split())


def test_loading_and_drawing_bring_in_no_transformers():
    code = """
import sys, minisd, suppress
from suppress.metrics import ClipScore, Detector
sd = minisd.load("tiny", device="cpu")
result = suppress.run(sd, "a man without glasses", "glasses", settings=suppress.SuppressEOT(steps=1))
Detector.of(sd).scores([result.image]), ClipScore.of(sd)([result.image], "glasses")
print(*{name.split(".")[0] for name in sys.modules})
"""
    loaded = python(code, OMP_NUM_THREADS="1").split()
    heavy = {"transformers", "diffusers", "sympy", "huggingface_hub", "torchmetrics"}
    assert "torch" in loaded and not heavy & set(loaded)


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ({}, "PASSIVE 1000"),
        ({"GOMP_SPINCOUNT": "7"}, "PASSIVE 7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None"),
    ],
)
def test_idle_threads_sleep_unless_the_user_says_otherwise(given, want):
    """Set by the commands before torch is imported; a user's own setting wins."""
    code = """
import argparse, os, sys
from minisd.cli import options
def command(args):
    assert "torch" not in sys.modules
    print(os.environ["OMP_WAIT_POLICY"], os.environ.get("GOMP_SPINCOUNT"))
options.run("minisd", command, argparse.Namespace())
"""
    assert python(code, **given).strip() == want


def test_threads(sd, monkeypatch):
    import argparse

    import torch

    from minisd.cli import options

    counts = []
    monkeypatch.setattr(torch, "set_num_threads", counts.append)
    parser = argparse.ArgumentParser()
    options.add_model_options(parser)
    options.load_model(parser.parse_args(["--threads", "2", "--device", "cpu"]))
    options.load_model(parser.parse_args(["--device", "cpu"]))
    assert counts == [2]


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "", "99999999999999999999", "²"])
def test_odd_numbers_of_threads(text, capsys):
    from minisd.cli.commands import main

    with pytest.raises(SystemExit) as stop:
        main(["generate", "a man", "--threads", text])
    assert stop.value.code == 2
    assert "from 1 to 1024" in capsys.readouterr().err


@pytest.mark.parametrize("package", [minisd, suppress])
def test_every_public_name_is_there(package):
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        package.nonsense  # noqa: B018


def test_modules_are_found_by_their_names():
    """As they were when `import minisd` imported them all."""
    assert python("import minisd; print(minisd.picture.to_pil.__name__, minisd.ddim.step.__name__)") == "to_pil step\n"

"""What holds for the repository as a whole: what an import costs, what an installed wheel can do."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("minisd", "suppress", "bench", "weights")
SOURCES = [p for folder in FOLDERS for p in sorted((ROOT / folder).rglob("*.py"))]


def run_python(code: str, **kwargs) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sources_are_short_and_free_of_diffusers():
    assert len(SOURCES) > 15
    for path in SOURCES:
        text = path.read_text()
        assert len(text.splitlines()) <= 350, path
        assert not re.search(r"^\s*(from|import) diffusers", text, re.M), path


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel, installed into a folder of its own, outside the clone."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, cwd=folder)
    [wheel] = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder


def test_main_job_from_the_wheel(installed):
    env = os.environ | {"PYTHONPATH": str(installed / "site")}
    where = run_python("import minisd, suppress; print(minisd.__file__, suppress.__file__)", cwd=installed, env=env)
    assert where.count(str(installed / "site")) == 2
    job = [
        sys.executable,
        "-m",
        "suppress.cli",
        "a man without glasses",
        "--remove",
        "glasses",
        "--steps",
        "4",
    ]
    done = subprocess.run(job, capture_output=True, text=True, cwd=installed, env=env)
    assert done.returncode == 0, done.stderr
    assert "DetScore glasses" in done.stdout and (installed / "a-man-without-glasses-s0.png").is_file()


COMMANDS = [
    (["minisd", "generate", "a cat", "--steps", "2", "--out", "cat.png"], "cat.png"),
    (["minisd", "maps", "a cat", "--steps", "2", "--out", "maps.png"], "maps.png"),
    (["minisd", "info", "tiny"], "Stable Diffusion v1.x, folder"),
    (["minisd", "fetch"], "CompVis/stable-diffusion-v1-4"),
    (["suppress", "a man without glasses", "--steps", "2", "--out", "man.png"], "DetScore glasses"),
    (["suppress", "methods"], "suppress-eot"),
]


@pytest.mark.parametrize(("command", "shown"), COMMANDS, ids=lambda v: " ".join(v[:2]) if isinstance(v, list) else "")
def test_commands_from_the_wheel(installed, command, shown):
    """By the scripts that pip installs, in a folder outside the clone."""
    env = os.environ | {"PYTHONPATH": str(installed / "site")}
    script = installed / "site" / "bin" / command[0]
    done = subprocess.run([script, *command[1:]], capture_output=True, text=True, cwd=installed, env=env)
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout
    for out in (name for name in command if name.endswith(".png")):
        assert (installed / out).is_file()


def test_the_wheel_carries_the_weights_under_the_package(installed):
    site = installed / "site"
    assert {p.name for p in site.iterdir() if p.suffix != ".dist-info"} == {"bin", "minisd", "suppress"}
    weights = site / "minisd" / "weights"
    parts = {p.name for p in (ROOT / "weights" / "tiny").iterdir()}
    assert {p.name for p in (weights / "tiny").iterdir()} == parts - {"train"}  # the recipe needs a clone
    names = {"tiny/unet/config.json", "tiny/defaults.json", "clip_tokenizer/README.md", "manifest.json"}
    assert all((weights / name).is_file() for name in names)
    assert "Copyright (c) 2021 OpenAI" in (weights / "clip_tokenizer" / "README.md").read_text()

"""`python -m weights.tiny.train`."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import minisd
from weights.tiny.train import run
from weights.tiny.train.__main__ import main

ROOT = Path(__file__).parents[4]


def test_the_command_makes_a_model_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["--recipe", "micro", "--steps", "1", "--pictures", "8", "--device", "cpu", "--workers", "0"]
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(command) == 0
        assert main(["--recipe", "micro", "--resume", "--device", "cpu"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().out.splitlines()[-1] == "trained-micro"
    minisd.load("trained-micro", device="cpu")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--steps", "vea=3"], "there is no stage 'vea'"),
        (["--out", "."], "exists; give another name, or --resume"),
        (["--resume"], "trained-tiny holds no run to go on with"),
        (["--workers", "-1"], "workers = -1; expected a whole number"),
        (["--device", "mps"], "--device mps: expected cpu or cuda"),
        (["--seed", "-1"], "seed -1"),
        (["--out", "x" * 300], "no file can have this name"),
    ],
)
def test_mistakes_are_told_in_a_line(options, error, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(options) == 2
    finally:
        signal.signal(signal.SIGTERM, before)
    shown = capsys.readouterr().err
    assert error in shown and len(shown.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_kill_between_two_stages(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "train", lambda *_args: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(1))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["--out", str(tmp_path / "model"), "--device", "cpu"]) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "go on with --resume; finished stages are kept" in capsys.readouterr().err


def test_kill_keeps_what_is_done(tmp_path):
    """A signal to the process, as a user sends it: the run ends with a line, and goes on later."""
    command = [sys.executable, "-m", "weights.tiny.train", "--recipe", "micro", "--out", str(tmp_path / "model")]
    options = ["--steps", "clip=100000", "--device", "cpu", "--workers", "1"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=tmp_path
    )
    log = tmp_path / "model" / "training" / "log.jsonl"
    while not (log.is_file() and '"step": 4' in log.read_text()):
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.05)
    running.terminate()
    _, shown = running.communicate()
    assert running.returncode == 130 and " kept; go on with --resume" in shown and "Traceback" not in shown
    assert {p.name for p in log.parent.iterdir()} >= {"clip.checkpoint.pt", "run.json"}
    assert not (log.parent / "drawings").exists()

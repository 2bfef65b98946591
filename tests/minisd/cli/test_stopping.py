"""Ctrl-C while pictures are drawn: what is drawn by then is kept."""

import os
import signal
import threading

import numpy as np
import pytest
from PIL import Image

from minisd.cli import generate as generate_command
from minisd.cli import options, parameters
from minisd.cli.commands import main
from minisd.cli.stopping import Stopping

DRAW = ["generate", "a man", "--steps", "3", "--size", "64x64"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "load_model", lambda args: small)
    monkeypatch.setattr(generate_command, "BATCH", 2)


def press(monkeypatch, *at):
    """Presses Ctrl-C before these steps, counted over all batches from 0."""
    count = iter(range(100))

    def wrap(steps, total):
        for z in steps:
            if next(count) in at:
                os.kill(os.getpid(), signal.SIGINT)
            yield z

    monkeypatch.setattr(options, "progress_bar", lambda label: wrap)


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_the_step_at_work_is_finished_and_kept(small, tmp_path, monkeypatch, capsys):
    press(monkeypatch, 4)  # the second step of the second batch
    assert main([*DRAW, "--seed", "0-4"]) == 130
    files = ["a-man-s0.png", "a-man-s1.png", "a-man-s2-unfinished.png", "a-man-s3-unfinished.png"]
    assert names(tmp_path) == files
    shown = capsys.readouterr()
    assert shown.out.split() == files
    told = "written: 4 of 5 pictures, a-man-s0.png to a-man-s3-unfinished.png; unfinished ones look as step 2 of 3"
    assert "stopping after this step; Ctrl-C again stops at once" in shown.err and f"interrupted; {told}" in shown.err
    assert parameters.read(files[2])[2]["Stopped after step"] == "2"
    assert "Stopped after step" not in parameters.read(files[0])[2]
    want = small.generate("a man", [2, 3], 3, height=64, width=64, callback=lambda step: step.i < 1)
    for file, picture in zip(files[2:], want, strict=True):
        with Image.open(file) as image:
            assert np.array_equal(np.asarray(image), np.asarray(picture))


def test_a_finished_batch_is_finished(tmp_path, monkeypatch, capsys):
    press(monkeypatch, 2)  # the last step of the first batch
    assert main([*DRAW, "--seed", "0-4"]) == 130
    assert names(tmp_path) == ["a-man-s0.png", "a-man-s1.png"]
    assert "unfinished" not in capsys.readouterr().err


def test_an_unfinished_picture_leaves_outs_name_free(tmp_path, monkeypatch):
    press(monkeypatch, 1)
    assert main([*DRAW, "--out", "x.png"]) == 130
    assert names(tmp_path) == ["x-unfinished.png"]


@pytest.mark.parametrize("at", [(0,), (1, 2)], ids=["before the first step is done", "twice"])
def test_at_once(tmp_path, monkeypatch, capsys, at):
    press(monkeypatch, *at)
    monkeypatch.setattr(Stopping, "__call__", lambda self, step: setattr(self, "_begun", True))  # a step that is slow
    assert main(DRAW) == 130
    assert names(tmp_path) == [] and "interrupted; nothing was written" in capsys.readouterr().err


def test_the_signal_is_given_back_and_other_threads_have_none():
    before, found = signal.getsignal(signal.SIGINT), []
    with Stopping():
        assert signal.getsignal(signal.SIGINT) is not before

    def elsewhere():
        with Stopping() as stopping:
            found.append(stopping.pressed)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before and found == [False]

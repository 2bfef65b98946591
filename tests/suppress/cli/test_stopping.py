"""Ctrl-C while `suppress` draws: the step at work is finished, and what is drawn by then is written."""

import json
import os
import signal

import pytest
from PIL import Image

from minisd.cli import options, parameters
from suppress.cli import draw as command
from suppress.cli.commands import main

PROMPT = "a man with a hat"
SMALL = [PROMPT, "--remove", "hat", "--size", "64x64", "--steps", "3"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "load_model", lambda args: small)
    monkeypatch.setattr(command, "BATCH", 1)


def press_at(monkeypatch, at):
    count = iter(range(100))

    def wrap(steps, total):
        for z in steps:
            if next(count) == at:
                os.kill(os.getpid(), signal.SIGINT)
            yield z

    monkeypatch.setattr(options, "progress_bar", lambda label: wrap)


def test_what_is_drawn_is_written(tmp_path, monkeypatch, capsys):
    press_at(monkeypatch, 4)
    assert main([*SMALL, "--seed", "0-2", "--out", "p.png", "--save-pictures", "each", "--negative", "rain"]) == 130
    told = "drawn: 2 of 3 pictures, in p-unfinished.png; unfinished ones look as step 2 of 3 expects them"
    assert f"interrupted; {told}" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["each", "p-unfinished.json", "p-unfinished.png"]
    content = json.loads((tmp_path / "p-unfinished.json").read_text())
    assert content["seeds"] == [0, 1] and content["results"][0]["stopped_at"] == 1
    assert content["negative_prompt"] == "rain"
    _, negative, fields = parameters.read("p-unfinished.png")
    assert negative == "rain" and fields["Stopped after step"] == "2"
    endings = "s0-original", "s0-suppressed", "s1-original-unfinished", "s1-suppressed-unfinished"
    assert sorted(path.stem for path in (tmp_path / "each").iterdir()) == [f"a-man-with-a-hat-{e}" for e in endings]


def test_an_edit_of_a_picture_is_written(tmp_path, monkeypatch, capsys):
    Image.radial_gradient("L").convert("RGB").save("photo.png")
    press_at(monkeypatch, 3 + 3 + 1)  # after the inversion, and after the drawing at guidance 1
    assert main(["--image", "photo.png", *SMALL, "--no-cache", "--out", "p.png"]) == 130
    assert "drawn: 1 of 1 picture, in p-unfinished.png; unfinished ones look as step 2 of 3" in capsys.readouterr().err
    assert json.loads((tmp_path / "p-unfinished.json").read_text())["results"][0]["stopped_at"] == 1
    endings = "original-unfinished", "reconstruction-unfinished", "suppressed-unfinished", "unfinished"
    assert sorted(path.stem for path in tmp_path.glob("p-*.png")) == [f"p-{ending}" for ending in endings]
    assert not (tmp_path / "p.png").exists()


def test_a_method_and_an_option_that_contradict_each_other(capsys):
    assert main([*SMALL, "--method", "unread:steps=4"]) == 2
    assert "--method unread:steps=4 and --steps 3 contradict each other: 4 or 3" in capsys.readouterr().err

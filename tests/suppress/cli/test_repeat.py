"""`suppress --params-from`: a picture's file holds all that is needed to draw it again, to the pixel."""

import json

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from png_pixels import pixels

from minisd.cli import options, parameters
from suppress.cli.commands import main

PROMPT = "a man with glasses and a hat"
SMALL = ["--height", "64", "--width", "64"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(sd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "load_model", lambda args: sd)


def results(name):
    content = json.loads(open(name, encoding="utf-8").read())
    return content, [r["settings"] for r in content["results"]]


@pytest.mark.parametrize(
    "argv",
    [
        [PROMPT, "--remove", "glasses", "hat", "--seed", "5", "2", "--guidance", "3.5"],
        [PROMPT, "--remove", "hat", "--iterations", "1", "--stop", ".5", "--start", "0", "--engine", "reference"],
        [PROMPT, "--strengthen", "hat", "--method", "strengthen:value=1.5", "--negative", "a beard, old"],
        ["a hat, a man\nin a [hat]", "--sheet", "zero", "suppress-eot:gamma=0", "suppress-eot:start=2", "--seed", "3"],
        [PROMPT, "--remove", "glasses", "--sheet", "attn2zero"],
    ],
    ids=lambda argv: " ".join(argv[1:]),
)
def test_a_picture_is_drawn_again_from_its_own_file(argv):
    assert main([*SMALL, "--width", "96", "--steps", "4", *argv, "--out", "first.png"]) == 0
    assert main(["--params-from", "first.png", "--out", "again.png"]) == 0
    assert np.array_equal(pixels("first.png"), pixels("again.png"))
    (first, settings), (again, same) = results("first.json"), results("again.json")
    assert settings == same
    for name in ("prompt", "targets", "remove", "strengthen", "seeds", "engine", "width", "height", "negative_prompt"):
        assert first[name] == again[name], name
    texts = [parameters.read(name)[2] for name in ("first.png", "again.png")]
    for text in texts:
        assert text.pop("Date") and text["Version"].startswith("minisd ") and text["Torch"] and text["Device"]
    assert texts[0] == texts[1]
    assert first["version"] == texts[0]["Version"] and {"torch", "device", "date", "parameters"} <= first.keys()


def test_other_options_change_what_they_name():
    assert (
        main([PROMPT, "--remove", "hat", "--gamma", ".5", *SMALL, "--steps", "2", "--seed", "1", "--out", "p.png"]) == 0
    )
    changed = ["--start", "1", "--seed", "4", "5", "--remove", "glasses", "--width", "72"]
    assert main(["--params-from", "p.png", *changed, "--out", "q.png"]) == 0
    content, [settings] = results("q.json")
    assert settings["gamma"] == 0.5 and settings["start"] == 1 and settings["steps"] == 2
    assert content["seeds"] == [4, 5] and content["remove"] == ["glasses"] and content["width"] == 72
    assert main(["--params-from", "p.png", "--method", "zero", "--out", "r.png"]) == 0
    content, [settings] = results("r.json")
    assert settings["name"] == "zero" and content["remove"] == ["hat"]


def test_a_checkpoints_defaults_do_not_change_a_repeated_picture(sd, monkeypatch):
    """The tiny model has its own R, which differs from the method's default."""
    import dataclasses

    assert main([PROMPT, "--remove", "hat", *SMALL, "--steps", "4", "--out", "p.png"]) == 0
    monkeypatch.setattr(options, "load_model", lambda args: dataclasses.replace(sd, folder=None))
    assert main(["--params-from", "p.png", "--out", "q.png"]) == 0
    assert results("p.json")[1] == results("q.json")[1]


def write(name, fields, negative=""):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", parameters.to_text(PROMPT, negative, {"Steps": 2, "Seed": 1, **fields}))
    Image.new("RGB", (8, 8)).save(name, pnginfo=info)


def test_a_picture_without_suppression_gives_prompt_and_seed():
    write("plain.png", {"Size": "64x64"})
    assert main(["--params-from", "plain.png", "--remove", "hat", "--out", "p.png"]) == 0
    content, [settings] = results("p.json")
    assert content["prompt"] == PROMPT and content["seeds"] == [1] and settings["steps"] == 2


@pytest.mark.parametrize(
    ("fields", "negative", "message"),
    [
        ({}, "", "does not say what to remove"),
        ({"Suppress": "hat", "Image": "me.jpg"}, "", "was drawn over another picture (me.jpg)"),
        ({"Suppress": "hat", "Suppress method": "suppress-eot", "Suppress start": 1}, "", "without all settings"),
        ({"Suppress": "hat", "Suppress method": "magic", "Suppress start": 1}, "", "method 'magic'"),
        ({"Suppress": "hat", "Suppress seeds": "1 x"}, "", "seeds that cannot be read ('1 x')"),
        ({"Suppress": "[1]"}, "", "targets that cannot be read ('[1]')"),
        ({"Suppress": "[" * 5000}, "", "targets that cannot be read"),
        ({"Suppress": "hat", "Suppress engine": "steam"}, "", "the engine 'steam'; there is reference, fast"),
        ({"Suppress": "scarf"}, "", "the prompt has no 'scarf'"),
    ],
)
def test_what_cannot_be_repeated_is_told(tmp_path, capsys, fields, negative, message):
    write("p.png", fields, negative)
    assert main(["--params-from", "p.png"]) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]

"""Prompts on the command line: `--weights`, and what other programs' signs mean without it."""

import json
import warnings

import numpy as np
import pytest
from png_pixels import pixels

from minisd import weighted
from minisd.cli import options, parameters
from minisd.cli.commands import main
from minisd.cli.prompts import note_foreign_signs
from suppress.cli.commands import main as suppress_main

HEAVY = "a man with (glasses:1.6) and a [hat]"
SMALL = ["--size", "64x64", "--steps", "2"]


@pytest.fixture
def _in_an_empty_folder(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "load_model", lambda args: small)


@pytest.mark.usefixtures("_in_an_empty_folder")
def test_weights_are_read_when_they_are_asked_for(small):
    assert main(["generate", HEAVY, *SMALL, "--weights", "--negative", "(rain:1.4)", "--out", "p.png"]) == 0
    size = {"height": 64, "width": 64}
    [expected] = small.generate(weighted(HEAVY), steps=2, negative_prompt=weighted("(rain:1.4)"), **size)
    assert np.array_equal(pixels("p.png"), np.asarray(expected))
    prompt, negative, fields = parameters.read("p.png")
    assert (prompt, negative) == ("a man with (glasses:1.6) and a (hat:0.909091)", "(rain:1.4)")
    assert fields["Prompt weights"] == "yes"


@pytest.mark.usefixtures("_in_an_empty_folder")
def test_brackets_are_plain_text_by_default(small, capsys):
    assert main(["generate", HEAVY, *SMALL, "--out", "p.png"]) == 0
    assert "'(glasses:1.6)' is read as plain text: give --weights" in capsys.readouterr().err
    [expected] = small.generate(HEAVY, steps=2, height=64, width=64)
    assert np.array_equal(pixels("p.png"), np.asarray(expected))
    assert parameters.read("p.png")[0] == HEAVY and "Prompt weights" not in parameters.read("p.png")[2]


@pytest.mark.usefixtures("_in_an_empty_folder")
@pytest.mark.parametrize("prompt", [HEAVY, r"a man \(old\) with a hat", "a (man:0.7) with a hat"])
def test_a_picture_with_weights_is_drawn_again_from_its_own_file(prompt):
    assert main(["generate", prompt, *SMALL, "--weights", "--out", "first.png"]) == 0
    assert main(["generate", "--params-from", "first.png", "--out", "again.png"]) == 0
    assert np.array_equal(pixels("first.png"), pixels("again.png"))
    assert parameters.read("first.png")[0] == parameters.read("again.png")[0]


@pytest.mark.usefixtures("_in_an_empty_folder")
@pytest.mark.parametrize("command", ["maps", "film"])
def test_maps_and_films_have_weights(command, capsys):
    ending = "gif" if command == "film" else "png"
    assert main([command, "a (man:0.7)", *SMALL, "--weights", "--out", f"p.{ending}"]) == 0
    assert main([command, "a (man:0.7", *SMALL, "--weights", "--out", f"q.{ending}"]) == 2
    assert "the bracket '(' at character 3" in capsys.readouterr().err


@pytest.mark.usefixtures("_in_an_empty_folder")
def test_suppress_has_weights_beside_the_brackets_of_targets():
    job = [*SMALL, "--method", "zero:start=0"]
    assert suppress_main(["a (man:0.7) with [glasses]", *job, "--weights", "--out", "first.png"]) == 0
    assert suppress_main(["--params-from", "first.png", "--out", "again.png"]) == 0
    assert suppress_main(["a man with [glasses]", *job, "--out", "plain.png"]) == 0
    assert np.array_equal(pixels("first.png"), pixels("again.png"))
    assert not np.array_equal(pixels("first.png"), pixels("plain.png"))
    assert parameters.read("first.png")[2]["Prompt weights"] == "yes"
    about = [json.loads(open(f"{name}.json", encoding="utf-8").read()) for name in ("first", "again")]
    for one in about:
        assert (one["prompt"], one["targets"]) == ("a (man:0.7) with glasses", ["glasses"])


# ---------------------------------------------------------------------- signs of other programs


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a man with (glasses:1.2)", "'(glasses:1.2)' is read as plain text: give --weights"),
        ("(a man: 0.8 )", "'(a man: 0.8 )' is read as plain text"),
        (
            "a man <lora:add detail:0.8>",
            "'<lora:add detail:0.8>' is read as plain text: a file is given as --lora FILE:0.8",
        ),
        ("a man with [glasses]", "'[glasses]' is read as plain text: brackets weaken nothing"),
        ("[a man:a cat:0.5]", "'[a man:a cat:0.5]' is read as plain text"),
    ],
)
def test_signs_of_other_programs_are_told(prompt, told):
    with pytest.warns(UserWarning) as found:
        note_foreign_signs(prompt)
    assert str(found[0].message).startswith(told)


@pytest.mark.parametrize("prompt", ["a man (with a hat)", "a cat: (1.2)", "a <cat-toy>", "a man :)", "3:15 (noon)", ""])
def test_plain_punctuation_is_no_sign(prompt):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        note_foreign_signs(prompt)


def test_a_sign_is_looked_for_in_one_pass():
    """Each of these takes minutes with a regular expression that can match a part in two ways."""
    for part in ("(", "(:", "(:1", "1", "[", "<lora:"):
        note_foreign_signs("(:" + part * 100_000)

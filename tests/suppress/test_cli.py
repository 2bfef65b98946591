"""`suppress`, end to end on the embedded model."""

import re

import pytest
from PIL import Image

from minisd import parameters
from suppress.cli import main


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_main_job(tmp_path, capsys):
    assert main(["a man without glasses", "--remove", "glasses", "--seed", "0", "--steps", "20"]) == 0
    out = capsys.readouterr().out
    assert "removing 'glasses' (as named)" in out
    assert re.search(r"4  glasses   <- target", out) and "5-76  [EOT]" in out
    assert "R measured on tiny" in out
    before, after = map(float, re.search(r"DetScore glasses\s+([\d.]+)\s+([\d.]+)", out).groups())
    assert before > 0.9 and after < 0.1
    before, after = map(float, re.search(r"CLIP score glasses\s+([\d.]+)\s+([\d.]+)", out).groups())
    assert before > after
    [file] = tmp_path.iterdir()
    assert file.name == "a-man-without-glasses-s0.png" == out.splitlines()[-1]
    prompt, _negative, fields = parameters.read(file)
    assert prompt == "a man without glasses"
    assert fields["Suppress"] == "glasses" and fields["Seed"] == "0" and fields["Steps"] == "20"
    with Image.open(file) as image:  # two pictures of 128 beside each other, their maps below
        assert image.width > 2 * 128 and image.height > 2 * 128


def test_free_names_and_out(tmp_path, capsys):
    job = ["a man without glasses", "--steps", "2"]
    assert main(job) == 0 and main(job) == 0
    assert {p.name for p in tmp_path.iterdir()} == {
        "a-man-without-glasses-s0.png",
        "a-man-without-glasses-s0-2.png",
    }
    assert "negated in the prompt" in capsys.readouterr().out
    (tmp_path / "mine.png").write_bytes(b"mine")
    assert main([*job, "--out", "mine.png"]) == 2
    assert "--overwrite" in capsys.readouterr().err and (tmp_path / "mine.png").read_bytes() == b"mine"
    assert main([*job, "--out", "mine.png", "--overwrite"]) == 0
    with Image.open(tmp_path / "mine.png") as image:
        assert image.format == "PNG"


def test_word_without_a_class_gets_a_dash_and_the_clip_score(capsys):
    assert main(["a man with a [shirt]", "--steps", "2"]) == 0
    out = capsys.readouterr().out
    assert "in brackets" in out
    assert re.search(r"DetScore shirt\s+–\s+–  \(the detector has no class for 'shirt'\)", out)
    assert re.search(r"CLIP score shirt\s+\d\.\d+\s+\d\.\d+", out)


def test_whole_class_and_several_targets(capsys):
    targets = ["--remove", "crown", "--remove", "glasses"]
    assert main(["a cat with glasses and a crown", *targets, "--steps", "2"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"DetScore crown .*\(the whole class hat\)", out) and "DetScore glasses" in out


def test_settings_reach_the_method(capsys):
    assert main(["a man without glasses", "--steps", "4", "--start", "4", "--gamma", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "γ = 0.5 from step R = 4 of 4 (as given)" in out
    scores = re.search(r"CLIP score glasses\s+([\d.]+)\s+([\d.]+)", out).groups()
    assert scores[0] == scores[1]  # R after the last step: nothing is edited


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["a man", "--remove", "hat"], "the prompt has no 'hat'"),
        (["a man"], "does not say what to remove"),
        (["a man without glasses", "--steps", "0"], "steps = 0"),
        (["a man without glasses", "--start", "1.5"], "start = 1.5"),
        (["a man without glasses", "--gamma", "-1"], "gamma = -1"),
        (["a man without glasses", "--seed", "-1"], "seed -1"),
        (["a man without glasses", "--model", "nowhere"], "no model 'nowhere'"),
        (["a man without glasses", "--out", "x.jpg"], ".png"),
        (["a man without glasses", "--out", "no/where.png"], "there is no folder"),
        (["a man without glasses", "--device", "nonsense"], "device 'nonsense'"),
    ],
)
def test_mistakes_get_one_message_and_no_traceback(tmp_path, capsys, argv, message):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("suppress: error: ") and message in captured.err
    assert "Traceback" not in captured.err and not list(tmp_path.iterdir())

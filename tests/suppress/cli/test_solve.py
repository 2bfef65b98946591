"""`suppress train` for uce, rece and casteer: from the command to the file and the picture, and mistakes."""

import pytest
import torch
from PIL import Image, ImageChops

from suppress.cli import main
from suppress.edits.context_map import read_map
from suppress.edits.steering import find_vectors, read_vectors
from suppress.methods import parse_method
from suppress.methods.casteer import prompt_pairs
from suppress.methods.catalogue import METHODS
from suppress.methods.uce import UCE

WORDS = ["--concept", "glasses, a hat"]


@pytest.mark.parametrize("spec", ["uce:guide=art", "uce-official", "rece:rounds=2"])
def test_the_matrix_is_that_of_the_method_with_these_concepts(sd, spec, tmp_path, capsys):
    out = tmp_path / "map.safetensors"
    assert main(["train", spec, *WORDS, "--out", str(out)]) == 0
    assert "forgetting 'glasses', 'a hat'" in capsys.readouterr().out
    method = parse_method(spec)
    assert isinstance(method, UCE)
    found = read_map(out, sd)
    torch.testing.assert_close(found.matrix, method.matrix(sd, ["glasses", "a hat"]).float(), rtol=0, atol=1e-6)
    assert found.about["method"] == ("rece" if spec.startswith("rece") else "uce")


def test_the_file_draws_what_the_method_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "uce", "--concept", "glasses", "--out", "map.safetensors"]) == 0
    prompt = ["a man with glasses", "--remove", "glasses", "--steps", "2", "--size", "32x32"]
    for name, spec in (("a", "uce"), ("b", "context-map:map.safetensors")):
        assert main([*prompt, "--method", spec, "--out", f"{name}.png", "--save-pictures", name]) == 0
    drawn = [sorted((tmp_path / name).iterdir()) for name in "ab"]
    assert len(drawn[0]) == len(drawn[1]) == 2  # the original, and without glasses
    for a, b in zip(*drawn, strict=True):
        difference = ImageChops.difference(*(Image.open(file).convert("RGB") for file in (a, b)))
        assert max(high for _, high in difference.getextrema()) <= 1


def test_the_vectors_of_casteer(sd, tmp_path, capsys):
    out = tmp_path / "vectors.safetensors"
    assert main(["train", "casteer:steps=2,pairs=1", "--concept", "glasses", "--out", str(out)]) == 0
    assert "forgetting 'glasses', 1 pair of pictures" in capsys.readouterr().out
    found, made = read_vectors(out, sd, "glasses", 2), find_vectors(sd, "glasses", prompt_pairs("glasses", 1), 2)
    assert found.about == made.about and found.sites.keys() == made.sites.keys()
    for name, vectors in made.sites.items():
        torch.testing.assert_close(found.sites[name], vectors)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["uce", *WORDS, "--lr", "0.1", "--prompts", "a.txt"], "uce needs no training; leave out --prompts, --lr"),
        (["rece", *WORDS, "--resume"], "leave out --resume"),
        (["uce", *WORDS, "--from", "a man with glasses"], "leave out --from"),
        (["uce:start=.2", *WORDS], "uce:start does not change the file"),
        (["uce:concept=hat", *WORDS], "uce:concept does not change the file"),
        (["casteer:beta=3", *WORDS], "casteer:beta does not change the file"),
        (["casteer:other.safetensors", *WORDS], "casteer:path does not change the file"),
        (["uce", "--concept", " , "], "the concept is empty"),
        (["uce:guide=art,lam=fast", *WORDS], "lam = 'fast'; expected a number"),
        (
            ["uces", *WORDS],
            "'uces' is unknown; expected one of esd, esd-u, esd-official,",
        ),
    ],
)
def test_mistakes_are_told(options, message, tmp_path, capsys):
    out = tmp_path / "map.safetensors"
    assert main(["train", *options, "--out", str(out)]) == 2
    printed = capsys.readouterr().err
    assert message in printed and "Traceback" not in printed
    assert not out.exists()


def test_a_file_that_is_there_is_kept(tmp_path, capsys):
    out = tmp_path / "map.safetensors"
    out.write_text("mine")
    assert main(["train", "uce", *WORDS, "--out", str(out)]) == 2
    assert "exists; give another name, or --overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main(["train", "uce", *WORDS, "--out", str(out), "--overwrite"]) == 0


def test_help_lists_what_is_solved(capsys):
    from suppress.cli.solve import SOLVED

    with pytest.raises(SystemExit):
        main(["train", "--help"])
    printed = capsys.readouterr().out
    assert all(METHODS[name].about in printed for name in SOLVED)

"""`--params-from`: each parameter of a picture is used, refused or named in a warning."""

import argparse

import pytest
from PIL import Image

from minisd import UserError
from minisd.base.picture_files import save_png
from minisd.cli import options, repeat
from minisd.cli.commands import main


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def jobs(sd, monkeypatch):
    """The arguments of each call of `generate`. Nothing is drawn."""
    asked = []

    class Model:
        name, device = sd.name, sd.device

        def generate(self, prompt, seeds, steps, guidance, negative, height, width, **more):
            asked.append(
                (prompt, list(seeds), steps, guidance, negative, height, width, more["image"], more["strength"])
            )
            return [Image.new("RGB", (64, 64))] * len(seeds)

    monkeypatch.setattr(options, "load_model", lambda args: Model())
    return asked


def picture(tmp_path, last, prompt="a man with a hat"):
    save_png(Image.new("RGB", (64, 64)), tmp_path / "p.png", f"{prompt}\n{last}")


OWN = "Steps: 4, Sampler: DDIM, CFG scale: 7, Seed: 5, Size: 128x64, Model: tiny"
HIRES = f"{OWN}, Denoising strength: 0.7, Hires upscale: 2, Hires upscaler: Latent, Version: v1.9.4"


def test_a_strength_of_another_program_makes_no_picture_to_start_from(tmp_path, jobs, capsys):
    """It belongs to a second, larger pass, or it is the default of a user interface."""
    picture(tmp_path, HIRES)
    assert main(["generate", "--params-from", "p.png"]) == 0
    assert jobs == [("a man with a hat", [5], 4, 7.0, "", 64, 128, None, 0.8)]
    told = capsys.readouterr().err
    assert "p.png: its Denoising strength of 0.7 is ignored, and the picture is drawn from text alone" in told
    assert "ignored, as minisd has no such settings: Hires upscale: 2, Hires upscaler: Latent\n" in told
    Image.new("RGB", (64, 64)).save("start.png")
    assert main(["generate", "--params-from", "p.png", "--image", "start.png"]) == 0
    assert main(["generate", "--params-from", "p.png", "--image", "start.png", "--strength", "0.3"]) == 0
    assert [job[-1] for job in jobs[1:]] == [0.7, 0.3] and all(job[-2] is not None for job in jobs[1:])


def test_what_minisd_has_no_setting_for_is_told(tmp_path, jobs, capsys):
    """Also if this program wrote it: a later version may have more settings."""
    picture(tmp_path, f'{OWN}, ENSD: 31337, Lora hashes: "x: a, y: b", Version: minisd 9.0, Device: cuda, Torch: 9')
    assert main(["generate", "--params-from", "p.png"]) == 0
    told = "p.png: ignored, as minisd has no such settings: ENSD: 31337, Lora hashes: x: a, y: b"
    assert capsys.readouterr().err == f"minisd: {told}\n"
    picture(tmp_path, f"{OWN}, Model hash: 6ce0, Version: minisd 0.1.0")
    assert main(["generate", "--params-from", "p.png"]) == 0
    assert capsys.readouterr().err == ""
    picture(tmp_path, OWN + "".join(f", Field {k}: {'x' * 50}" for k in range(1000)))
    assert main(["generate", "--params-from", "p.png"]) == 0
    assert len(capsys.readouterr().err) < 600


@pytest.mark.parametrize("field", ["Suppress: hat, Suppress method: unread", "Strengthen: hat", "Suppress start: 3"])
def test_a_picture_of_suppress_is_not_drawn_with_its_target(tmp_path, jobs, capsys, field):
    picture(tmp_path, f"{OWN}, {field}")
    assert main(["generate", "--params-from", "p.png"]) == 2
    error = capsys.readouterr().err
    assert "p.png was drawn by `suppress`" in error and "`suppress --params-from`" in error
    assert "minisd generate` its prompt, 'a man with a hat'" in error and not jobs


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ("Steps: many", "invalid literal for int() with base 10: 'many'"),
        ("Steps: 5, CFG scale: high", "could not convert string to float: 'high'"),
        ("Steps: 5, Seed: 1.5", "invalid literal for int()"),
        ("Steps: 5, Seed: -1", "seed -1; expected"),
        ("Steps: 5, Seed: 18446744073709551616", "seed 18446744073709551616; expected"),
        ("Steps: " + "9" * 5000, "cannot be read"),
        ("Steps: 5, Size: 64", "a size that cannot be read ('64')"),
        ("Steps: 5, Size: 64x", "a size that cannot be read ('64x')"),
        ("Steps: 5, Size: 1e3x64", "a size that cannot be read"),
        ("Steps: 5, Sampler: Euler a", "drawn with the sampler Euler a; minisd has DDIM"),
        ("Steps: 5, Precision: int8", "precision int8; minisd has fp32, fp16, bf16"),
        ("Steps: 0", "steps = 0; expected"),
        ("Steps: 5, CFG scale: nan", "guidance = nan; expected"),
    ],
)
def test_values_that_cannot_be_used_are_named(tmp_path, jobs, capsys, last, told):
    picture(tmp_path, last)
    assert main(["generate", "--params-from", "p.png"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("minisd: error: ") and told in error and not jobs


def test_strength_that_cannot_be_read(tmp_path, jobs, capsys):
    Image.new("RGB", (64, 64)).save("start.png")
    picture(tmp_path, "Steps: 5, Denoising strength: much")
    assert main(["generate", "--params-from", "p.png", "--image", "start.png"]) == 2
    assert "could not convert string to float: 'much'" in capsys.readouterr().err


def test_options_that_are_given_win_and_another_model_has_other_files():
    args = argparse.Namespace(steps=None, seed=[1], model="other", variant=None, ema=None, dtype=None, params_from="p")
    found = {"steps": 3, "seed": [2], "model": "tiny", "variant": "fp16", "ema": True, "dtype": "bf16"}
    repeat.fill(args, found)
    assert vars(args) == {
        "steps": 3,
        "seed": [1],
        "model": "other",
        "variant": None,
        "ema": None,
        "dtype": "bf16",
        "params_from": "p",
    }


def test_what_several_commands_share():
    assert repeat.shared("p.png", {"Steps": "5"})["width"] is None
    found = repeat.shared("p.png", {"Steps": "5", "Size": "128x64", "EMA": "yes", "Precision": "bf16"})
    assert (found["width"], found["height"], found["ema"], found["dtype"]) == (128, 64, True, "bf16")
    with pytest.raises(UserError, match=r"p\.png: its parameters hold a size"):
        repeat.shared("p.png", {"Steps": "5", "Size": "axb"})

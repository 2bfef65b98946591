"""--lora, --vae, --clip-skip on the commands, in the pictures' parameters and back; `minisd export`."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import minisd
from minisd.base.picture_files import save_png
from minisd.cli import parameters
from minisd.cli.commands import main
from minisd.loading.source import data_folder
from suppress import Unread, run
from suppress.cli.commands import main as suppress

KEY = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
SMALL = ["--steps", "1", "--size", "64x64"]


@pytest.fixture
def given(tmp_path, monkeypatch):
    """A LoRA in an empty folder, and the options that use it, another VAE and a clip skip."""
    monkeypatch.chdir(tmp_path)
    save_file({f"{KEY}.lora_A.weight": torch.ones(2, 192), f"{KEY}.lora_B.weight": torch.ones(192, 2)}, "l.safetensors")
    vae = str(data_folder() / "tiny" / "vae")
    return ["--lora", "l.safetensors:0.5", "--lora", "l.safetensors:-0.25", "--vae", vae, "--clip-skip", "1"]


def test_a_picture_is_drawn_with_them_and_repeated(given, sd, capsys):
    assert main(["generate", "a cat", *SMALL, *given, "--out", "a.png"]) == 0
    assert main(["generate", "--params-from", "a.png", "--out", "b.png"]) == 0
    a, b = (parameters.load_picture(f"{name}.png")[0] for name in "ab")
    [plain] = sd.generate("a cat", steps=1, height=64, width=64)
    assert a.tobytes() == b.tobytes() != plain.tobytes()
    fields = parameters.read("b.png")[2]
    assert json.loads(fields["LoRA"]) == ["l.safetensors:0.5", "l.safetensors:-0.25"]
    assert (fields["VAE"], fields["Clip skip"]) == (given[5], "2")  # as other programs count
    assert "ignored" not in capsys.readouterr().err
    model = {"lora": ["l.safetensors:0.5", "l.safetensors:-0.25"], "vae": given[5], "clip_skip": 1}
    changed = minisd.load("tiny", device="cpu", **model)
    assert changed.generate("a cat", steps=1, height=64, width=64)[0].tobytes() == a.tobytes()
    result = run(changed, "a man", "man", settings=Unread(steps=1, start=0), height=64, width=64)
    content = json.loads(result.save("saved")[-1].read_text())
    assert {name: content[name] for name in model} == model


def test_suppress_takes_them_too(given, capsys):
    assert suppress(["a man without glasses", *SMALL, *given, "--out", "p.png"]) == 0
    about = json.loads(open("p.json").read())
    assert (about["lora"], about["vae"], about["clip_skip"]) == ([given[1], given[3]], given[5], 1)


def test_names_of_other_programs_are_told_and_not_used(given, capsys):
    text = 'a cat\nSteps: 1, Size: 64x64, Clip skip: 2, VAE: some.ckpt, LoRA: "[3]"'
    picture = Image.new("RGB", (64, 64))
    save_png(picture, Path("foreign.png"), text)
    assert main(["generate", "--params-from", "foreign.png", "--out", "a.png"]) == 0
    assert "ignored, as minisd has no such settings: VAE: some.ckpt, LoRA: [3]" in capsys.readouterr().err
    assert parameters.read("a.png")[2]["Clip skip"] == "2"
    save_png(picture, Path("own.png"), text + ", Version: minisd 0.1.0")
    assert main(["generate", "--params-from", "own.png"]) == 2
    assert "its parameters hold LoRAs that cannot be read" in capsys.readouterr().err


def test_export(given, capsys, sd):
    assert main(["export", "tiny", "model", *given]) == 0
    assert capsys.readouterr().out == "model\n"
    again = minisd.load("model", device="cpu")
    weight = f"{KEY.removeprefix('unet.')}.weight"
    expected = sd.unet.get_parameter(weight) + 0.5 * torch.full((192, 192), 2.0) - 0.25 * torch.full((192, 192), 2.0)
    torch.testing.assert_close(again.unet.get_parameter(weight), expected)
    assert again.config.text.layers == 3
    assert main(["export", "nowhere", "model"]) == 2  # said before the model is looked for
    assert "model exists; give another name, or overwrite (--overwrite) to replace it" in capsys.readouterr().err

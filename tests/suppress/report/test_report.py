"""What `suppress` writes: the brightness of the maps, the settings in the PNG, the method that an option selects."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import suppress
from minisd.cli import options, parameters
from suppress.cli.commands import main
from suppress.report.files import draw


@pytest.fixture(autouse=True)
def _in_an_empty_folder(sd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "load_model", lambda args: sd)


def test_both_heat_maps_have_the_originals_span():
    """A map with half the attention is darker, although it has the same shape."""
    black = Image.new("RGB", (64, 64))
    maps = torch.zeros(1, 77, 16, 16)
    maps[0, 4] = torch.linspace(0, 1, 16)
    result = suppress.Result(
        image=black,
        original=black,
        latents=torch.zeros(1, 4, 16, 16),
        original_latents=torch.zeros(1, 4, 16, 16),
        settings=suppress.SuppressEOT(),
        timings={},
        prompt="a man without glasses",
        targets=("glasses",),
        rows=(4,),
        maps=maps / 2,
        original_maps=maps,
    )
    sheet = np.asarray(draw(result).convert("L"), dtype=float)
    h, w = sheet.shape
    low = sheet[h // 2 + 8 : h // 2 + 8 + 48]  # rows of pixels inside the maps
    edges = [low[:, start : start + w // 2 - 8] for start in (4, w // 2 + 2)]
    original, edited = (edge[:, 8:56].mean(axis=0) for edge in edges)
    assert original[-1] > 1.3 * edited[-1]  # at the bright side
    assert abs(original[24] - edited[-1]) < 0.1 * original.max()  # half way there


def test_start_and_guidance_stand_in_the_png(tmp_path):
    job = ["a man without glasses", "--steps", "2", "--start", "1", "--guidance", "5.5", "--method", "zero"]
    assert main([*job, "--out", "p.png"]) == 0
    fields = parameters.read(tmp_path / "p.png")[2]
    assert float(fields["CFG scale"]) == 5.5 and fields["Suppress start"] == "1"
    settings = json.loads((tmp_path / "p.json").read_text())["results"][0]["settings"]
    assert settings["guidance"] == 5.5 and settings["start"] == 1


@pytest.mark.parametrize(("option", "value"), [("gamma", 0.5), ("iterations", 1), ("stop", 1)])
def test_an_option_of_suppress_eot_alone_chooses_it(tmp_path, option, value):
    assert main(["a man without glasses", "--steps", "1", f"--{option}", str(value), "--out", "p.png"]) == 0
    [result] = json.loads((tmp_path / "p.json").read_text())["results"]
    assert result["method"] == "suppress-eot" and result["settings"][option] == value

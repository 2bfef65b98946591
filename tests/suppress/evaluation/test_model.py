"""`suppress eval --model`: the same table for another model, in a file of its own."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from minisd.cli.model_choice import ModelChoice
from minisd.loading.source import data_folder
from suppress.cli.commands import main
from suppress.evaluation.model import EMBEDDED, described

PROMPTS = "prompt,target,seed\na girl with a hat,hat,0\n"
OWN = ["eval", "--only", "SWR", "--steps", "1", "--prompts", "own.csv"]


@pytest.fixture(autouse=True)
def _in_a_folder_with_prompts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.csv").write_text(PROMPTS)


def cells(name):
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def test_a_copy_of_the_embedded_model_has_its_scores_and_its_own_start(capsys):
    shutil.copytree(data_folder() / "tiny", "models/copy", ignore=shutil.ignore_patterns("train", "*.py", "*.md"))
    assert main(OWN) == 0
    assert main([*OWN, "--model", "models/copy"]) == 0
    [tiny], [copy] = cells("suppress-own.jsonl"), cells("suppress-own-models-copy.jsonl")
    for scores in ("before", "after", "ssim"):
        assert copy[scores] == tiny[scores]
    assert copy["made by"]["weights"] == tiny["made by"]["weights"]
    Path("models/copy/defaults.json").write_text('{"unread": {"start": 0.5}}')
    own = ["--rows", "all", "--only", "Unread, keep 1", "--start", "0.2"]
    capsys.readouterr()
    assert main([*OWN, "--model", "models/copy", *own]) == 0
    assert "R is 0.2; the rows with keep=1 begin at 0.5, as measured on this model" in capsys.readouterr().out
    assert cells("suppress-own-models-copy.jsonl")[-1]["method"]["start"] == 0.5


def test_a_lora_is_another_model(sd):
    layer = "mid_block.attentions.0.transformer_blocks.0.attn2.to_v"
    rows, columns = sd.unet.get_parameter(f"{layer}.weight").shape
    torch.manual_seed(0)
    tensors = {"lora_down": torch.randn(2, columns), "lora_up": torch.randn(rows, 2)}
    key = "lora_unet_" + layer.replace(".", "_")
    save_file({f"{key}.{name}.weight": x for name, x in tensors.items()}, "style.safetensors")
    assert main(OWN) == 0
    assert main([*OWN, "--lora", "style.safetensors:0.5"]) == 0
    [tiny], [styled] = cells("suppress-own.jsonl"), cells("suppress-own-style-safetensors-0-5.jsonl")
    assert styled["made by"]["weights"] != tiny["made by"]["weights"] and styled["ssim"] != tiny["ssim"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--pictures", "--model", "x"], "--model with --pictures, which is about the world of the embedded model"),
        (["--protocol", "world-dual", "--clip-skip", "1"], "--clip-skip with --protocol"),
        (["--device", "cpu", "--devices", "cpu", "cpu"], "--device cpu is for one process"),
        (["--model", "no-such-model.safetensors"], "no-such-model.safetensors"),
    ],
)
def test_models_that_make_no_sense_are_refused(options, told, capsys):
    assert main(["eval", *options]) == 2
    assert told in capsys.readouterr().err


def test_what_the_figures_are_about():
    assert described(EMBEDDED) == "the embedded model, which draws cartoon portraits"
    choice = ModelChoice("CompVis/stable-diffusion-v1-4", lora=("a.safetensors:0.5",), vae="b", clip_skip=1)
    assert described(choice) == "CompVis/stable-diffusion-v1-4 with a.safetensors:0.5, b, clip skip 1"

"""`minisd`, end to end on the embedded model."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from png_pixels import pixels

from minisd.cli import options, parameters, repeat
from minisd.cli.commands import main
from minisd.watch.words import word_columns

SMALL = ["--height", "32", "--width", "32"]  # a CPU without half precision takes half a minute for 128 pixels


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def repeating(name):
    """A picture's parameters without version, device and date, which change nothing in a repetition."""
    prompt, negative, fields = parameters.read(name)
    assert set(repeat.ABOUT) & set(fields) == {"Version", "Torch", "Device", "Date"}
    return prompt, negative, {k: v for k, v in fields.items() if k not in repeat.ABOUT}


def test_generate_writes_a_picture_a_seed(tmp_path, capsys):
    assert main(["generate", "a cat, wearing a crown", "--seed", "3", "4", "--steps", "3", "--negative", "dog"]) == 0
    names = ["a-cat-wearing-a-crown-s3.png", "a-cat-wearing-a-crown-s4.png"]
    assert capsys.readouterr().out.split() == names
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    prompt, negative, fields = repeating(names[1])
    assert (prompt, negative) == ("a cat, wearing a crown", "dog")
    assert fields == {
        "Steps": "3",
        "Sampler": "DDIM",
        "CFG scale": "7.5",
        "Seed": "4",
        "Size": "128x128",
        "Model": "tiny",
    }


def test_params_from_repeats_the_picture(tmp_path):
    job = [
        "a cat",
        "--steps",
        "3",
        "--guidance",
        "4",
        "--seed",
        "9",
        "--negative",
        "a, dog",
        "--height",
        "136",
    ]
    assert main(["generate", *job, "--width", "64", "--out", "a.png"]) == 0
    assert main(["generate", "--params-from", "a.png", "--out", "b.png"]) == 0
    assert (pixels("a.png") == pixels("b.png")).all()
    assert repeating("a.png") == repeating("b.png")
    assert main(["generate", "--params-from", "a.png", "--seed", "10", "--out", "c.png"]) == 0
    assert (pixels("a.png") != pixels("c.png")).any()  # a given option overrides the parameters
    assert parameters.read("c.png")[2]["Seed"] == "10"


def test_params_from_keeps_the_precision(tmp_path):
    assert main(["generate", "a cat", "--steps", "2", *SMALL, "--dtype", "bf16", "--out", "a.png"]) == 0
    assert parameters.read("a.png")[2]["Precision"] == "bf16"
    assert main(["generate", "--params-from", "a.png", "--out", "b.png"]) == 0
    assert (pixels("a.png") == pixels("b.png")).all()


def test_a_precision_that_is_given_wins_and_one_that_does_not_exist_is_told(tmp_path, capsys):
    from minisd.base.picture_files import save_png

    assert main(["generate", "a cat", "--steps", "2", *SMALL, "--dtype", "bf16", "--out", "a.png"]) == 0
    assert main(["generate", "--params-from", "a.png", "--dtype", "fp32", "--out", "b.png"]) == 0
    assert main(["generate", "a cat", "--steps", "2", *SMALL, "--out", "c.png"]) == 0
    assert (pixels("b.png") == pixels("c.png")).all() and "Precision" not in parameters.read("b.png")[2]
    save_png(Image.new("RGB", (64, 64)), tmp_path / "i.png", "a cat\nSteps: 2, Seed: 0, Precision: int8")
    assert main(["generate", "--params-from", "i.png"]) == 2
    assert "precision int8; minisd has fp32, fp16, bf16" in capsys.readouterr().err
    assert main(["generate", "--params-from", "i.png", "--dtype", "fp32"]) == 0


@pytest.fixture
def loads(sd, monkeypatch):
    """The arguments that the command gives to `minisd.load`, which returns the embedded model."""
    from minisd.loading import checkpoint

    asked = []

    def load(source, device, dtype, **files):
        asked.append((source, files))
        return replace(sd, name=source)

    monkeypatch.setattr(checkpoint, "load", load)
    return asked


def test_params_from_keeps_the_models_files(tmp_path, loads):
    files = {"variant": "non_ema", "revision": "v2", "ema": True}
    given = ["--model", "org/model", "--variant", "non_ema", "--revision", "v2", "--ema"]
    assert main(["generate", "a cat", "--steps", "1", *given, "--out", "a.png"]) == 0
    fields = parameters.read("a.png")[2]
    assert (fields["Variant"], fields["Revision"], fields["EMA"]) == ("non_ema", "v2", "yes")
    again = ["generate", "--params-from", "a.png", "--overwrite", "--out", "b.png"]
    assert main(again) == main([*again, "--model", "org/model"]) == 0
    assert repeating("b.png") == repeating("a.png")
    unchanged = {"lora": None, "vae": None, "clip_skip": None}
    assert loads == [("org/model", files | unchanged)] * 3
    assert main([*again, "--no-ema", "--variant", "fp16"]) == 0  # a given option overrides the parameters
    assert loads[-1] == ("org/model", {"variant": "fp16", "revision": "v2", "ema": False} | unchanged)
    assert main([*again, "--model", "other.ckpt"]) == 0  # the variant belongs to the picture's model
    assert loads[-1] == ("other.ckpt", {"variant": None, "revision": None, "ema": False} | unchanged)


def test_image_to_image(tmp_path, capsys):
    assert main(["generate", "a dog", "--steps", "4", "--out", "dog.png"]) == 0
    start = ["--image", "dog.png", "--steps", "4"]
    assert main(["generate", "a cat", *start, "--strength", "0.25", "--out", "near.png"]) == 0
    assert main(["generate", "a cat", *start, "--strength", "1.0", "--out", "far.png"]) == 0
    distance = [np.abs(pixels(name) - pixels("dog.png")).mean() for name in ("near.png", "far.png")]
    assert distance[0] < distance[1]
    assert main(["generate", "--params-from", "near.png"]) == 2
    assert "give it as --image" in capsys.readouterr().err
    assert main(["generate", "--params-from", "near.png", "--image", "dog.png", "--out", "again.png"]) == 0
    assert (pixels("again.png") == pixels("near.png")).all()


def test_a_word_has_the_columns_of_its_pieces(sd):
    prompt = "a xylophone, unbelievably"
    pieces = sd.pieces(prompt)
    assert len(pieces) > 4
    names, columns = zip(*word_columns(pieces), strict=True)
    assert names == ("[SOT]", "a", "xylophone", ",", "unbelievably", f"[EOT] x{76 - len(pieces)}")
    assert [i for c in columns for i in range(77)[c]] == list(range(77))  # each once, in order


@pytest.mark.parametrize("count", [0, 1, 74, 75, 76, 90])
def test_every_column_has_a_map_however_long_the_prompt(count):
    columns = word_columns(["x</w>", *["x"] * count])
    assert [i for _, c in columns for i in range(77)[c]] == list(range(77))
    assert len(columns) == (4 if count else 3)


def test_maps_sheet_has_a_cell_for_every_word(tmp_path, capsys):
    assert main(["maps", "a cat wearing a crown", "--steps", "3", "--out", "m.png"]) == 0
    sheet = pixels("m.png")
    # the picture and 7 maps ([SOT], five words, [EOT]) in rows of six
    assert sheet.shape[1] > 6 * 128 and 2 * 128 < sheet.shape[0] < 3 * 128
    assert main(["generate", "a cat wearing a crown", "--steps", "3", "--out", "p.png"]) == 0
    assert np.abs(sheet[4:132, 4:132] - pixels("p.png")).max() <= 1  # recording does not change the picture
    assert main(["maps", "a xylophone", "--steps", "1", "--out", "x.png"]) == 0
    assert pixels("x.png").shape[1] == 5 * 132 + 4  # the picture, [SOT], two words, [EOT]


def test_info_of_the_embedded_model(capsys):
    assert main(["info", "tiny"]) == 0
    out = capsys.readouterr().out
    assert "Stable Diffusion v1.x, folder" in out
    assert "unet 22.29 M" in out and "vae 4.36 M" in out and "text encoder 1.96 M" in out
    assert "dtype       F16" in out and "32 sites" in out and "mid      mid   2×2, 8 heads" in out


def test_info_of_other_files(tmp_path, capsys):
    from safetensors.torch import save_file

    save_file({"x.lora_up.weight": torch.zeros(2, 2)}, tmp_path / "l.safetensors")
    assert main(["info", "l.safetensors"]) == 0
    assert "a LoRA" in capsys.readouterr().out


def test_info_of_a_folder_that_is_no_model_says_what_loading_says(capsys):
    assert main(["info", "."]) == main(["generate", "a cat", "--model", "."]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == lines[1] and "not a model in diffusers layout: it has no unet/ folder" in lines[0]


def test_fetch_takes_a_hub_id(tmp_path, monkeypatch, capsys):
    from minisd.loading import source

    asked = []
    monkeypatch.setattr(source, "_from_hub", lambda *args: asked.append(args) or tmp_path)
    assert main(["fetch", "org/model", "--variant", "fp16", "--revision", "v2"]) == 0
    assert asked == [("org/model", "fp16", "v2", True)]
    assert "load it with --model org/model --variant fp16 --revision v2" in capsys.readouterr().out


def test_fetch_lists_the_manifest_and_refuses_other_names(capsys):
    assert main(["fetch"]) == 0
    assert "CompVis/stable-diffusion-v1-4" in capsys.readouterr().out
    assert main(["fetch", "sdxl"]) == 2
    assert "sd-v1-4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["generate"], "nothing to draw"),
        (["generate", "a cat", "--steps", "0"], "steps = 0"),
        (["generate", "a cat", "--steps", "1000"], "steps = 1000"),
        (["generate", "a cat", "--height", "100"], "multiples of 8"),
        (["generate", "a cat", "--guidance", "nan"], "guidance = nan"),
        (["generate", "a cat", "--strength", "0.5"], "--strength needs --image"),
        (["generate", "a cat", "--image", "none.png"], "no picture 'none.png'"),
        (["generate", "a cat", "--params-from", "none.png"], "no picture 'none.png'"),
        (["generate", "a cat", "--seed", "0", "1", "--out", "x.png"], "--out names one file"),
        (["generate", "a cat", "--out", "x.gif"], ".png"),
        (["generate", "a cat", "--out", ""], "--out '' names no file"),
        (["maps", "a cat", "--out", ".png"], "--out '.png' names no file"),
        (["generate", "a cat", "--device", "meta"], "device 'meta' holds shapes without numbers"),
        (["generate", "a cat", "--model", "no/such/thing"], "no model"),
        (["generate", "a cat", "--ema"], "ema"),
        (["maps", "a cat", "--variant", "fp16"], "fp16"),
        (["info", "nowhere.ckpt"], "no model 'nowhere.ckpt'"),
    ],
)
def test_mistakes_get_one_message_and_no_traceback(tmp_path, capsys, argv, message):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("minisd: error: ") and message in captured.err
    assert "Traceback" not in captured.err and not list(tmp_path.iterdir())


def test_a_prompt_behind_the_seeds_is_told(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "--seed", "0", "a cat"])
    assert "'a cat' is not a seed; a PROMPT goes before --seed" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["generate", "maps"])
def test_a_folder_that_cannot_be_written_to_is_told_before_the_work(monkeypatch, capsys, command):
    from minisd.base import outputs

    monkeypatch.setattr(outputs, "_writable", lambda folder: False)  # root may write anywhere
    monkeypatch.setattr(options, "load_model", lambda args: pytest.fail("the work has begun"))
    assert main([command, "a cat"]) == 2
    assert "the current folder cannot be written to" in capsys.readouterr().err


OUT_OF_MEMORY = [
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nMore about it"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    RuntimeError("Storage size calculation overflowed with sizes=[1, 4, 1000000000000000000, 16]"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_too_little_memory_is_one_line_with_a_way_out(capsys, error):
    def command(args):
        raise error

    assert options.run("minisd", command, None) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("minisd: error: not enough memory; ask for a smaller picture, for fewer seeds at once")


def test_other_runtime_errors_are_bugs_and_show_themselves():
    def command(args):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        options.run("minisd", command, None)


def test_existing_out_is_kept(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"mine")
    assert main(["generate", "a cat", "--steps", "2", "--out", "a.png"]) == 2
    assert (tmp_path / "a.png").read_bytes() == b"mine"


def test_foreign_parameters(tmp_path, capsys):
    """A picture of another program: an error names its sampler, which is not silently replaced."""
    from minisd.base.picture_files import save_png

    image = Image.new("RGB", (64, 64))
    text = "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 64x64"
    save_png(image, tmp_path / "e.png", text)
    assert main(["generate", "--params-from", "e.png"]) == 2
    assert "Euler a" in capsys.readouterr().err
    save_png(image, tmp_path / "b.png", "a cat\nSteps: many, Sampler: DDIM")
    assert main(["generate", "--params-from", "b.png"]) == 2
    save_png(image, tmp_path / "n.png")
    assert main(["generate", "--params-from", "n.png"]) == 2
    assert "holds no parameters" in capsys.readouterr().err


def test_fetch_asks_the_hub_for_what_the_manifest_says(tmp_path, monkeypatch, capsys):
    import huggingface_hub

    asked = []

    def snapshot_download(repo, *, revision, allow_patterns, local_files_only):
        asked.append((repo, revision, allow_patterns, local_files_only))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert main(["fetch", "clip-vit-l-14"]) == 0
    [(repo, revision, patterns, local)] = asked
    assert (repo, revision, local) == ("openai/clip-vit-large-patch14", "main", False)
    assert "model.safetensors" in patterns and "load it" not in capsys.readouterr().out


def test_the_manifest_is_complete():
    from minisd.loading.manifest import manifest

    for entry in manifest().values():
        assert {"repo", "revision", "licence", "about"} <= set(entry) and json.dumps(entry)

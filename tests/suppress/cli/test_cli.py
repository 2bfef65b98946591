"""`suppress`, end to end on the embedded model."""

import json
import os
import re
import shutil

import pytest
from PIL import Image

from minisd.base import outputs
from minisd.cli import options, parameters
from minisd.loading import checkpoint
from minisd.loading.source import data_folder
from suppress.cli.commands import main


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_main_job(tmp_path, capsys):
    assert main(["a man without glasses", "--remove", "glasses", "--seed", "0", "--steps", "8"]) == 0
    out = capsys.readouterr().out
    assert "removing 'glasses' (as named)" in out
    assert re.search(r"4  glasses   <- target", out) and "5-76  [EOT]" in out
    assert "R measured on tiny" in out
    before, after = map(float, re.search(r"DetScore glasses\s+([\d.]+)\s+([\d.]+)", out).groups())
    assert before > 0.9 and after < 0.1
    clip = [float(x) for x in re.search(r"CLIP score glasses\s+([\d.]+)\s+([\d.]+)", out).groups()]
    assert clip[0] > clip[1]
    file = tmp_path / out.splitlines()[-1]
    assert file.name == "a-man-without-glasses-s0.png"
    prompt, _negative, fields = parameters.read(file)
    assert prompt == "a man without glasses"
    assert fields["Suppress"] == "glasses" and fields["Seed"] == "0" and fields["Steps"] == "8"
    report = json.loads(file.with_suffix(".json").read_text())
    [result] = report["results"]
    assert report["targets"] == ["glasses"] and result["settings"]["start"] < 0.2
    assert result["scores"]["DetScore glasses"]["original"] == [pytest.approx(before, abs=0.001)]
    assert set(result["seconds"]) == {"encode", "sample", "decode", "total"}
    with Image.open(file) as image:  # two pictures of 128 beside each other, their maps below
        assert image.width > 2 * 128 and image.height > 2 * 128


def test_a_target_that_the_prompt_implies(tmp_path, capsys):
    """The pictures have no maps below them, because the prompt has no token for it."""
    job = ["a man by the sea", "--remove", "beach", "--steps", "1"]
    assert main([*job, "--method", "gie:scale=-2", "--out", "one.png"]) == 0
    out = capsys.readouterr().out
    assert "'beach' is not in the prompt" in out and "w = -2" in out and "DetScore beach" in out
    with Image.open("one.png") as image:
        assert image.width > 2 * 128 and image.height < 2 * 128
    assert main([*job, "--sheet", "gie:scale=-2", "unread"]) == 2
    assert "no 'beach'" in capsys.readouterr().err


def test_free_names_and_out(tmp_path, capsys):
    job = ["a man without glasses", "--steps", "2"]
    assert main(job) == 0 and main(job) == 0
    stems = ["a-man-without-glasses-s0-2", "a-man-without-glasses-s0"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{s}.{e}" for s in stems for e in ("json", "png")]
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


def test_json_of_others_is_kept(tmp_path, capsys):
    """The JSON beside the picture must not replace a file that existed."""
    (tmp_path / "a-man-without-glasses-s0.json").write_text("mine")
    (tmp_path / "b.json").write_text("mine too")
    assert main(["a man without glasses", "--steps", "2"]) == 0
    assert (tmp_path / "a-man-without-glasses-s0-2.png").is_file()
    assert main(["a man without glasses", "--steps", "2", "--out", "b.png"]) == 2
    assert (tmp_path / "a-man-without-glasses-s0.json").read_text() == "mine"
    assert (tmp_path / "b.json").read_text() == "mine too"


def test_preset_iterations_and_seeds(tmp_path, capsys):
    job = ["a man without glasses", "--preset", "official", "--iterations", "2", "--steps", "5", "--seed", "1", "2"]
    assert main([*job, "--out", "o.png"]) == 0
    assert "ITO × 2 before step 2, from step R = 1 of 5" in capsys.readouterr().out
    report = json.loads((tmp_path / "o.json").read_text())
    assert report["results"][0]["settings"]["heads"] == 4 and report["results"][0]["settings"]["iterations"] == 2
    assert len(report["results"][0]["scores"]["DetScore glasses"]["suppressed"]) == 2
    with Image.open(tmp_path / "o.png") as image:  # two rows of pictures for each of the two seeds
        assert image.height > 4 * 128


def test_sheet_has_a_row_a_method(tmp_path, capsys):
    job = ["a man without glasses", "--steps", "3", "--seed", "0", "1", "--out", "s.png"]
    assert main([*job, "--sheet", "zero", "suppress-eot:gamma=0", "unread"]) == 0
    report = json.loads((tmp_path / "s.json").read_text())
    assert [r["method"] for r in report["results"]] == ["zero", "suppress-eot:gamma=0", "unread"]
    assert report["results"][1]["settings"]["gamma"] == 0
    scores = report["results"][1]["scores"]["DetScore glasses"]
    assert scores["original"] == pytest.approx(scores["suppressed"], abs=1e-3)  # gamma 0 changes nothing
    with Image.open(tmp_path / "s.png") as image:
        assert image.width < 3 * 138 and 4 * 128 < image.height < 5 * 140


def test_strengthen(tmp_path, capsys):
    assert main(["a man with a beard", "--strengthen", "beard", "--steps", "3"]) == 0
    assert "strengthening 'beard'" in capsys.readouterr().out


def test_methods_are_listed(capsys):
    assert main(["methods"]) == 0
    out = capsys.readouterr().out
    for name in ("suppress-eot", "official", "paper", "unread", "attn2zero", "top-k", "strengthen"):
        assert re.search(rf"^{name} ", out, re.M)


def test_a_picture_is_kept_where_its_judges_are_damaged(tmp_path, capsys):
    model = tmp_path / "model"
    shutil.copytree(data_folder() / "tiny", model, copy_function=os.symlink)
    for file, content in (("detector/attributes.json", "["), ("clip/model.safetensors", "")):
        (model / file).unlink()
        (model / file).write_text(content)
    assert main(["a man without glasses", "--steps", "2", "--model", "model", "--out", "p.png"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"DetScore glasses\s+–\s+–  \(model/detector is damaged or incomplete: JSONDecodeError", out)
    assert re.search(r"CLIP score glasses\s+–\s+–  \(model/clip is damaged or incomplete", out)
    assert (tmp_path / "p.png").is_file()
    scores = json.loads((tmp_path / "p.json").read_text())["results"][0]["scores"]
    assert "damaged" in scores["DetScore glasses"]["reason"]


def test_the_models_files_stand_beside_its_name(sd, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "load", lambda *_args, **_files: sd)
    assert main(["a man without glasses", "--steps", "1", "--variant", "fp16", "--ema", "--out", "p.png"]) == 0
    fields = parameters.read(tmp_path / "p.png")[2]
    assert (fields["Variant"], fields["EMA"]) == ("fp16", "yes") and "Precision" not in fields
    assert json.loads((tmp_path / "p.json").read_text())["precision"] == "fp32"


def test_a_folder_that_cannot_be_written_to_is_told_before_the_work(monkeypatch, capsys):
    monkeypatch.setattr(outputs, "_writable", lambda folder: False)  # root may write anywhere
    monkeypatch.setattr(options, "load_model", lambda args: pytest.fail("the work has begun"))
    assert main(["a man without glasses"]) == 2
    assert "the current folder cannot be written to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["a man without glasses", "--start", "abc"], "'abc' is no number; expected a step such as 5, or a fraction"),
        (["a man without glasses", "--stop", "late"], "'late' is no number"),
        (["--seed", "0", "a man without glasses"], "without glasses' is not a seed; a PROMPT goes before --seed"),
        (["methods", "foo"], "unrecognized arguments: foo"),
    ],
)
def test_arguments_that_cannot_be_read(capsys, argv, message):
    with pytest.raises(SystemExit, match="2"):
        main(argv)
    assert message in capsys.readouterr().err


def test_a_start_in_the_methods_name_is_one_that_was_given(capsys):
    assert main(["a man without glasses", "--method", "suppress-eot: gamma=2, start=0.5", "--steps", "2"]) == 0
    assert "from step R = 1 of 2 (R as given)" in capsys.readouterr().out


def test_settings_reach_the_method(capsys):
    assert main(["a man without glasses", "--steps", "4", "--start", "4", "--gamma", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "γ = 0.5, from step R = 4 of 4 (R as given)" in out
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
        (["a man without glasses", "--out", ""], "--out '' names no file"),
        (["a man without glasses", "--out", ".png"], "--out '.png' names no file"),
        (["a man without glasses", "--gamma", "inf"], "gamma = inf; expected a finite number"),
        (["a man without glasses", "--method", "suppress-eot:gamma=inf"], "gamma = inf; expected a finite number"),
        (["a man without glasses", "--out", "no/where.png"], "there is no folder"),
        (["a man without glasses", "--device", "nonsense"], "device 'nonsense'"),
        (["a man without glasses", "--method", "magic"], "method 'magic' is unknown; expected one of suppress-eot"),
        (["a man without glasses", "--method", "unread:gamma=1"], "with a field of unread"),
        (["a man without glasses", "--method", "suppress-eot:heads=many"], "heads = 'many'"),
        (["a man without glasses", "--method", "unread", "--gamma", "1"], "unread has no setting gamma"),
        (["a man without glasses", "--method", "unread", "--preset", "paper"], "--preset paper is of suppress-eot"),
    ],
)
def test_mistakes_get_one_message_and_no_traceback(tmp_path, capsys, argv, message):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("suppress: error: ") and message in captured.err
    assert "Traceback" not in captured.err and not list(tmp_path.iterdir())

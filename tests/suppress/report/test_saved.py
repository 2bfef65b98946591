"""`suppress`: files of a run that stops, batches, single pictures, labels, and prompts behind --remove."""

import json
import re

import numpy as np
import pytest
from PIL import Image

import suppress
from minisd import UserError
from minisd.base import unfinished
from minisd.cli import options, parameters
from suppress.cli import draw as command
from suppress.cli.commands import main
from suppress.report import files as report

PROMPT = "a man without glasses"
SMALL = ["--height", "64", "--width", "64", "--steps", "1"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(sd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "load_model", lambda args: sd)


def stop_at(monkeypatch, call, error):
    """Makes the n-th drawing raise an error. Returns the list of the files that exist by then."""
    calls, found = [], []
    run = command.run

    def stopping(*args, **kwargs):
        calls.append(kwargs["seed"])
        if len(calls) == call:
            found.extend(sorted(report.Path().iterdir()))
            raise error
        return run(*args, **kwargs)

    monkeypatch.setattr(command, "run", stopping)
    return found


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted; drawn: 1 of 2"),
        (UserError("this row cannot be drawn"), 2, "suppress: drawn: 1 of 2"),
    ],
)
def test_rows_that_are_drawn_stay_when_a_later_one_stops(tmp_path, monkeypatch, capsys, error, status, said):
    files = stop_at(monkeypatch, 2, error)
    assert main([PROMPT, "--sheet", "zero", "unread", *SMALL]) == status
    stem = "a-man-without-glasses-s0-sheet-unfinished"  # it has one of two rows
    png = tmp_path / f"{stem}.png"
    assert [p.name for p in files] == [f"{stem}.json", f"{stem}.png"]  # they exist even if the process is killed now
    content = json.loads(png.with_suffix(".json").read_text())
    assert [r["method"] for r in content["results"]] == ["zero"] and content["results"][0]["scores"]
    with Image.open(png) as image:
        assert 2 * 64 < image.height < 3 * 64 + 50
    err = capsys.readouterr().err
    assert f"{said} pictures, in {png.name}" in err and "Traceback" not in err


def test_batches_of_seeds_that_are_drawn_stay(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "BATCH", 2)
    stop_at(monkeypatch, 2, KeyboardInterrupt())
    assert main([PROMPT, "--seed", "3-6", *SMALL, "--out", "p.png", "--save-pictures", "each"]) == 130
    assert "drawn: 2 of 4 pictures, in" in capsys.readouterr().err
    assert json.loads((tmp_path / "p-unfinished.json").read_text())["seeds"] == [3, 4]
    assert parameters.read("p-unfinished.png")[2]["Suppress seeds"] == "3 4"
    assert not (tmp_path / "p.png").exists()  # for which a script may wait
    assert len(list((tmp_path / "each").iterdir())) == 4


def test_stopped_before_anything_is_drawn(tmp_path, monkeypatch, capsys):
    stop_at(monkeypatch, 1, KeyboardInterrupt())
    assert main([PROMPT, *SMALL]) == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_batches_are_joined_in_order(tmp_path, monkeypatch):
    job = [PROMPT, "--seed", "0-2", *SMALL, "--sheet", "zero"]
    assert main([*job, "--out", "whole.png"]) == 0
    monkeypatch.setattr(command, "BATCH", 2)
    assert main([*job, "--out", "parts.png"]) == 0
    whole, parts = (np.asarray(Image.open(name), int) for name in ("whole.png", "parts.png"))
    assert whole.shape == parts.shape and np.abs(whole - parts).max() <= 3
    scores = [json.loads((tmp_path / f"{name}.json").read_text())["results"][0] for name in ("whole", "parts")]
    for name, values in scores[0]["scores"].items():
        assert scores[1]["scores"][name]["suppressed"] == pytest.approx(values["suppressed"], abs=1e-2)
    assert set(scores[0]["seconds"]) == set(scores[1]["seconds"])


def test_a_disk_that_fills_up_leaves_the_last_good_files(tmp_path, monkeypatch, capsys):
    writes, write_output = [], unfinished.write_output

    def filling(files, *args, **kwargs):
        writes.append(files)
        if len(writes) > 2:  # the second row's
            raise UserError("p.png could not be written: No space left on device; make room")
        return write_output(files, *args, **kwargs)

    monkeypatch.setattr(unfinished, "write_output", filling)
    assert main([PROMPT, "--sheet", "zero", "unread", *SMALL, "--out", "p.png"]) == 2
    assert re.search(r"error: p.png could not be written", capsys.readouterr().err)
    assert len(json.loads((tmp_path / "p-unfinished.json").read_text())["results"]) == 1


# ---------------------------------------------------------------------- single pictures


def test_single_pictures_are_saved(sd, tmp_path):
    job = [PROMPT, *SMALL, "--seed", "1", "2", "--save-pictures", "each", "--out", "p.png"]
    assert main(job) == 0
    names = [f"a-man-without-glasses-s{seed}-{what}.png" for seed in (1, 2) for what in ("original", "suppressed")]
    assert sorted(p.name for p in (tmp_path / "each").iterdir()) == names
    settings, _ = suppress.default_settings(sd, steps=1)
    result = suppress.run(sd, PROMPT, "glasses", seed=[1, 2], settings=settings, height=64, width=64)
    for k, pictures in enumerate(zip(result.original, result.image, strict=True)):
        for name, picture in zip(names[2 * k : 2 * k + 2], pictures, strict=True):
            with Image.open(tmp_path / "each" / name) as saved:
                assert np.abs(np.asarray(saved, int) - np.asarray(picture, int)).max() <= 1
    original = parameters.read(tmp_path / "each" / names[2])[2]
    assert original["Seed"] == "2" and not any(name.startswith("Suppress") for name in original)
    assert parameters.read(tmp_path / "each" / names[3])[2]["Suppress"] == "glasses"
    before = (tmp_path / "each" / names[0]).read_bytes()
    assert main([*job, "--overwrite"]) == 0  # which is for --out
    assert (tmp_path / "each" / names[0]).read_bytes() == before and len(list((tmp_path / "each").iterdir())) == 8


def test_single_pictures_of_a_sheet_name_the_method(tmp_path):
    (tmp_path / "each").mkdir()
    sheet = ["--sheet", "zero", "suppress-eot:gamma=0", "suppress-eot:gamma=2"]
    assert main([PROMPT, *sheet, *SMALL, "--save-pictures", "each"]) == 0
    endings = ["gamma-0-0", "gamma-2-0", "original", "zero"]
    assert sorted(p.name for p in (tmp_path / "each").iterdir()) == [
        f"a-man-without-glasses-s0-{e}.png" for e in endings
    ]
    fields = parameters.read(tmp_path / "each" / "a-man-without-glasses-s0-gamma-2-0.png")[2]
    assert fields["Suppress method"].startswith("suppress-eot:") and "gamma=2.0" in fields["Suppress method"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file", "is a file"),
        ("no/where", "there is no folder"),
        ("x" * 300, "no file can have this name"),
        ("a\0b", "no file can have this name"),
    ],
)
def test_a_folder_that_cannot_be_used_is_told_before_the_work(tmp_path, monkeypatch, capsys, name, message):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(options, "load_model", lambda args: pytest.fail("the work has begun"))
    assert main([PROMPT, "--save-pictures", name]) == 2
    assert message in capsys.readouterr().err


# ---------------------------------------------------------------------- labels


def test_rows_of_a_sheet_are_labelled_by_what_differs(sd):
    def labels(*specs, **given):
        return report.row_labels(sd, [report.Row(s, suppress.default_settings(sd, s, **given)[0], "") for s in specs])

    assert labels("zero", "suppress-eot", "unread", start=3) == ["zero", "suppress-eot", "unread"]
    assert labels("zero", "suppress-eot:gamma=2") == ["zero", "suppress-eot:gamma=2.0"]
    assert labels("suppress-eot:gamma=0", "suppress-eot:gamma=2") == ["gamma=0.0", "gamma=2.0"]


# ---------------------------------------------------------------------- words


def test_a_prompt_behind_a_word_with_its_place(tmp_path):
    """ "A Hat" has the word too, but only once, so it cannot be the prompt of "hat:2"."""
    assert main(["--remove", "hat:2", "A Hat", "a hat on a hat", *SMALL, "--out", "p.png"]) == 0
    content = json.loads((tmp_path / "p.json").read_text())
    assert content["prompt"] == "a hat on a hat" and content["targets"] == ["hat", "A Hat"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--remove", "scarf", "a man without glasses"], "--remove takes all values behind it: a PROMPT goes before"),
        (["--sheet", "zero", "a man without glasses"], "--sheet takes all values behind it"),
        (["--steps", "2"], "nothing to draw: give a PROMPT, or --params-from a picture"),
        ([PROMPT, "--method", "strengthen"], "name that with --strengthen WORD"),
        (
            [PROMPT, "--strengthen", "glasses", "--method", "zero"],
            "zero draws less of its words; --strengthen takes the methods strengthen, attend-and-excite",
        ),
    ],
)
def test_no_prompt_or_no_sense(tmp_path, capsys, argv, message):
    assert main(argv) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())

"""`suppress sheet`: many methods on one sheet."""

import numpy as np
import pytest
from PIL import Image

from minisd.cli import options
from suppress.cli import sheet as sheet_command
from suppress.cli.sheet import PROMPTS, main
from suppress.prompt import find_places
from suppress.report.methods_sheet import SheetRow, draw_sheet, name_picture

JOB = ["--targets", "crown", "--steps", "2", "--out", "sheet.png"]


@pytest.fixture
def model(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "load_model", lambda args: small)


def test_each_prompt_has_its_target_once():
    assert list(PROMPTS) == ["glasses", "beard", "hat", "rain", "van gogh", "crown"]
    assert all(len(find_places(prompt, target)) == 1 for target, prompt in PROMPTS.items())


def test_a_sheet_is_drawn_and_what_cannot_be_drawn_is_said(model, capsys):
    assert main([*JOB, "--methods", "zero", "delta", "unread:keep=1"]) == 0
    text = capsys.readouterr().out
    assert "delta: left out, because path = ''" in text and "3 rows; the others take about" in text
    assert "2 methods in " in text and text.strip().endswith("sheet.png")
    picture = Image.open("sheet.png")
    assert picture.info["parameters"].startswith("suppress sheet, Seed: 0, Steps: 2, Model: tiny, Version: minisd ")
    one = Image.open("sheet.png").height // 3
    assert picture.width > 2 * 64 and picture.height > 3 * 64 and one > 64  # a name and a picture; three rows
    assert main([*JOB, "--methods", "zero"]) == 2 and "sheet.png" in capsys.readouterr().err  # it is kept
    assert main([*JOB, "--overwrite", "--methods", "delta"]) == 2
    assert "none of the methods could draw" in capsys.readouterr().err
    assert main(["--methods", "nope"]) == 2 and "'nope' is unknown" in capsys.readouterr().err


def test_a_method_that_draws_more_has_no_row(model, tmp_path, capsys):
    assert main(["--methods", "zero", "attend-and-excite:scale=5"]) == 2
    told = capsys.readouterr().err
    assert "--methods attend-and-excite:scale=5 draws more of what it is given; the sheet shows how" in told
    assert not list(tmp_path.iterdir())


def test_a_sheet_that_is_stopped_is_told_by_its_name(model, tmp_path, monkeypatch, capsys):
    add = sheet_command._Sheet.add
    found = []

    def stopped(self, name, spec):
        if spec == "unread":
            found.extend(path.name for path in tmp_path.iterdir())
            raise KeyboardInterrupt
        return add(self, name, spec)

    monkeypatch.setattr(sheet_command._Sheet, "add", stopped)
    assert main([*JOB, "--methods", "zero", "unread"]) == 130
    assert "drawn: 1 of 2 methods, in sheet-unfinished.png" in capsys.readouterr().err
    assert found == [path.name for path in tmp_path.iterdir()] == ["sheet-unfinished.png"]
    assert main([*JOB, "--methods", "zero"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sheet-unfinished.png", "sheet.png"]  # of both commands


def test_the_negative_prompt_is_that_of_all_pictures(small, model):
    job = ["--targets", "crown", "--methods", "zero", "--steps", "1", "--out", "sheet.png"]
    assert main([*job, "--negative", "rain"]) == 0
    sheet = Image.open("sheet.png")
    assert ", Negative prompt: rain, " in sheet.info["parameters"]
    [want] = small.generate(PROMPTS["crown"], steps=1, negative_prompt="rain")
    drawn = np.asarray(sheet.crop((72, 4, 136, 68)), int)
    assert np.abs(drawn - np.asarray(want, int)).max() <= 1  # the original, beside the empty first cell


def test_rows_and_columns_are_where_they_belong():
    def row(name, *levels):
        return SheetRow(name, [Image.new("RGB", (40, 30), (level,) * 3) for level in levels], ["", ""])

    rows = [row("one", 30, 40), row("two", 50, 60)]
    drawn = np.asarray(draw_sheet(["a", "b"], row("original", 10, 20), rows))[..., 0]
    height, width = (drawn.shape[0] - 4) // 3, (drawn.shape[1] - 4) // 3
    middles = [[int(drawn[r * height + 15, c * width + 24]) for c in (1, 2)] for r in range(3)]
    assert middles == [[10, 20], [30, 40], [50, 60]]


def test_a_name_stands_on_white_with_its_note():
    plain, noted = name_picture("magic-remover-blended", "", (128, 128)), name_picture("zero", "3.1 s", (128, 128))
    dark = np.argwhere(np.asarray(plain.convert("L")) < 100)
    assert len(dark) and dark[:, 1].max() < 126  # it is wrapped, not cut
    grey = np.asarray(noted.convert("L"))
    assert (grey[: 128 // 2] < 100).any() and not (grey[128 // 2 + 10 :] < 100).any() and (grey < 255).any()

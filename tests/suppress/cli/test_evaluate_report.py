"""`suppress eval --report`: its files, its rows, and the mistakes that are told before the work."""

import json

import pytest

from minisd import UserError
from suppress.cli.evaluate import main
from suppress.cli.evaluate_report import HEADING, check_report, write_report

JOB = ["--steps", "1", "--seeds", "1", "--kinds", "first", "--only", "SWR", "phrase deleted"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Args:
    def __init__(self, samples=None, report=True):
        self.samples, self.report = samples, report


def test_the_report_stands_beside_the_cells_and_is_written_anew(tmp_path, capsys):
    assert main(JOB) == 0
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".csv", ".jsonl", ".md"]
    assert main([*JOB, "--report", "--samples", "SWR"]) == 0
    assert "report: suppress-eval-report.html" in capsys.readouterr().out
    page = (tmp_path / "suppress-eval-report.html").read_text(encoding="utf-8")
    text = (tmp_path / "suppress-eval-report.md").read_text(encoding="utf-8")
    assert page.startswith(f"{HEADING}\n<!doctype html>\n") and text.startswith(f"{HEADING}\n\n# Methods on prompts")
    # what a shell would read as one argument stands in quotes
    command = f"suppress eval {' '.join(JOB[:-1])} 'phrase deleted' --report --samples SWR"
    assert command in text and command.replace("'", "&#39;") in page
    assert page.count('class="sample"') == 2 and "<b>SWR</b>" in page and "<b>phrase deleted</b>" not in page
    cells = [json.loads(line) for line in (tmp_path / "suppress-eval.jsonl").read_text().splitlines()]
    assert all(f"SSIM {cell['ssim'][0]:.2f}" in page for cell in cells if cell["row"] == "SWR")
    (tmp_path / "suppress-eval-report.md").write_text(f"{HEADING}\nold", encoding="utf-8")
    assert main([*JOB, "--report", "--samples"]) == 0
    again = (tmp_path / "suppress-eval-report.md").read_text(encoding="utf-8")
    assert again.replace("--samples", "--samples SWR") == text
    assert 'class="sample"' not in (tmp_path / "suppress-eval-report.html").read_text(encoding="utf-8")


def test_the_report_of_pictures(tmp_path):
    job = ["--pictures", "--limit", "1", "--steps", "1", "--only", "zero", "--inversions", "ddim", "--report"]
    assert main([*job, "--samples", "zero on ddim"]) == 0
    page = (tmp_path / "suppress-pictures-report.html").read_text(encoding="utf-8")
    assert "<h1>Methods on pictures</h1>" in page and page.count('class="sample"') == 1


@pytest.mark.quick
@pytest.mark.parametrize(
    "argv", [["--report", "--samples", "magic"], ["--samples", "SWR"], ["--pictures", "--samples"]]
)
def test_mistakes_are_told_before_the_work(monkeypatch, capsys, argv):
    monkeypatch.setattr("minisd.load", None)
    assert main(argv) == 2
    message = capsys.readouterr().err
    assert "no row magic in the table; there is phrase deleted" in message or "add --report" in message


@pytest.mark.quick
@pytest.mark.parametrize("ending", ["-report.md", "-report.html"])
def test_files_of_others_are_kept(tmp_path, monkeypatch, capsys, ending):
    monkeypatch.setattr("minisd.load", None)
    mine = tmp_path / f"suppress-eval{ending}"
    mine.write_text("my notes")
    assert main([*JOB, "--report"]) == 2
    assert f"{mine.name} was not made by this command" in capsys.readouterr().err and mine.read_text() == "my notes"
    mine.unlink()
    mine.mkdir()
    assert main([*JOB, "--report"]) == 2
    assert f"{mine.name} cannot be written" in capsys.readouterr().err


@pytest.mark.quick
def test_a_name_that_is_too_long_for_the_report_is_told(tmp_path):
    with pytest.raises(UserError, match="no file can have this name"):
        check_report(Args(), tmp_path / ("x" * 246 + ".jsonl"), ["SWR"], ())


@pytest.mark.quick
def test_the_usual_rows_are_those_of_the_table(tmp_path):
    out, usual = tmp_path / "cells.jsonl", ("Unread", "SWR", "suppress-eot")
    assert check_report(Args(), out, ["SWR", "zero", "Unread"], usual) == ["SWR", "Unread"]
    assert check_report(Args(["zero"]), out, ["SWR", "zero", "Unread"], usual) == ["zero"]
    assert check_report(Args([]), out, ["SWR"], usual) == []
    assert check_report(Args(report=False), out, ["SWR"], usual) == []


@pytest.mark.quick
def test_a_report_is_of_a_whole_table(tmp_path, capsys):
    assert main(["--report", "--shard", "1/2"]) == 2
    assert "--report needs the whole table" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.quick
def test_a_stop_while_pictures_are_drawn_says_what_is_kept(tmp_path):
    def make():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"cells.jsonl and its table are written, the report is not"):
        write_report(tmp_path / "cells.jsonl", make)
    assert not list(tmp_path.iterdir())

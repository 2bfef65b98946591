"""`--devices`: the cells of a table by several processes. There is no GPU here, so the devices are all the CPU."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from suppress.cli.evaluate import main


@pytest.fixture
def fake(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import fake_plan

    return fake_plan


@pytest.fixture
def table(fake, capsys):
    """The table as one process makes it."""
    assert fake.run(fake.FakePlan("alone"), "--out", "alone.jsonl") == 0
    return capsys.readouterr().out


def test_two_processes_make_the_same_table(fake, table, capsys):
    assert fake.run(fake.FakePlan("log", seconds=0.05), "--devices", "cpu", "cpu") == 0
    assert capsys.readouterr().out == table
    cells = fake.measured(Path("log"))
    assert len({cell.what for cell in cells}) == len(cells) == 36
    assert len({cell.by for cell in cells}) == 2 and str(os.getpid()) not in {cell.by for cell in cells}


def test_a_process_that_dies_loses_nothing(fake, table, capsys):
    assert fake.run(fake.FakePlan("log", kill="killed"), "--devices", "cpu", "cpu") == 0
    assert Path("killed").exists() and capsys.readouterr().out == table
    assert Counter(cell.what for cell in fake.measured(Path("log"))).most_common(1)[0][1] == 1
    assert len(Path("cells.jsonl").read_text().splitlines()) == 36


def test_a_cell_that_kills_every_process_is_told_and_the_others_are_measured(fake, table, capsys):
    """The cells that would have shared its batch, too."""
    deadly = fake.FakePlan("log", kill="killed", always=True)
    assert fake.run(deadly, "--devices", "cpu", "cpu", "--batch", "4") == 2
    assert "two: 2" in Path("log-batches").read_text()
    assert "cells.jsonl lacks 3 cells (" in capsys.readouterr().err
    assert len(Path("cells.jsonl").read_text().splitlines()) == 33
    assert fake.run(fake.FakePlan("log")) == 0 and capsys.readouterr().out == table


def test_a_process_that_can_measure_nothing_is_an_error(fake, capsys):
    assert fake.run(fake.FakePlan("log"), "--devices", "no such device") == 2
    assert "there is no such device" in capsys.readouterr().err and not Path("log").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--devices", "cpu", "--on", "ray"], "--on and --devices exclude each other"),
        (["--gpus", "1"], "--gpus is for --on ray"),
        (["--on", "ray", "--gpus", "-1"], "gpus = -1"),
        (["--devices", "cpu", "cuda:0"], "times on cpu and cuda fit no common table"),
    ],
)
def test_mistakes(fake, capsys, argv, message):
    assert main(argv) == 2 and message in capsys.readouterr().err and not list(Path().iterdir())


def test_a_real_table_on_two_processes(fake, capsys):
    """One of them draws both prompts at once."""
    job = ["--steps", "1", "--seeds", "1", "--kinds", "first", "--only", "SWR", "phrase deleted", "--out"]
    assert main([*job, "one.jsonl"]) == main([*job, "two.jsonl", "--devices", "cpu", "cpu", "--batch", "4"]) == 0
    cells = [json.loads(line) for line in Path("two.jsonl").read_text().splitlines()]
    assert len({cell["seconds"] for cell in cells if cell["row"] == "SWR"}) == 1 < len(cells)
    assert main(["merge", "one.jsonl", "two.jsonl", "--out", "both.jsonl"]) == 0
    assert "4 cells found in several files with the same scores" in capsys.readouterr().out

"""A run that is killed goes on, loses at most the cell in work, and ends with the same table."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SECONDS = 0.08  # that each of the 36 cells takes: long enough that no run ends before it is killed


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import fake_plan

    return fake_plan


def start(folder: Path) -> subprocess.Popen:
    program = [sys.executable, str(HERE / "fake_plan.py"), "log", str(SECONDS)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(program, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def test_a_run_that_is_killed_at_five_random_moments_ends_with_the_same_table(tmp_path, fake):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    table, _ = start(whole).communicate()
    file, log = killed / "cells.jsonl", killed / "log"
    draw = random.Random(0)
    for _ in range(5):
        process, before = start(killed), size(file)
        while size(file) == before and process.poll() is None:  # it has begun to measure
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 2 * SECONDS))
        assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    again, told = start(killed).communicate()
    assert again == table and "one" in table and "error" not in told
    for name in ("cells.md", "cells.csv"):
        assert (killed / name).read_text() == (whole / name).read_text()
    cells = [json.loads(line) for line in file.read_text().splitlines()]
    keys = Counter((cell["row"], cell["case"]["prompt"]) for cell in cells)
    assert len(keys) == 36 and set(keys.values()) == {1}  # nothing lost, nothing twice
    times = Counter(each.what for each in fake.measured(log))
    assert 36 <= times.total() <= 36 + 5 and len(times) == 36  # each stop loses at most the cell in work
    assert sorted(path.name for path in killed.iterdir()) == ["cells.csv", "cells.jsonl", "cells.md", "log"]


def test_a_second_process_does_not_write_the_same_file(tmp_path, fake, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    process = start(tmp_path)
    while not size(tmp_path / "cells.jsonl") and process.poll() is None:
        time.sleep(0.005)
    assert fake.run(fake.FakePlan("log2")) == 2
    assert f"cells.jsonl is being written by process {process.pid} on" in capsys.readouterr().err
    process.communicate()
    assert not (tmp_path / "log2").exists() and len((tmp_path / "cells.jsonl").read_text().splitlines()) == 36


def test_cells_of_other_weights_are_measured_again(tmp_path, fake, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert fake.run(fake.FakePlan("log")) == 0 == fake.run(fake.FakePlan("log"))
    assert len(fake.measured(Path("log"))) == 36 and capsys.readouterr().err == ""
    assert fake.run(fake.FakePlan("log", weights="02")) == 0
    assert "cells.jsonl: 36 cells to be measured again, because of lines that do not fit (36: other weights)" in (
        capsys.readouterr().err
    )
    assert len(fake.measured(Path("log"))) == 72 and len(Path("cells.jsonl").read_text().splitlines()) == 72

"""`python -m bench.erasers`: the means and moves of a table cell, and the command on the eraser that is shipped."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bench import erasers
from bench.erasers import Drawn, cell
from suppress.edits.weights import read_about, write_delta

SHIPPED = Path(__file__).parents[2] / "weights/tiny/erasers/glasses.safetensors"


def drawn(before: dict, after: dict) -> Drawn:
    return Drawn("a man", *({k: np.asarray(v, float) for k, v in side.items()} for side in (before, after)))


def test_a_cell_has_the_means_of_the_target_and_the_largest_move_of_another_attribute():
    one = drawn(
        {"glasses": [1, 0.8], "hat": [0, 0], "beard": [0.5, 0.5]},
        {"glasses": [0, 0], "hat": [0.2, 0], "beard": [0, 0.4]},
    )
    assert cell([one], "glasses") == "0.90 → 0.00 (beard -0.30)"
    other = drawn(
        {"glasses": [0.5] * 2, "hat": [0] * 2, "beard": [0] * 2},
        {"glasses": [0.1] * 2, "hat": [0.3] * 2, "beard": [0.3] * 2},
    )
    assert cell([one, other], "glasses") == "0.70 → 0.05 (hat +0.20)"  # the moves of beard cancel


def test_what_goes_with_the_target_is_no_other_attribute():
    one = drawn({"glasses": [1], "sunglasses": [1], "hat": [0.1]}, {"glasses": [0], "sunglasses": [0], "hat": [0]})
    assert cell([one], "glasses") == "1.00 → 0.00 (hat -0.10)"


def test_from_the_file_to_the_table(monkeypatch, tmp_path, capsys):
    for name, value in {
        "SEEDS": 1,
        "STEPS": 6,
        "NAMING": erasers.NAMING[:1],
        "NOT_NAMING": (),
        "RESULTS": tmp_path,
    }.items():
        monkeypatch.setattr(erasers, name, value)
    monkeypatch.setattr(sys, "argv", ["erasers", str(SHIPPED)])
    erasers.main()
    text = (tmp_path / "erasers-glasses.md").read_text()
    assert text.strip() in capsys.readouterr().out
    row = [part.strip() for part in text.splitlines()[-1].strip("|").split("|")]
    assert row[0] == "concept-ablation, frozen True, iterations 240, rank 8"
    assert row[1] == f"{read_about(SHIPPED)['cpu seconds']:.0f}"
    assert row[2] == row[3].replace("**", "") and float(row[2].split()[0]) > 0.8 and float(row[2].split()[2]) < 0.2


def test_a_file_of_somebody_else_is_refused(monkeypatch, tmp_path, capsys):
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"no tensors")
    monkeypatch.setattr(sys, "argv", ["erasers", str(path)])
    with pytest.raises(SystemExit):
        erasers.main()
    assert "is no file that `suppress train` wrote" in capsys.readouterr().err


def test_files_of_two_concepts_are_refused(monkeypatch, tmp_path, capsys):
    path = tmp_path / "hat.safetensors"
    write_delta(path, {}, {"concept": "hat"})
    monkeypatch.setattr(sys, "argv", ["erasers", str(SHIPPED), str(path)])
    with pytest.raises(SystemExit):
        erasers.main()
    assert "give files of one concept" in capsys.readouterr().err

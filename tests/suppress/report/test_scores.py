"""Scores as lines for the terminal."""

import pytest

from suppress.report.scores import failures, join_scores, table

pytestmark = pytest.mark.quick


def test_failures_name_the_seeds():
    scores = {"DetScore hat": {"original": [1.0, 1.0, 1.0], "suppressed": [0.1, 0.9, 0.51]}}
    assert failures(scores, ["hat"], [7, 8, 9]) == ["'hat' is still there by DetScore, with seed 8 (0.900), 9 (0.510)"]
    stronger = {"DetScore hat": {"original": [0.1, 0.1], "strengthened": [0.2, 0.9]}}
    assert failures(stronger, ["hat"], [7, 8], "strengthened") == [
        "'hat' is not there by DetScore, with seed 7 (0.200)"
    ]
    assert failures({"DetScore hat": {"reason": "no class"}}, ["hat"], [0]) == []
    assert failures({"DetScore hat": {"suppressed": [0.5]}}, ["hat"], [0]) == []


def test_the_table_has_means_reasons_and_remarks():
    scores = {
        "DetScore crown": {"original": [1.0, 0.5], "suppressed": [0.25, 0.0], "remark": "the whole class hat"},
        "CLIP score crown": {"reason": "no CLIP"},
    }
    title, det, clip = (line.split(maxsplit=2) for line in table(scores, "zero").splitlines())
    assert title == ["zero", "original", "suppressed"]
    assert det[2].split(maxsplit=2) == ["0.750", "0.125", "(the whole class hat)"]
    assert clip[2].split(maxsplit=3)[1:] == ["–", "–", "(no CLIP)"]


def test_scores_of_more_seeds_stand_behind_those_of_the_first():
    first, more = ({"DetScore hat": {"original": [v], "remark": "r"}} for v in (0.1, 0.2))
    assert join_scores({}, first) == first
    assert join_scores(first, more) == {"DetScore hat": {"original": [0.1, 0.2], "remark": "r"}}


def test_the_table_of_a_picture_has_its_reconstruction():
    scores = {
        "DetScore hat": {"original": [1.0], "reconstruction": [0.5], "suppressed": [0.25]},
        "CLIP score hat": {"reason": "no CLIP"},
    }
    lines = table(scores).splitlines()
    assert lines[0].split() == ["original", "reconstruction", "suppressed"]
    assert lines[1].split() == ["DetScore", "hat", "1.000", "0.500", "0.250"]
    assert len(lines[0]) == len(lines[1])  # the columns end under their names
    assert lines[2].split()[3:6] == ["–"] * 3


def test_an_edited_picture_has_no_seed():
    scores = {"DetScore hat": {"original": [1.0], "suppressed": [0.9]}}
    assert failures(scores, ["hat"], None) == ["'hat' is still there by DetScore, 0.900"]

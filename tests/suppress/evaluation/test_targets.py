"""Several targets of one case: how they are written, and how they are judged."""

from types import SimpleNamespace

import pytest

from suppress.evaluation.all_table import measured_rows
from suppress.evaluation.cases import Case
from suppress.evaluation.spreadsheet import prompt_lines
from suppress.evaluation.targets import judged, phrase_of, targets_of

pytestmark = pytest.mark.quick

DETECTOR = SimpleNamespace(match=lambda words: SimpleNamespace(name=words.split()[-1]))
CASE = Case("list", "a man with glasses and a red hat", "glasses + red hat", "a man")
CELL = {
    "before": {"glasses": [0.9, 0.2], "hat": [0.5, 0.8], "dog": [0.1, 0.1]},
    "after": {"glasses": [0.3, 0.0], "hat": [0.1, 0.4], "dog": [0.2, 0.1]},
    **{name: [0.5, 0.5] for name in ("clip before", "clip after", "ssim")},
    **{"passes": 8, "seconds": 1.0},
}


def test_a_plus_stands_between_targets():
    assert targets_of("glasses + red hat") == ["glasses", "red hat"] and targets_of("c++") == ["c++"]
    assert phrase_of("glasses + red hat") == "glasses and red hat" and phrase_of("hat") == "hat"


def test_several_targets_have_the_score_of_the_one_that_is_seen_best():
    name, cell = judged(CASE.target, CELL, DETECTOR)
    assert name == "glasses + hat"
    assert cell["before"] == {"dog": [0.1, 0.1], name: [0.9, 0.8]} and cell["after"][name] == [0.3, 0.4]
    assert CELL["before"].keys() == {"glasses", "hat", "dog"}  # the cell itself stays
    assert judged("hat", CELL, DETECTOR) == ("hat", CELL)
    assert judged("hat + a hat", CELL, DETECTOR)[0] == "hat"  # both are one class


def test_tables_and_files_judge_them_so():
    done = {("SWR", CASE.key): CELL}
    summary = measured_rows(done, {"SWR": "suppress-eot"}, [CASE], DETECTOR)["SWR"].summary
    assert summary.det == pytest.approx(0.35) and summary.worst == ("dog", pytest.approx(0.05))
    lines = list(prompt_lines(done, ["SWR"], [CASE], [0, 1], DETECTOR))
    assert [line["detscore_after"] for line in lines] == [0.3, 0.4]

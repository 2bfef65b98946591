"""Which measured cells fit a run, and what the user is told about the others."""

from dataclasses import asdict, replace

import pytest

from suppress.evaluation.cases import CASES
from suppress.evaluation.fit import Making, fitting, incomplete, misfit, plain
from suppress.evaluation.forms import PROMPTS, _check_extra
from suppress.evaluation.jobs import Job, fill
from suppress.methods import parse_method

pytestmark = pytest.mark.quick

CLASSES = ["glasses", "hat"]
MADE_BY = {"code": "0.1.0+abc", "weights": "01", "judge": "detector 02"}
MAKING = Making({"steps": 25}, CLASSES, MADE_BY)


def job(spec: str = "top-k", case=CASES[-1]) -> Job:
    return Job("SWR", case, parse_method(spec, steps=25, start=0.1), dict)


def cell(job: Job, **changes) -> dict:
    one = {"row": job.row, "case": asdict(job.case), "method": asdict(job.method), "settings": {"steps": 25}}
    return plain(one | {"made by": MADE_BY, "before": {name: [0.5] for name in CLASSES}} | changes)


def test_older_cells_fit_and_others_do_not():
    older = {k: v for k, v in asdict(job().method).items() if k != "value"}  # from before there was a value
    assert misfit(cell(job(), method=older), job(), MAKING) == ""
    for changed in ({"start": 0.2}, {"gamma": 1.0}, {"value": -1}):
        assert "settings of the method" in misfit(cell(job(), method=older | changed), job(), MAKING)
    assert misfit(cell(job(), case=asdict(CASES[-1]) | {"deleted": "a dog"}), job(), MAKING) == "another case"
    assert "classes" in misfit(cell(job()), job(), replace(MAKING, classes=[*CLASSES, "sword"]))


def test_a_cell_of_a_method_within_another_fits():
    one = job("negative-prompt:to=unread")
    assert misfit(cell(one), one, MAKING) == ""
    assert misfit(cell(one), job('negative-prompt:to="unread:shared_until=3"'), MAKING)
    assert misfit(cell(one), job("negative-prompt"), MAKING)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"settings": {"steps": 9}}, "steps was 9 and is 25"),
        ({"settings": {"steps": 25, "seeds": 8}}, "seeds was 8 and is None"),
        ({"made by": MADE_BY | {"code": "0.0.9+abc"}}, "version was 0.0.9 and is 0.1.0"),
        ({"made by": MADE_BY | {"weights": "x"}}, "other weights"),
        ({"made by": MADE_BY | {"judge": "x"}}, "other judge"),
    ],
)
def test_what_made_a_cell_decides_whether_it_fits(changes, reason):
    assert misfit(cell(job(), **changes), job(), MAKING) == reason


def test_cells_of_another_commit_or_of_an_unknown_making_fit_and_are_told(tmp_path, capsys):
    out, one = tmp_path / "cells.jsonl", job()
    other = cell(one, **{"made by": MADE_BY | {"code": "0.1.0+def"}})
    assert list(fitting(out, [other], [one], MAKING, PROMPTS).values()) == [other]
    assert "1 cell of another state of version 0.1.0 (0.1.0+def), taken" in capsys.readouterr().err
    unknown = {k: v for k, v in other.items() if k != "made by"}
    assert list(fitting(out, [unknown], [one], MAKING, PROMPTS).values()) == [unknown]
    assert "1 cell without a note of the code and weights" in capsys.readouterr().err
    assert misfit(unknown, one, replace(MAKING, own_judge=True)) == "other judge"


def test_the_newest_cell_that_fits_counts_and_reasons_are_counted(tmp_path, capsys):
    out, jobs = tmp_path / "cells.jsonl", [job(case=case) for case in CASES[:3]]
    older, newer = cell(jobs[0], seconds=1), cell(jobs[0], seconds=2)
    foreign = [cell(each, settings={"steps": 9}) for each in jobs]
    found = fitting(out, [older, newer, *foreign, cell(job(case=CASES[5]))], jobs, MAKING, PROMPTS)
    assert found == {jobs[0].key: newer}
    assert capsys.readouterr().err == (
        f"suppress eval: {out}: 2 cells to be measured again, because of lines that do not fit "
        "(2: steps was 9 and is 25). The lines are kept\n"
    )


def test_a_cell_without_the_scores_of_this_table_does_not_fit():
    wants = replace(job(), extras=("ORR", "LPIPS"))
    assert misfit(cell(wants, extra={"ORR": {"after": [1]}}), wants, MAKING) == "no LPIPS"
    assert misfit(cell(wants, extra={"ORR": {"after": [1]}, "LPIPS": {"reason": "no package"}}), wants, MAKING) == ""
    assert misfit(cell(wants, reason="it cannot"), wants, MAKING) == ""  # there is no picture to judge


def test_a_score_that_can_be_had_now_is_measured_and_nothing_is_lost(tmp_path):
    """The package was installed since: the cell is measured again, and what it has stays if that fails."""
    out, lpips = tmp_path / "cells.jsonl", {"LPIPS": {"reason": "LPIPS needs the package torchvision"}}
    now: dict = {"reason": "not enough memory"}
    jobs = [
        replace(job(case=case), extras=("LPIPS",), at_hand=lambda name: name == "LPIPS", measure=lambda: now)
        for case in CASES[:2]
    ]
    without, full = cell(jobs[0], extra=lpips), cell(jobs[1], extra={"LPIPS": {"after": [0.1]}})
    cells = [cell(jobs[0], extra=lpips, seconds=1), without, full, cell(jobs[1], settings={"steps": 9}, extra=lpips)]
    done, older = fitting(out, cells, jobs, MAKING, PROMPTS), incomplete(cells, jobs, MAKING, PROMPTS)
    assert done == {jobs[1].key: full} and older == {jobs[0].key: without}
    fill(out, done, jobs, MAKING, PROMPTS, older=older)
    assert done == {jobs[1].key: full, jobs[0].key: without} and not out.exists()
    now = {"before": {}, "extra": {"LPIPS": {"after": [0.2]}}}
    done = {jobs[1].key: full}
    fill(out, done, jobs, MAKING, PROMPTS, older=older)
    assert done[jobs[0].key]["extra"] == now["extra"] and len(out.read_text().splitlines()) == 1


@pytest.mark.parametrize("extra", [[], {"ORR": {}}, {"ORR": {"after": [1]}}, {"ORR": {"after": [1, None]}}])
def test_scores_that_are_neither_one_per_picture_nor_a_reason_are_told(extra):
    with pytest.raises(ValueError, match=r"ORR|extra"):
        _check_extra({"extra": extra}, 2)
    _check_extra({"extra": {"ORR": {"after": [1, 0]}, "LPIPS": {"reason": "no package"}}}, 2)

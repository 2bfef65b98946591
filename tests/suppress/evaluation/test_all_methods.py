"""`suppress eval --rows all`: its rows, its forecast, the comparison with the default and the bar."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from suppress.cli.evaluate import main
from suppress.defaults import measured_start
from suppress.evaluation.all_methods import (
    KEPT,
    OURS,
    OURS_SPEC,
    about_start,
    all_rows,
    forecast,
    left_out,
    seconds_per_cell,
    with_own_start,
)
from suppress.evaluation.all_table import Row, compare, compare_all
from suppress.evaluation.cases import Case
from suppress.evaluation.measure import method_of
from suppress.evaluation.table import default_bar, summarise
from suppress.methods import METHODS, Unread
from suppress.methods.catalogue.entry import Entry

GLASSES = Case("list", "a man wearing glasses and a hat", "glasses", "a man wearing a hat")
RAIN = Case("last", "a cat in the rain", "rain", "a cat")
DETECTOR = SimpleNamespace(match=lambda target: SimpleNamespace(name=target))


def cell(det: float, ssim: float, hat: float = 0.0, target: str = "glasses", seconds: float = 1.0) -> dict:
    """Two seeds. hat: by how much the hat's score moves."""
    before = {target: [1.0, 1.0], "hat": [0.5, 0.5]}
    after = {target: [det, det], "hat": [0.5 + hat, 0.5 + hat]}
    clips = {"clip before": [1.0, 1.0], "clip after": [0.1, 0.1]}
    return {"before": before, "after": after, "ssim": [ssim] * 2, "passes": 100, "seconds": seconds, **clips}


def row(**cells: dict) -> Row:
    cases = {"glasses": GLASSES, "rain": RAIN}
    return Row([(cases[name], name, each) for name, each in cells.items()])


def test_every_method_that_removes_something_is_a_row(monkeypatch):
    monkeypatch.setitem(METHODS, "mine", Entry(Unread, "a new one"))
    rows = all_rows()
    files = {"delta", "context-map"}  # the table says how to have these
    assert set(METHODS) - set(rows) == {"strengthen", "swr", "attend-and-excite", *files} and rows["mine"] == "mine"
    assert left_out().startswith("delta and context-map need a trained file") and "delta:FILE.safetensors" in left_out()
    assert next(iter(rows)) == OURS and rows[OURS] == OURS_SPEC and KEPT.items() <= rows.items()
    assert len(KEPT) == 4 and all("keep=1" in spec for spec in (*KEPT.values(), OURS_SPEC))


def test_rows_with_keep_begin_where_the_model_is_best(sd):
    """The embedded model's R is no other model's."""
    assert measured_start(sd) == 0.06 and measured_start(replace(sd, folder=None)) is None
    rows = {OURS: OURS_SPEC, "SWR, keep 1": "suppress-eot:keep=1", "unread:keep=1": "unread:keep=1"}
    own = with_own_start(rows, 0.06)
    assert own == {
        OURS: "unread:keep=1,start=0.06",
        "SWR, keep 1": "suppress-eot:keep=1,start=0.06",
        "unread:keep=1": "unread:keep=1",
    }
    assert with_own_start(rows, None) == rows
    done = {(OURS, "a cat"): {"method": {"start": 0.06}}, ("unread", "a cat"): {"method": {"start": 0.2}}}
    assert about_start(done, 0.1).startswith("R is 0.1; the rows with keep=1 begin at 0.06, as measured on this model")
    assert about_start({("Unread", "a cat"): {"method": {}}}, 0.1) == "All rows begin at R = 0.1."


def test_the_default_row_may_have_its_own_start_and_the_control_a_mask(sd):
    assert method_of(sd, "unread:keep=1,start=0.06", GLASSES, 25, 0.1).start == 0.06
    kept = method_of(sd, "deleted:keep=1", GLASSES, 25, 0.1)
    assert (kept.text, kept.keep, kept.start, kept.steps) == ("a man wearing a hat", 1.0, 0.1, 25)


def test_the_forecast_follows_the_passes_until_a_row_is_measured():
    rows = {"suppress-eot": "suppress-eot", "official": "official", "paper": "paper", "gie": "gie"}
    done = {("suppress-eot", GLASSES.prompt): cell(0, 1, seconds=9.0)}
    assert seconds_per_cell(rows, done, 4) == {"suppress-eot": 36, "official": 56, "paper": 84, "gie": 40}
    done["gie", GLASSES.prompt] = cell(0, 1, seconds=90.0)
    assert seconds_per_cell(rows, done, 4)["gie"] == 360
    text = forecast(rows, [GLASSES], done, 4)
    # the mean of .2 and 1.8 seconds per pass, and 700 passes
    assert text.startswith("missing: 2 of 4 cells, about 12 minutes")
    assert "slow: paper" not in text and "slow: gie" not in text
    first = {("suppress-eot", GLASSES.prompt): done["suppress-eot", GLASSES.prompt]}
    assert "slow: paper, about 84 s per cell" in forecast({**rows, "zero": "zero", "vsf": "vsf"}, [RAIN], first, 4)
    assert forecast({"gie": "gie"}, [GLASSES], done, 4) == "missing: 0 of 1 cell"


def test_the_default_wins_only_with_both_columns():
    ours = row(glasses=cell(0.1, 0.8))
    others = {"both": row(glasses=cell(0.2, 0.7)), "keeps": row(glasses=cell(0.2, 0.8))}
    found = compare(ours, {**others, "else": row(rain=cell(0, 0, target="rain"))})
    assert list(found) == ["both", "keeps"] and found["both"].wins and found["both"].lacking == ""
    assert not found["keeps"].wins and found["keeps"].lacking == "SSIM"
    assert found["both"].det.difference == pytest.approx(-0.1) and found["both"].ssim.difference == pytest.approx(0.1)


def test_a_difference_that_many_comparisons_would_find_by_chance_is_no_win():
    """8 of 10 seeds keep more of the picture, 2 keep less: enough for one comparison, not for five."""
    ours = row(
        glasses=cell(0.1, 0.8) | {"ssim": [0.8] * 8 + [0.6] * 2, "after": {"glasses": [0.1] * 10, "hat": [0.5] * 10}}
    )
    theirs = cell(0.2, 0.7) | {"ssim": [0.7] * 10, "after": {"glasses": [0.2] * 10, "hat": [0.5] * 10}}
    alone = compare(ours, {"one": row(glasses=theirs)})["one"]
    assert alone.wins and 0.01 < alone.p_ssim == alone.ssim.p < 0.05
    beside = compare(ours, {str(k): row(glasses=theirs) for k in range(5)})
    assert all(c.lacking == "SSIM" and c.p_ssim == pytest.approx(5 * alone.p_ssim) for c in beside.values())


def bar_of(ours: Row, control: Row, lost: dict) -> list[bool]:
    swr = row(glasses=cell(0.5, 0.5) | {"passes": 96})
    conditions = default_bar(ours.summary, ours.local.summary, ours.moves, control.moves, lost, swr.summary)
    return [holds for holds, _ in conditions.values()]


def test_each_condition_of_the_bar_for_the_default():
    def rows(det=0.04, local=0.9, rain=0.7, hat=0.0, passes=100):
        cells = {"glasses": cell(det, local, hat) | {"passes": passes}, "rain": cell(det, rain, target="rain")}
        return row(**{name: each | {"passes": passes} for name, each in cells.items()})

    still = rows()
    assert bar_of(rows(), still, {}) == [True] * 7
    assert bar_of(rows(det=0.06), still, {}) == [False] + [True] * 6
    assert bar_of(rows(rain=0.5), still, {}) == [True, False] + [True] * 5
    assert bar_of(rows(local=0.84), still, {}) == [True, True, False] + [True] * 4
    # .19 on one of two prompts is .095 pooled; .21 is more than both bounds
    assert bar_of(rows(hat=0.19), still, {}) == [True] * 7
    assert bar_of(rows(hat=0.21), still, {}) == [True, True, True, False, False, True, True]
    for control, excused in ((0.21, True), (0.2, False), (-0.3, False)):
        assert bar_of(rows(hat=0.21), rows(hat=control), {})[4] is excused
    assert bar_of(rows(), still, {"other": "SSIM"})[5] is False
    assert bar_of(rows(passes=101), still, {})[6] is False  # 1.05 × 96 = 100.8


def test_the_table_says_who_wins_and_what_is_missing():
    rows = {OURS: OURS_SPEC, "phrase deleted": "deleted", "suppress-eot": "suppress-eot", "delta": "delta"}
    done = {
        (name, case.prompt): cell(det, ssim, target=case.target)
        for name, det, ssim in ((OURS, 0.0, 0.9), ("phrase deleted", 0.1, 0.5), ("suppress-eot", 0.5, 0.95))
        for case in (GLASSES, RAIN)
    }
    done["delta", RAIN.prompt] = {"reason": "path = '';\n expected a file"}
    text = compare_all(done, rows, [GLASSES, RAIN], DETECTOR, "a model that draws cats")
    won, lost = (next(line for line in text.splitlines() if line.startswith(f"| {name}")) for name in list(rows)[1:3])
    assert "| -0.100 [-0.100, -0.100] |" in won and "| +0.400 [+0.400, +0.400] |" in won and "| yes |" in won
    assert "| no |" in lost
    assert "no: better than every other row" in text and "(not SSIM of suppress-eot)" in text
    assert "- delta (1 of 2 prompts): path = ''; expected a file" in text
    assert "yes: mean DetScore of the target at most .05 (0.000)" in text


def test_local_targets_are_neither_styles_nor_weather():
    both = row(glasses=cell(0, 0.9), rain=cell(0, 0.1, target="rain"))
    assert both.local.summary.ssim == 0.9 and both.summary.ssim == pytest.approx(0.5)
    assert summarise([("glasses", cell(0, 0.9))]).ssim == both.local.summary.ssim


def test_the_command_says_the_time_before_it_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    only = ["--only", OURS, "delta"]
    assert main(["--rows", "all", "--steps", "2", "--seeds", "1", "--kinds", "first", *only]) == 0
    text = capsys.readouterr().out
    assert text.startswith("missing: 3 of 4 cells, about 0.") and f"| **{OURS}** |" in text
    assert "- delta (2 of 2 prompts)" in text and "**by kind of prompt**" in text
    lines = [json.loads(line) for line in (tmp_path / "suppress-eval.jsonl").read_text().splitlines()]
    assert len(lines) == 4 and lines[0]["method"]["keep"] == 1 and lines[0]["method"]["start"] == 0.06
    # a file of a time when delta was a row
    assert main(["--rows", "all", "--steps", "2", "--seeds", "1", "--kinds", "first", "--only", OURS]) == 0
    text = capsys.readouterr().out
    assert text.startswith("missing: 0 of 2 cells") and "R is 0.1; the rows with keep=1 begin at 0.06" in text
    assert text.count("delta") == 2 and left_out() in text

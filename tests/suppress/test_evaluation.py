"""`suppress eval`: cells, resuming, the table and the bar."""

import json

import pytest

from suppress.evaluation.cli import main
from suppress.evaluation.protocol import CASES, KINDS, ROWS, VARIANT_ROWS
from suppress.evaluation.table import bar, interval, markdown, summarise
from suppress.methods import parse_method
from suppress.target import find_rows

JOB = ["--steps", "2", "--seeds", "2", "--kinds", "last", "--only", "SWR", "phrase deleted"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_protocol_is_sound(sd):
    for case in CASES:
        rows = find_rows(sd, case.prompt, case.target)
        assert (max(rows) == len(sd.tokens(case.prompt)) - 2) == (case.kind == "last")
        assert case.target not in case.deleted and case.kind in KINDS
    assert sum(case.kind != "last" for case in CASES) >= 8
    for spec in {*ROWS.values(), *VARIANT_ROWS.values()} - {"deleted"}:
        parse_method(spec, steps=25, start=0.1)


def test_cells_are_kept_and_a_stopped_run_goes_on(tmp_path, capsys):
    assert main(JOB) == 0
    table = capsys.readouterr().out
    assert "target last** (4 prompts × 2 seeds)" in table and "| SWR |" in table
    file = tmp_path / "suppress-eval.jsonl"
    lines = file.read_text().splitlines()
    assert len(lines) == 8  # two rows on four prompts
    first = json.loads(lines[0])
    assert len(first["ssim"]) == 2 and first["passes"] == 8  # two steps × two branches × two halves of the guidance
    # a run that was killed while it wrote: the torn line is measured again, the others are not
    marked = [json.dumps(json.loads(line) | {"seconds": 123.0}) for line in lines[:5]]
    file.write_text("\n".join(marked) + "\n" + lines[5][:40])
    assert main(JOB) == 0
    seconds = [json.loads(line)["seconds"] for line in file.read_text().splitlines()]
    assert len(seconds) == 8 and seconds[:5] == [123.0] * 5 and 123.0 not in seconds[5:]
    assert (tmp_path / "suppress-eval.md").read_text().strip() in capsys.readouterr().out


def test_cells_of_other_settings_are_refused(tmp_path, capsys):
    file = tmp_path / "suppress-eval.jsonl"
    file.write_text(json.dumps({"row": "SWR", "case": {"prompt": "x"}, "settings": {"steps": 9}}) + "\n")
    assert main(JOB) == 2
    assert "name another --out" in capsys.readouterr().err and "9" in file.read_text()


def test_unknown_row(capsys):
    assert main(["--only", "magic"]) == 2
    assert "no row magic" in capsys.readouterr().err


def cell(after: float, other: float, passes: float = 100, ssim: float = 0.7) -> dict:
    before = {"glasses": [1.0, 1.0], "sunglasses": [0.5, 0.5], "hat": [0.2, 0.4]}
    changed = {"glasses": [after] * 2, "sunglasses": [0.0] * 2, "hat": [0.2 + other, 0.4 + other]}
    clips = {"clip before": [1.0, 1.0], "clip after": [0.1, 0.1]}
    return {"before": before, "after": changed, "ssim": [ssim] * 2, "passes": passes, "seconds": 1.0, **clips}


def test_summary_leaves_out_the_target_and_what_it_implies():
    s = summarise([("glasses", cell(0.05, -0.2)), ("glasses", cell(0.15, -0.1))])
    assert s.pictures == 4 and s.det == pytest.approx(0.1) and s.worst == ("hat", pytest.approx(-0.15))
    assert s.other_change == pytest.approx(0.15)  # of hat alone
    assert s.det_interval[0] <= s.det <= s.det_interval[1]
    original = summarise([("glasses", cell(0.05, 0.3))], "before")
    assert original.det == 1 and original.other_change == 0 and original.ssim == 1
    assert markdown({"original": original, "SWR": s}).count("\n") == 3


def test_bar():
    good, swr, deleted = (
        summarise([("glasses", cell(0.05, 0.05, 105))]),
        summarise([("glasses", cell(1, 0))]),
        summarise([("glasses", cell(0, 0, ssim=0.65))]),
    )
    assert all(holds for holds, _ in bar(good, deleted, swr).values())
    bad = summarise([("glasses", cell(0.2, -0.2, 120, 0.6))])
    assert not any(holds for holds, _ in bar(bad, deleted, swr).values())


def test_interval_of_the_mean():
    values = [0.0, 1.0] * 50
    low, high = interval(values)
    assert 0.35 < low < 0.5 < high < 0.65 and interval([0.3] * 9) == (pytest.approx(0.3), pytest.approx(0.3))

"""`suppress eval`: cells, resuming, the table and the bar."""

import csv
import json
import math
import os
from dataclasses import asdict

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minisd import UserError
from suppress.cli.evaluate import main
from suppress.evaluation.cases import CASES, KINDS, ROWS, VARIANT_ROWS
from suppress.evaluation.cells import HEADING, keep, read_cells
from suppress.evaluation.fit import Making, misfit
from suppress.evaluation.forms import PROMPTS
from suppress.evaluation.jobs import Job
from suppress.evaluation.measure import measure, method_of
from suppress.evaluation.table import bar, by_prompt, interval, markdown, summarise
from suppress.methods import METHODS, Variant, parse_method
from suppress.metrics import Judge
from suppress.prompt import encode, find_rows

CLASSES = ["glasses", "sunglasses", "hat"]
MADE_BY = {"code": "0.1.0+abc", "weights": "01", "judge": "02"}
JOB = ["--steps", "2", "--seeds", "2", "--kinds", "first", "--only", "SWR", "phrase deleted"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def cell(after: float, other: float, passes: float = 100, ssim: float = 0.7) -> dict:
    before = {"glasses": [1.0, 1.0], "sunglasses": [0.5, 0.5], "hat": [0.2, 0.4]}
    changed = {"glasses": [after] * 2, "sunglasses": [0.0] * 2, "hat": [0.2 + other, 0.4 + other]}
    clips = {"clip before": [1.0, 1.0], "clip after": [0.1, 0.1]}
    return {"before": before, "after": changed, "ssim": [ssim] * 2, "passes": passes, "seconds": 1.0, **clips}


def kept(**changes) -> dict:
    """A cell as it stands in one line of the file."""
    case = asdict(CASES[-1])
    return {"row": "SWR", "case": case, "method": {}, "settings": {}} | cell(0.1, 0.1) | changes


def lines_of(file) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_the_protocol_is_sound(sd):
    for case in CASES:
        rows = find_rows(sd, case.prompt, case.target)
        assert (max(rows) == len(sd.tokens(case.prompt)) - 2) == (case.kind == "last")
        assert case.target not in case.deleted and case.kind in KINDS
    assert sum(case.kind != "last" for case in CASES) >= 8
    for spec in {*ROWS.values(), *VARIANT_ROWS.values()} - {"deleted"}:
        parse_method(spec, steps=25, start=0.1)
    removing = {name for name, entry in METHODS.items() if entry.kind is Variant} - {"strengthen", "swr"}
    assert removing < {spec.partition(":")[0] for spec in VARIANT_ROWS.values()}


def test_bottom_k_leaves_three_values_of_every_prompt(sd):
    for case in CASES:
        prompt = encode(sd, case.prompt, [case.target])
        ctx = method_of(sd, "bottom-k", case, 25, 0.1).context(prompt)
        assert torch.linalg.matrix_rank(ctx[0, [*prompt.target, *prompt.eot]]) == 3


def test_passes_with_gradient_are_counted(sd):
    case = CASES[-1]
    method = parse_method("suppress-eot:iterations=3", steps=4, start=1, stop=3)
    cell = measure(sd, Judge(sd), case, method, [0])
    # two steps × three iterations; of the rest, the step before R needs one branch
    assert cell["gradient passes"] == 2 * 3 and cell["passes"] == 2 + 3 * 4 + 2 * 3


def test_cells_are_kept_and_a_stopped_run_goes_on(tmp_path, capsys):
    assert main(JOB) == 0
    table = capsys.readouterr().out
    assert "words after the target** (2 prompts × 2 seeds)" in table and "| SWR |" in table
    file = tmp_path / "suppress-eval.jsonl"
    lines = file.read_text().splitlines()
    assert len(lines) == 4  # two rows on two prompts
    first = json.loads(lines[0])
    assert list(first["made by"]) == ["code", "weights", "judge"]
    assert len(first["ssim"]) == 2 and first["passes"] == 8  # two steps × two branches × two halves of the guidance
    # a run that was killed while it wrote: the torn line is measured again, the others are not
    marked = [json.dumps(json.loads(line) | {"seconds": 123.0}) for line in lines[:2]]
    file.write_text("\n".join(marked) + "\n" + lines[2][:40])
    assert main(JOB) == 0
    seconds = [json.loads(line)["seconds"] for line in file.read_text().splitlines()]
    assert len(seconds) == 4 and seconds[:2] == [123.0] * 2 and 123.0 not in seconds[2:]
    sheet = list(csv.DictReader((tmp_path / "suppress-eval.csv").open()))
    assert len(sheet) == 8 and [line["seed"] for line in sheet[:3]] == ["0", "1", "0"]
    assert [float(line["ssim"]) for line in sheet[:2]] == first["ssim"] and sheet[0]["row"] == "phrase deleted"
    assert [float(line["structure_distance"]) for line in sheet[:2]] == first["structure"]
    assert len(first["structure"]) == 2 and min(first["structure"]) > 0
    assert [float(line["detscore_after"]) for line in sheet[:2]] == first["after"]["smiling"]
    heading, _, table = (tmp_path / "suppress-eval.md").read_text().partition("\n\n")
    assert heading == HEADING and table.strip() in capsys.readouterr().out


def test_cells_that_do_not_fit_are_measured_again_and_kept(tmp_path, capsys):
    """Also by a run with the earlier settings, which finds its own cells again."""
    file = tmp_path / "suppress-eval.jsonl"
    job = ["--seeds", "1", "--kinds", "last", "--only", "SWR", "--steps"]
    assert main([*job, "1"]) == 0
    before = file.read_bytes()
    capsys.readouterr()
    assert main([*job, "2"]) == 0
    assert capsys.readouterr().err == (
        "suppress eval: suppress-eval.jsonl: 4 cells to be measured again, because of lines that do not fit "
        "(4: steps was 1 and is 2). The lines are kept\n"
    )
    assert file.read_bytes().startswith(before) and len(lines_of(file)) == 8
    assert main([*job, "1"]) == 0 and len(lines_of(file)) == 8 and capsys.readouterr().err == ""


@pytest.mark.parametrize("foreign", ["my notes\n", "my notes", '{"a": 1}\n', "[]\n", "\n", b"\xff\xfe\n"])
def test_a_file_with_anything_else_is_refused(tmp_path, capsys, foreign):
    file = tmp_path / "suppress-eval.jsonl"
    data = json.dumps(kept()).encode() + b"\n" + (foreign if isinstance(foreign, bytes) else foreign.encode())
    file.write_bytes(data)
    with pytest.raises(UserError, match="line 2 is no cell of this command"):
        read_cells(file, PROMPTS)
    assert main(JOB) == 2 and file.read_bytes() == data
    assert "suppress-eval.jsonl" in capsys.readouterr().err


NO_CELLS = {
    "row": [3, None, ["SWR"], {}],
    "case": [
        None,
        "a man",
        {},
        {"prompt": "a man"},
        asdict(CASES[0]) | {"prompt": ["a"]},
        asdict(CASES[0]) | {"x": ""},
    ],
    "method": [None, [], "SWR"],
    "settings": [None, 3],
    "made by": [None, "0.1.0", {"code": 1}],
    "before": [None, {}, [], {"glasses": [1.0, 1.0]}, {"glasses": 1.0, "sunglasses": 1.0, "hat": 1.0}],
    "after": [{"glasses": ["1", 1.0], "sunglasses": [0, 0], "hat": [0, 0]}, {"glasses": [None, 1]}],
    "clip after": [None, "0.5", [0.1], [0.1, math.nan], [0.1, True], [0.1, 10**400]],
    "ssim": [None, [], 0.7, [0.7, None], [[0.7], [0.7]]],
    "structure": [None, [0.01], [0.01, None]],
    "passes": [None, "96", [96], math.inf],
    "gradient passes": [None, "0"],
    "reason": [None, 3, ["x"]],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in NO_CELLS.items() for value in values])
def test_a_cell_with_other_values_is_refused_by_its_line(tmp_path, name, value):
    file = tmp_path / "cells.jsonl"
    file.write_text(json.dumps(kept()) + "\n" + json.dumps(kept(**{name: value})) + "\n")
    before = file.read_bytes()
    with pytest.raises(UserError, match=rf"cells\.jsonl: line 2 is no cell of this command: .*{name}"):
        read_cells(file, PROMPTS)
    assert file.read_bytes() == before


@pytest.mark.parametrize("line", [b"[" * 100_000, b'{"row": ' * 100_000, b'{"row": 1}', b"9" * 5000, b'{"row": "SWR"}'])
def test_a_last_line_that_was_never_a_cell_is_not_thrown_away(tmp_path, line):
    file = tmp_path / "cells.jsonl"
    file.write_bytes(json.dumps(kept()).encode() + b"\n" + line)
    with pytest.raises(UserError, match="line 2 is no cell of this command"):
        read_cells(file, PROMPTS)
    assert file.read_bytes().endswith(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(sorted(NO_CELLS)), json_values, max_size=3), st.binary(max_size=40), st.booleans()
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_line_is_a_cell_or_an_error_that_names_it(tmp_path, changes, noise, ends):
    """Any cell that is accepted can also be put into the table without an error."""
    file = tmp_path / "cells.jsonl"
    line = json.dumps(kept(**changes)).encode()
    file.write_bytes(line[: len(line) - len(noise)] + noise * (not changes) + b"\n" * ends)
    try:
        found = read_cells(file, PROMPTS)
    except UserError as error:
        assert "line 1" in str(error)
        return
    for one in found:
        misfit(one, Job("SWR", CASES[-1], parse_method("swr"), dict), Making({}, CLASSES, MADE_BY))
        if "reason" not in one:
            markdown({one["row"]: summarise([(next(iter(one["before"])), one)])})


@pytest.mark.parametrize("torn", ["", "{", json.dumps(kept())[:40], json.dumps(kept())])
def test_a_last_line_without_its_end(tmp_path, torn):
    file = tmp_path / "cells.jsonl"
    file.write_text(json.dumps(kept(row="Unread")) + "\n" + torn)
    found = read_cells(file, PROMPTS)
    assert [c["row"] for c in found] == ["Unread"] + (["SWR"] if torn.endswith("}") else [])
    keep(file, kept(row="zero"))
    assert lines_of(file) == [*found, kept(row="zero")]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--seeds", "0"], "seeds = 0"),
        (["--steps", "0"], "steps = 0"),
        (["--start", "nan"], "start = nan"),
        (["--start", "26"], "start = 26"),
        (["--start", "1.5"], "start = 1.5"),
        (["--only", "magic"], "no row magic"),
        (["--only", "SWR", "strengthen"], "--only strengthen draws more of what it is given; the table measures"),
        (["--seeds", str(2**70)], "seeds = 1180591620717411303424; expected a whole number from 1 to 10000"),
        (["--steps", str(2**70)], "steps = 1180591620717411303424; expected"),
        (["--steps", "9" * 4000], "steps = 9999"),
        (["--start", str(2**70)], "start = 1.18059"),
        (["--start", "1e999"], "start = inf"),
        (["--out", "cells.md"], "ends in .jsonl"),
        (["--out", ""], "ends in .jsonl"),
        (["--out", "x" * 300 + ".jsonl"], "no file can have this name"),
        (["--out", "a\0b.jsonl"], "no file can have this name"),
        (["--out", "\ud800.jsonl"], "no file can have this name"),
        (["--out", "pipe.jsonl"], "pipe.jsonl cannot be written"),
        (["--out", "no/cells.jsonl"], "there is no folder"),
        (["--out", "folder.jsonl"], "folder.jsonl cannot be written"),
        (["--out", "mine.jsonl"], "mine.md was not made by this command"),
        (["--out", "data.jsonl"], "data.csv was not made by this command"),
    ],
)
def test_mistakes_are_told_before_the_work(tmp_path, capsys, monkeypatch, argv, message):
    monkeypatch.setattr("minisd.load", None)
    (tmp_path / "folder.jsonl").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")  # reading it would wait for ever
    (tmp_path / "mine.md").write_text("mine")
    (tmp_path / "data.csv").write_text("name,age\n")
    assert main(argv) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "mine.md").read_text() == "mine" and len(list(tmp_path.iterdir())) == 4


def test_steps_that_the_model_cannot_serve_are_no_cells(tmp_path, capsys):
    assert main(["--steps", "1000", "--only", "SWR"]) == 2
    assert "steps = 1000; expected a whole number from 1 to 999" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_stopped_run_says_what_is_there(tmp_path, capsys, monkeypatch):
    def stopped(*_args, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr("suppress.evaluation.measure.measure", stopped)
    with pytest.raises(SystemExit) as status:
        main(JOB)
    assert status.value.code == 130 and "what is measured is in suppress-eval.jsonl" in capsys.readouterr().err


def test_summary_leaves_out_the_target_and_what_it_implies():
    s = summarise([("glasses", cell(0.05, -0.2)), ("glasses", cell(0.15, -0.1))])
    assert s.pictures == 4 and s.det == pytest.approx(0.1) and s.worst == ("hat", pytest.approx(-0.15))
    assert s.other_change == pytest.approx(0.15)  # of hat alone
    assert s.det_interval[0] <= s.det <= s.det_interval[1] and s.clip_interval == (pytest.approx(0.1),) * 2
    original = summarise([("glasses", cell(0.05, 0.3))], "before")
    assert original.det == 1 and original.other_change == 0 and original.ssim == 1 and original.structure == 0
    assert math.isnan(s.structure)  # older cells do not have it
    assert summarise([("glasses", cell(0, 0) | {"structure": [0.01, 0.03]})]).structure == pytest.approx(20)
    assert markdown({"original": original, "SWR": s}).count("\n") == 3


def test_changes_that_cancel_show_in_the_strictest_reading():
    s = summarise([("glasses", cell(0, 0.6)), ("sunglasses", cell(0, -0.5))])
    assert s.worst == ("hat", pytest.approx(0.05)) and s.worst_prompt == ("hat", pytest.approx(0.6), "glasses")
    assert by_prompt({"original": s, "SWR": s}).endswith("changed most for SWR: hat +0.60 (target glasses).")
    (pooled, _), (strictest, told) = list(bar(s, s, s).values())[1:3]
    assert pooled and not strictest and told == "hat +0.600 where the target is glasses"


def test_passes_with_gradient_where_the_cells_have_them():
    old, new = ("glasses", cell(0, 0)), ("glasses", cell(0, 0) | {"gradient passes": 40.0})
    assert "| 100 (40) |" in markdown({"SWR": summarise([new, new])})
    assert "| 100 |" in markdown({"SWR": summarise([old, new])})


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

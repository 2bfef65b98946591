"""`--batch`: cells of a row that are drawn at once have the scores that each has alone."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from minisd.cli.model_choice import ModelChoice
from suppress.cli.evaluate import main
from suppress.evaluation.cases import CASES
from suppress.evaluation.jobs import Job, Together, grouped, scores_of
from suppress.evaluation.own_prompts import OwnCase
from suppress.evaluation.prompt_plan import PromptPlan


@pytest.fixture
def fake(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import fake_plan

    return fake_plan


def job(name: str, row: str = "row", kind: str = "kind", pictures: int = 2) -> Job:
    return Job(row, SimpleNamespace(key=name), None, dict, together=Together(kind, pictures, list))


def names(groups) -> list[str]:
    return [" ".join(job.case.key for job in group) for group in groups]


@pytest.mark.quick
def test_only_jobs_of_one_row_and_kind_share_a_batch_and_none_is_too_large():
    jobs = [job("a"), job("b", row="other"), job("c", kind="two targets"), job("d"), job("e", pictures=1), job("f")]
    assert names(grouped(jobs, 4)) == ["a d", "b", "c", "e f"]
    assert names(grouped(jobs, 5)) == ["a d e", "b", "c", "f"]
    assert names(grouped(jobs, 1)) == names(grouped(jobs, None)) == list("abcdef")
    picture = Job("row", SimpleNamespace(key="picture"), None, dict)
    assert names(grouped([job("a"), picture, job("b")], 8)) == ["a b", "picture"]


@pytest.mark.quick
def test_a_case_that_cannot_be_drawn_takes_no_neighbour_with_it(fake, capsys):
    assert fake.run(fake.FakePlan("alone"), "--out", "alone.jsonl") == 0
    table = capsys.readouterr().out
    for k in (1, 2):
        assert fake.run(fake.FakePlan("log"), "--batch", "7", "--shard", f"{k}/2", "--out", f"{k}.jsonl") == 0
    assert Path("log-batches").read_text().split("\n")[:3] == ["one: 3", "three: 3", "two: 3"]
    assert main(["merge", "1.jsonl", "2.jsonl", "--out", "cells.jsonl"]) == 0
    capsys.readouterr()
    assert fake.run(fake.FakePlan("none")) == 0 and capsys.readouterr().out == table
    cells = [json.loads(line) for line in Path("cells.jsonl").read_text().splitlines()]
    assert [cell["reason"] for cell in cells if "reason" in cell] == ["this one cannot"] and len(cells) == 36


@pytest.mark.quick
@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--batch", "0"], "batch = 0; expected"),
        (["--batch", "8", "--pictures"], "--batch is for prompts; leave --pictures out"),
        (
            ["--batch", "8", "--protocol", "magic-remover-fig-4"],
            "--batch is for prompts, and --protocol magic-remover-fig-4 is about",
        ),
    ],
)
def test_mistakes(fake, capsys, argv, message):
    assert (
        main([*argv, "--out", "no-folder/cells.jsonl"]) == 2
        and message in capsys.readouterr().err
        and not list(Path().iterdir())
    )


def plan(rows: dict[str, str], cases, monkeypatch, sd, **given) -> list[Job]:
    monkeypatch.setattr(ModelChoice, "load", lambda self, device: sd)
    return list(PromptPlan(tuple(rows.items()), tuple(cases), 2, 0, at_once=8, **given).load("cpu").jobs)


def test_a_batch_of_prompts_has_the_scores_of_each_alone(small, monkeypatch):
    """To rounding; also if the prompts have different numbers of seeds. test_devices.py has the embedded model."""
    cases = [
        OwnCase("a man with glasses and a hat", "glasses", seeds=(3,)),
        OwnCase("a cat in the rain", "rain", seeds=(1, 0)),
    ]
    jobs = plan({"SWR": "suppress-eot"}, cases, monkeypatch, small, seeds=None)
    [group] = grouped(jobs, 8)
    for together, [alone] in zip(scores_of(group), (scores_of([job]) for job in jobs), strict=True):
        assert set(together) == set(alone) and together["seconds"] > 0
        for name in ("ssim", "structure", "clip before", "clip after", "passes", "gradient passes"):
            assert together[name] == pytest.approx(alone[name], abs=1e-3), name
        for side in ("before", "after"):
            assert {k: pytest.approx(v, abs=1e-3) for k, v in together[side].items()} == alone[side]


def test_prompts_with_other_settings_or_more_targets_have_batches_of_their_own(sd, monkeypatch):
    """bottom-k keeps a number of values that depends on the prompt; LEDITS++ has a pass for each target."""
    two = OwnCase("a man with glasses and a hat", "glasses + hat", seeds=(0,))
    one = [OwnCase(case.prompt, case.target, seeds=(0,)) for case in CASES[2:5]]
    jobs = plan({"SWR": "suppress-eot", "bottom-k": "bottom-k"}, [two, *one], monkeypatch, sd, seeds=None)
    groups = {row: [len(g) for g in grouped(jobs, 8) if g[0].row == row] for row in ("SWR", "bottom-k")}
    assert groups["SWR"] == [1, 3] and groups["bottom-k"] == [1, 1, 1, 1]

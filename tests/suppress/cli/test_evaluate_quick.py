"""`suppress eval --quick`, protocols of pictures and of several targets: from the command to the tables and page."""

import csv
import json
from pathlib import Path

import pytest

from suppress.cli.evaluate import main
from suppress.cli.evaluate_defaults import QUICK_ROWS, QUICK_SEEDS, QUICK_STEPS
from suppress.evaluation.cases import KINDS


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def lines_of(name: str) -> list[dict]:
    return [json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def plans(monkeypatch):
    """The plans that a command would measure."""
    made = []
    for name in ("evaluate", "evaluate_pictures"):
        monkeypatch.setattr(f"suppress.cli.{name}.evaluate_table", lambda args, plan, forecast=None: made.append(plan))
    return made


@pytest.mark.quick
def test_a_quick_run_has_one_prompt_of_each_kind(plans):
    assert main(["--quick"]) == 0
    [plan] = plans
    assert [row for row, _ in plan.rows] == list(QUICK_ROWS) and (plan.steps, plan.seeds) == (QUICK_STEPS, QUICK_SEEDS)
    assert sorted(case.kind for case in plan.cases) == sorted(KINDS)
    assert main(["--quick", "--steps", "3", "--seeds", "1", "--only", "SWR"]) == 0  # what the user gives stands
    assert (plans[1].steps, plans[1].seeds, plans[1].rows) == (3, 1, (("SWR", "suppress-eot"),))


@pytest.mark.quick
def test_a_quick_run_of_pictures_and_of_protocols(plans):
    assert main(["--pictures", "--quick"]) == 0 and main(["--protocol", "gie-table-2", "--quick"]) == 0
    assert main(["--protocol", "suppress-eot-table-2", "--quick"]) == 0
    pictures, table, instructions = plans
    # what the user gives stands, also if it is not on the usual inversion
    assert main(["--pictures", "--quick", "--only", "LEDITS++"]) == 0
    assert main(["--pictures", "--quick", "--all-pairs"]) == 0
    assert [pair.row for pair in plans[3].pairs] == ["LEDITS++ on edit-friendly"] and len(plans[4].pairs) > 100
    assert [pair.row for pair in pictures.pairs] == ["nothing removed on direct", "Unread, keep 1 on direct"]
    assert len(pictures.cases) == len(instructions.cases) == 2
    assert len(table.cases) == 6 and (table.steps, table.seeds, table.start) == (QUICK_STEPS, 2, 0)
    assert all(case.prompt == f"the {case.target}" for case in instructions.cases)


@pytest.mark.quick
def test_a_protocol_of_pictures_takes_as_many_as_it_is_told_to(plans):
    assert main(["--protocol", "suppress-eot-table-2"]) == 0
    assert main(["--protocol", "suppress-eot-table-2", "--limit", "13"]) == 0
    few, many = (plan.cases for plan in plans)
    assert len(few) == 12 and len(many) == 13 and len({case.seed for case in many}) == 13
    assert {case.kind for case in many} == {"glasses", "hat", "scarf", "object"}


@pytest.mark.quick
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--quick", "--rows", "all"], "--quick with --rows all; it has rows of its own"),
        (["--protocol", "magic-remover-fig-9", "--seeds", "2"], "--seeds is for prompts, and --protocol magic-remover"),
        (["--protocol", "magic-remover-fig-9", "--half", "develop"], "--half with --protocol magic-remover-fig-9"),
        (["--protocol", "magic-remover-fig-9", "--only", "unread"], "no row unread in --protocol magic-remover-fig-9"),
        (["--protocol", "gie-table-2", "--pictures"], "--protocol is for prompts; leave --pictures out"),
        (["--protocol", "gie-table-2", "--half", "all"], "--half is for pictures, and --protocol gie-table-2 is about"),
        (["--protocol", "gie-table-2", "--limit", "2"], "--limit is for --pictures and --prompts; --quick draws fewer"),
    ],
)
def test_mistakes(monkeypatch, capsys, options, message):
    monkeypatch.setattr("minisd.load", None)
    assert main(options) == 2 and message in capsys.readouterr().err and not list(Path().iterdir())


def test_a_quick_run_end_to_end_with_its_report(capsys):
    job = ["--quick", "--steps", "1", "--seeds", "1", "--kinds", "first", "--only", "SWR", "--report", "--samples"]
    assert main(job) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("**Quick profile**: it shows that everything runs.") and "| SWR |" in printed
    assert len(lines_of("suppress-quick.jsonl")) == 1
    assert "Quick profile: it shows that everything runs." in Path("suppress-quick-report.html").read_text("utf-8")


def test_a_protocol_with_several_targets_and_its_page(capsys):
    job = ["--protocol", "gie-fig-15", "--quick", "--steps", "1", "--seeds", "1", "--only", "NegPiP"]
    assert main([*job, "--report", "--samples"]) == 0
    printed = capsys.readouterr().out
    assert "removal rate (" in printed and "| pictures | two (1) | four (1) |" in printed
    [two, *_] = lines_of("gie-fig-15-quick.jsonl")
    assert two["case"]["target"] == "van gogh + glasses" and 0 < two["ssim"][0] < 1
    [line, *_] = csv.DictReader(Path("gie-fig-15-quick.csv").open(encoding="utf-8"))
    assert float(line["detscore_before"]) == max(two["before"]["van_gogh"][0], two["before"]["glasses"][0])
    page = Path("gie-fig-15-quick-report.html").read_text(encoding="utf-8")
    assert "<h1>gie-fig-15: Chen et al. 2025" in page and 'class="sample"' not in page


def test_a_protocol_of_pictures_end_to_end(capsys):
    job = ["--protocol", "suppress-eot-table-2", "--limit", "1", "--steps", "2", "--only", "Unread, keep 1"]
    assert main([*job, "--report", "--samples"]) == 0
    printed = capsys.readouterr().out
    assert "| | DetScore | CLIP accuracy | CLIP accuracy, top 5 | FID | PSNR outside | error inside |" in printed
    assert "| X-Decoder | – | – (0.699) | – (0.465) | – (6.86) |" in printed
    assert "- FID: FID with 192 features needs 193 pictures or more in each set, not 1" in printed
    cells = lines_of("suppress-eot-table-2.jsonl")
    assert len(cells) == 3 and set(cells[-1]["extra"]["CLIP accuracy"]) == {"top 1", "top 5"}
    assert "In (brackets): the paper&#39;s own figure" in Path("suppress-eot-table-2-report.html").read_text("utf-8")


def test_a_page_of_a_users_own_prompts(capsys):
    line = "a man with glasses and a hat,glasses + hat"
    Path("mine.csv").write_text(f"prompt,target,seed\n{line},3\n{line},1\n")
    assert main(["--prompts", "mine.csv", "--steps", "1", "--only", "SWR", "--report"]) == 0
    page = Path("suppress-own-report.html").read_text(encoding="utf-8")
    assert "1 case of your own, 2 pictures." in page and "seed 3" in page and page.count('class="sample"') == 2

"""`suppress eval --prompts FILE.csv`: the prompts and pictures of a user."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from minisd import UserError
from suppress.cli.evaluate import main
from suppress.evaluation.own_prompts import OwnCase, read_prompts
from suppress.evaluation.pictures import picture_cases
from suppress.evaluation.prompt_plan import PromptPlan

GLASSES = "a man with glasses and a hat"
LONG = "a hat " * 30_000  # Python reads no value of more than 131,072 characters
FILE = f"""prompt,target,seed,deleted
{GLASSES},glasses,3,a man with a hat
{GLASSES},hat,0,
"a cat, in the snow",snow,1,a cat
{GLASSES},glasses,5,a man with a hat
"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def lines_of(name: str) -> list[dict]:
    return [json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines()]


def test_lines_with_another_seed_are_one_case(tmp_path):
    Path("mine.csv").write_text("\ufeff" + FILE, encoding="utf-8")  # as spreadsheets write it
    assert read_prompts(Path("mine.csv")) == (
        OwnCase(GLASSES, "glasses", "a man with a hat", seeds=(3, 5)),
        OwnCase(GLASSES, "hat", seeds=(0,)),
        OwnCase("a cat, in the snow", "snow", "a cat", seeds=(1,)),
    )


def test_a_changed_picture_is_another_case(tmp_path):
    (tmp_path / "photos").mkdir()
    Path("photos/a.png").write_bytes(b"1")
    Path("photos/mine.csv").write_text("prompt,target,seed,picture\na man,hat,,a.png\n")
    [before] = read_prompts(Path("photos/mine.csv"))
    Path("photos/a.png").write_bytes(b"2")
    [after] = read_prompts(Path("photos/mine.csv"))
    assert before.seeds == () and before.key == after.key and before != after


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns []; expected prompt, target, seed, and if needed deleted, picture, mask"),
        ("prompt,target\n", "has the columns ['prompt', 'target']; expected"),
        ("prompt,target,seed,colour\n", "expected prompt, target, seed"),
        ("prompt,target,seed,seed\n", "expected prompt, target, seed"),
        ("prompt,target,seed\n", "has no line after"),
        ("prompt,target,seed\na,b,0\na man,,0\n", "mine.csv, line 3: target is empty"),
        ("prompt,target,seed\n,hat,0\n", "line 2: prompt is empty"),
        ("prompt,target,seed\na man,hat,x\n", "seed = 'x'; expected a whole number"),
        ("prompt,target,seed\na man,hat,\n", "seed = ''; expected a whole number"),
        ("prompt,target,seed\na man,hat,-1\n", "seed = '-1'"),
        (f"prompt,target,seed\na man,hat,{2**64}\n", "expected a whole number from 0 to 2^64 - 1"),
        ("prompt,target,seed\na man, with a hat,hat,0\n", "more values than there are columns"),
        (f"prompt,target,seed\na hat,hat,0\n{LONG},hat,0\n", "mine.csv, line 3: field larger than"),
        (f"prompt,{LONG},seed\n", "mine.csv, line 1: field larger than"),
        (
            "prompt,target,seed\na man,hat,0\na man,hat,0\n",
            "line 3: a line before has the same prompt, target and seed",
        ),
        ("prompt,target,seed,deleted\na man,hat,0,a\na man,hat,1,b\n", "line 3: deleted is 'b' here and 'a' in a line"),
        ("prompt,target,seed,picture\na man,hat,,no.png\n", "line 2: there is no file"),
        ("prompt,target,seed,picture\na man,hat,1,no.png\n", "seed = '1' with a picture"),
        ("prompt,target,seed,mask\na man,hat,1,no.png\n", "a mask belongs to a picture"),
    ],
)
def test_mistakes_are_told_with_their_line(capsys, text, message):
    Path("mine.csv").write_text(text)
    assert main(["--prompts", "mine.csv"]) == 2 and message in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["mine.csv"]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--seeds", "2"], "error: --seeds is for COCO's captions and I2P; mine.csv names its own targets and seeds"),
        (["--kinds", "last"], "--prompts"),
        (["--pictures"], "--prompts"),
    ],
)
def test_options_of_other_tables(capsys, option, told):
    Path("mine.csv").write_text("prompt,target,seed\na man in a hat,hat,0\n")
    assert main(["--prompts", "mine.csv", *option]) == 2
    assert told in capsys.readouterr().err


def test_no_such_file_and_no_text(tmp_path):
    Path("mine.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("mine.csv", "no.csv"):
        with pytest.raises(UserError, match=r"cannot be read: .*expected a file in UTF-8"):
            read_prompts(Path(name))


def test_a_target_that_the_detector_cannot_see_is_told_before_the_work(capsys):
    Path("mine.csv").write_text("prompt,target,seed\na man with an accordion,accordion,0\n")
    assert main(["--prompts", "mine.csv", "--steps", "1"]) == 2
    assert "no class for 'accordion'" in capsys.readouterr().err and not Path("suppress-own.jsonl").exists()


def test_from_the_file_to_the_tables(capsys):
    Path("mine.csv").write_text(FILE)
    job = ["--prompts", "mine.csv", "--steps", "1", "--only", "SWR", "phrase deleted"]
    assert main(job) == 0
    told = capsys.readouterr().out
    assert "**your prompts** (3 cases, 4 pictures)" in told and "| SWR |" in told
    assert "- phrase deleted (1 of 3 prompts): the prompt has no control" in told
    cells = lines_of("suppress-own.jsonl")
    assert len(cells) == 6 and cells[0]["case"]["seeds"] == [3, 5] and len(cells[0]["ssim"]) == 2
    assert [cell["reason"] for cell in cells if "reason" in cell] == [
        "the prompt has no control: the column deleted is empty"
    ]
    lines = list(csv.DictReader(Path("suppress-own.csv").open()))
    assert [line["seed"] for line in lines if line["row"] == "SWR"] == ["3", "5", "0", "1"]
    assert float(lines[0]["ssim"]) == cells[0]["ssim"][0] and "no control" in lines[2]["reason"]
    capsys.readouterr()
    assert main(job) == 0 and len(lines_of("suppress-own.jsonl")) == 6  # nothing is measured again
    Path("mine.csv").write_text(FILE.replace(",5,", ",6,"))
    assert main(job) == 0 and len(lines_of("suppress-own.jsonl")) == 8
    assert "suppress-own.jsonl: 2 cells to be measured again" in capsys.readouterr().err


def test_another_machine_without_the_picture_is_an_error(tmp_path):
    case = OwnCase("a man", "hat", picture="a.png", mask="mask.png")
    (tmp_path / "a.png").write_bytes(b"")
    plan = PromptPlan((("SWR", "suppress-eot"),), (case,), 2, 0.1, None, folder=str(tmp_path))
    with pytest.raises(UserError, match=r"has no file mask\.png in"):
        plan.load("cpu")


def test_a_picture_of_the_user_is_edited(capsys):
    case = picture_cases()[0]
    case.photo.save("photo.png")
    Image.fromarray(case.region).convert("L").save("mask.png")
    Path("mine.csv").write_text(
        "prompt,target,seed,deleted,picture,mask\n"
        f'"{case.prompt}",{case.target},,"{case.deleted}",photo.png,\n"{case.prompt}",{case.target},,,photo.png,mask.png\n'
    )
    assert main(["--prompts", "mine.csv"]) == 2 and "line 3: deleted is ''" in capsys.readouterr().err
    Path("mine.csv").write_text(f'prompt,target,seed,picture,mask\n"{case.prompt}",{case.target},,photo.png,mask.png\n')
    assert main(["--prompts", "mine.csv", "--steps", "2", "--only", "SWR", "unread:keep=1"]) == 0
    first, second = lines_of("suppress-own.jsonl")
    assert first["case"]["picture"] == "photo.png" and len(first["ssim"]) == 1
    assert first["before"]["glasses"][0] > 0.9 and second["ssim"][0] > first["ssim"][0]  # it keeps what the mask keeps
    [line, _] = csv.DictReader(Path("suppress-own.csv").open())
    assert line["picture"] == "photo.png" and line["seed"] == ""

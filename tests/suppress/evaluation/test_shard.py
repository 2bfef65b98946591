"""`--shard` and `suppress eval merge`: the parts together are the whole."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from suppress.cli.evaluate import main
from suppress.evaluation.own_prompts import OwnCase
from suppress.evaluation.pictures import picture_cases
from suppress.evaluation.shard import Shard, read_shard

pytestmark = pytest.mark.quick


@pytest.fixture
def fake(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import fake_plan

    return fake_plan


def lines_of(name: str) -> list[dict]:
    return [json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines()]


def write(name: str, cells: list[dict]) -> None:
    Path(name).write_text("".join(json.dumps(cell) + "\n" for cell in cells))


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "a/b", "-1/4", "1/0", "1/4/2", ""])
def test_odd_parts(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected NUMBER/COUNT from 1/16 to 16/16"):
        read_shard(text)


def test_each_job_is_in_one_part_and_an_inversion_is_made_once():
    def jobs(inversion):
        cases = [SimpleNamespace(key=k) for k in range(5)]
        return [SimpleNamespace(case=case, inversion=how) for case in cases for how in inversion]

    plain = jobs([None] * 3)
    parts = [Shard(k, 4).of(plain) for k in range(1, 5)]
    assert sorted(id(job) for part in parts for job in part) == sorted(map(id, plain)) and {
        len(part) for part in parts
    } == {3, 4}
    inverted = jobs([None, "direct", "direct", "ddim"])
    parts = [Shard(k, 4).of(inverted) for k in range(1, 5)]
    assert sum(map(len, parts)) == len(inverted)
    owners = {(job.case.key, k) for k, part in enumerate(parts) for job in part if job.inversion == "direct"}
    assert len(owners) == 5  # one part for each of the five cases


def test_merged_parts_make_the_table_of_the_whole(fake, capsys):
    assert fake.run(fake.FakePlan("log")) == 0
    table = capsys.readouterr().out
    for k in (1, 2, 3):
        assert fake.run(fake.FakePlan("parts"), "--shard", f"{k}/3", "--out", f"{k}.jsonl") == 0
    assert "3.jsonl: part 3/3, 12 of 36 cells" in (told := capsys.readouterr().out) and "|" not in told
    assert not Path("3.md").exists()
    assert main(["merge", "1.jsonl", "2.jsonl", "3.jsonl", "--out", "all.jsonl"]) == 0
    assert capsys.readouterr().out == "all.jsonl: 36 cells of 3 files\n"
    assert fake.run(fake.FakePlan("none"), "--out", "all.jsonl") == 0 and capsys.readouterr().out == table
    assert not Path("none").exists() and len(fake.measured(Path("parts"))) == 36


@pytest.fixture
def two(fake, capsys):
    """a.jsonl and b.jsonl, two parts of a table."""
    for name, part in (("a", "1/2"), ("b", "2/2")):
        fake.run(fake.FakePlan("log"), "--shard", part, "--out", f"{name}.jsonl")
    capsys.readouterr()
    return lines_of("a.jsonl"), lines_of("b.jsonl")


MERGE = ["merge", "a.jsonl", "b.jsonl", "--out", "c.jsonl"]


def test_cells_that_are_there_twice_are_kept_once(two, capsys):
    a, b = two
    rounded = a[0] | {"ssim": [value + 1e-5 for value in a[0]["ssim"]], "seconds": 7.0}
    write("b.jsonl", [a[1] | {"ssim": [0.0, 0.0]}, *b, rounded, a[1]])
    assert main(MERGE) == 0 and lines_of("c.jsonl") == [*a, *b]
    told = capsys.readouterr().out
    assert "2 cells found in several files with the same scores" in told
    assert "1 line left out: the file has a later line" in told


def test_a_torn_line_is_no_cell_and_its_file_is_left_as_it_is(two):
    with open("b.jsonl", "a") as file:
        file.write('{"row": "one", "ca')
    before = Path("b.jsonl").read_bytes()
    assert main(MERGE) == 0 and len(lines_of("c.jsonl")) == 36 and Path("b.jsonl").read_bytes() == before


def test_files_of_every_table_are_known(two, capsys):
    """By the fields of a case, so that the error of a damaged line is that of its own table."""
    own = two[0][0] | {"case": asdict(OwnCase("a man", "hat", seeds=(0, 1)))}
    drawn = own | {"case": asdict(picture_cases()[0]), "inversion": {}}
    write("a.jsonl", [own])
    write("b.jsonl", [drawn | {side: {"hat": 0.5} for side in ("before", "after", "reconstruction")}])
    assert main(["merge", "a.jsonl", "--out", "c.jsonl"]) == 0 and lines_of("c.jsonl") == lines_of("a.jsonl")
    assert main(["merge", "b.jsonl", "--out", "d.jsonl"]) == 2
    assert "line 1 is no cell of this command: psnr outside is not there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ssim": [0.0, 0.0]}, r"a.jsonl, line 1 and b.jsonl, line 19 contradict each other: ssim is"),
        ({"reason": "it cannot"}, "reason is None and 'it cannot' for one on 'a smiling boy"),
        ({"settings": {"steps": 9}}, "are of different runs (steps was 25 and is 9)"),
        ({"made by": {"code": "0.2.0"}}, "are of different runs (version was 0.1.0 and is 0.2.0)"),
        ({"made by": {"weights": "x"}}, "are of different runs (other weights)"),
        ({"made by": {"judge": "x"}}, "are of different runs (other judge)"),
        ({"method": {"gamma": 1}}, "contradict each other: method is {} and {'gamma': 1}"),
        ({"passes": "many"}, "b.jsonl: line 19 is no cell of this command"),
    ],
)
def test_contradictions_are_told_and_nothing_is_written(two, capsys, change, message):
    a, b = two
    write("b.jsonl", [*b, a[0] | change])
    assert main(MERGE) == 2 and message in capsys.readouterr().err and not Path("c.jsonl").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["merge", "a.jsonl", "no.jsonl", "--out", "c.jsonl"], "there is no file no.jsonl"),
        (["merge", "a.jsonl", "--out", "b.jsonl"], "--out b.jsonl exists; give another name, or --overwrite"),
        (["merge", "a.jsonl", "--out", "c.txt"], "ends in .jsonl"),
        (["merge", "a.jsonl", "--out", "no/c.jsonl"], "there is no folder"),
        (["merge", "empty.jsonl", "--out", "c.jsonl"], "empty.jsonl holds no cell"),
        (
            ["merge", "notes.jsonl", "--out", "c.jsonl"],
            "notes.jsonl: line 1 is no cell of this command: it is not",
        ),
    ],
)
def test_mistakes(two, capsys, argv, message):
    Path("empty.jsonl").write_text("")
    Path("notes.jsonl").write_text("notes\n")
    before = Path("b.jsonl").read_bytes()
    assert main(argv) == 2 and message in capsys.readouterr().err
    assert Path("b.jsonl").read_bytes() == before and not Path("c.jsonl").exists()
    assert main(["merge", "a.jsonl", "--out", "b.jsonl", "--overwrite"]) == 0
    assert Path("b.jsonl").read_bytes() == Path("a.jsonl").read_bytes()


def test_a_part_has_a_file_of_its_own(fake, monkeypatch):
    seen = []
    monkeypatch.setattr("suppress.cli.evaluate.evaluate_table", lambda args, *_: seen.append(args.out))
    assert main(["--shard", "3/16"]) == main(["--shard", "3/16", "--out", "mine.jsonl"]) == main([]) == 0
    assert seen == ["suppress-eval-3-of-16.jsonl", "mine.jsonl", "suppress-eval.jsonl"]

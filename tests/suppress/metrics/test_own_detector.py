"""`--judge module:Class`: a user's own detector."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from minisd import UserError
from suppress.cli.evaluate import main
from suppress.metrics import Unavailable
from suppress.metrics.own_detector import OwnDetector

MODULE = """
class Bright:
    names = ["Red Scarf", "accordion"]
    def scores(self, pictures):
        found = [p.convert("L").resize((1, 1)).getpixel((0, 0)) / 255 for p in pictures]
        return {"Red Scarf": found, "accordion": found}
"""
GREY = Image.new("RGB", (4, 4), (51, 51, 51))


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a module under a name of its own, and returns the name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def writer(text: str, name: str = f"judge_{tmp_path.name}") -> str:
        Path(f"{name}.py").write_text(text)
        return name

    return writer


def test_it_is_asked_with_pictures_and_its_names_are_its_classes(write, tmp_path):
    detector = OwnDetector(f"{write(MODULE)}:Bright", tmp_path)
    assert detector.match("a red scarf").name == "Red Scarf" and not detector.match("accordion").wider
    with pytest.raises(Unavailable, match="has no class for 'hat'; it has Red Scarf, accordion"):
        detector.match("hat")
    scores = detector.scores([GREY, GREY])
    assert list(scores) == detector.names and torch.allclose(scores["accordion"], torch.tensor([0.2, 0.2]))


def test_a_changed_file_is_another_judge(write, tmp_path):
    one = OwnDetector(f"{write(MODULE, 'judge_one')}:Bright", tmp_path)
    other = OwnDetector(f"{write(MODULE + '# changed', 'judge_two')}:Bright", tmp_path)
    third = OwnDetector(f"{write(MODULE + '    version = 2', 'judge_three')}:Bright", tmp_path)
    assert len({each.identity.split()[1] for each in (one, other, third)}) == 3


@pytest.mark.parametrize(
    ("text", "spec", "message"),
    [
        (MODULE, "{}", "expected module:Class"),
        (MODULE, "{}:", "expected module:Class"),
        (MODULE, "no_such_module:Bright", "no_such_module cannot be imported: ModuleNotFoundError"),
        ("1 / 0", "{}:Bright", "cannot be imported: ZeroDivisionError"),
        (MODULE, "{}:Dark", "has no class Dark"),
        ("class Bright: pass", "{}:Bright", "names = None; expected a list"),
        ("class Bright:\n    names = []", "{}:Bright", "names = []; expected a list"),
        ("class Bright:\n    def __init__(self, x): pass", "{}:Bright", "making it failed with TypeError"),
        ("class Bright:\n    names = ['a']", "{}:Bright", "scores() failed with AttributeError"),
        (
            MODULE.replace("return", "return 1 / 0,"),
            "{}:Bright",
            "failed with ZeroDivisionError: division by zero (judge_",
        ),
        (MODULE.replace("return {", "return [], {"), "{}:Bright", "expected scores for all of its names"),
        (MODULE.replace("found = [", "found = [0] + ["), "{}:Bright", "expected 2 numbers from 0 to 1"),
        (MODULE.replace("/ 255 ", "* 2 "), "{}:Bright", "expected 2 numbers from 0 to 1"),
        (MODULE.replace("found}", "'much'}"), "{}:Bright", "scores()['accordion'] = 'much'; expected 2 numbers"),
    ],
)
def test_mistakes(write, tmp_path, text, spec, message):
    with pytest.raises(UserError) as error:
        OwnDetector(spec.format(write(text)), tmp_path)
    assert message in str(error.value) and "--judge" in str(error.value)


def test_a_table_of_ones_own_detector(write, capsys):
    name = write(MODULE.replace('"Red Scarf", ', "").replace('"Red Scarf": found, ', ""))
    Path("mine.csv").write_text("prompt,target,seed\na man with an accordion,accordion,0\n")
    job = ["--prompts", "mine.csv", "--steps", "1", "--only", "SWR", "--judge", f"{name}:Bright"]
    assert main(job) == 0
    table = capsys.readouterr().out
    assert "The detector sees no other attribute than the targets." in table and "nan" not in table
    [cell] = [json.loads(line) for line in Path("suppress-own.jsonl").read_text().splitlines()]
    assert cell["made by"]["judge"].startswith(f"{name}:Bright ") and list(cell["after"]) == ["accordion"]
    assert main([*job, "--devices", "cpu", "--out", "other.jsonl"]) == 0  # another process finds it too
    assert main(["merge", "suppress-own.jsonl", "other.jsonl", "--out", "both.jsonl"]) == 0


def test_it_must_see_what_the_drawn_pictures_show(write, capsys):
    assert main(["--pictures", "--limit", "1", "--judge", f"{write(MODULE)}:Bright"]) == 2
    assert "cannot see glasses, which these pictures show" in capsys.readouterr().err

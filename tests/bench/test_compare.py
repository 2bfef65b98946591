"""`python -m bench compare`: the ratio, its noise and the verdict of two results."""

import json
import random

import pytest
from scipy.stats import mannwhitneyu

from bench.__main__ import main
from bench.compare import by_chance, noise, ratio, verdict

pytestmark = pytest.mark.quick


@pytest.fixture
def result(tmp_path):
    """A function that writes a result file: name, the seconds of each rung, changes of its scenario."""

    def write(name, rungs, **scenario):
        data = {
            "machine": {"device": "A CPU", "kind": "cpu", "threads": 2, "torch": "2", "commit": name},
            "scenario": {"model": "tiny", "job": "bench", "batch": 1, **scenario},
            "rungs": [{"rung": rung, "seconds": seconds} for rung, seconds in rungs.items()],
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(data))
        return str(path)

    return write


def test_the_rank_test_equals_scipys():
    draw = random.Random(0)
    for m, n in ((4, 4), (5, 5), (3, 7), (6, 5), (1, 9)):
        a, b = [draw.gauss(1, 0.1) for _ in range(m)], [draw.gauss(1.1, 0.1) for _ in range(n)]
        assert by_chance(a, b) == pytest.approx(mannwhitneyu(a, b, method="exact").pvalue)
    assert by_chance([1, 1], [1, 1]) == 1


def test_verdicts():
    slow, fast = [2.0, 2.1, 1.9, 2.05], [1.0, 1.02, 0.98, 1.01]
    assert verdict(slow, fast) == "better" and verdict(fast, slow) == "worse"
    assert verdict(slow, slow) == "cannot tell"
    assert verdict(slow[:3], fast[:3]) == "cannot tell"  # three rounds are too few for any difference
    assert verdict([1.01, 1.011, 1.012, 1.013], [1, 1.001, 1.002, 1.003]) == "cannot tell"  # sure, but below 2 %
    assert ratio(slow, fast) == pytest.approx(2.025 / 1.005)
    low, high = noise(slow, fast)
    assert 1.9 / 1.02 < low < ratio(slow, fast) < high < 2.1 / 0.98


def test_seconds_are_divided_by_those_of_the_first_rung(result, capsys):
    """B ran on a machine that is twice as slow, and gets slower: only its second rung is really faster."""
    a = result("a", {"reference": [10, 10, 10, 10, 10], "one batch": [5, 5.1, 4.9, 5, 5], "gone": [1] * 5})
    b = result("b", {"reference": [20, 22, 24, 26, 28], "one batch": [5, 5.6, 6, 6.4, 7], "new": [1] * 5})
    assert main(["compare", a, b]) == 0
    out = capsys.readouterr().out
    assert "A: tiny, job 'bench', batch 1, measured on the CPU (A CPU, 2 threads), not a GPU; torch 2, a" in out
    assert "| reference | 10.00 | 24.00 |  |  | all others are divided by it |" in out
    assert "| one batch | 5.00 | 6.00 | 2.00 |" in out and "| better |" in out
    assert "gone" not in out and "new" not in out
    assert main(["compare", a, a]) == 0 and "| 1.00 |" in (out := capsys.readouterr().out) and "cannot tell" in out


def test_bad_input(result, tmp_path, capsys):
    rungs = {"reference": [1.0]}
    a = result("a", rungs)
    (tmp_path / "other.json").write_text('{"rungs": []}')
    (tmp_path / "broken.json").write_text("{")
    cases = [
        ("nowhere.json", "nowhere.json is not a file"),
        (str(tmp_path / "other.json"), "is not a result of python -m bench"),
        (str(tmp_path / "broken.json"), "is not valid JSON"),
        (result("b", rungs, batch=4), "A has the batch 1, B has 4"),
        (result("c", {"one batch": [1.0]}), "the first rung is 'reference' in A and 'one batch' in B"),
    ]
    for name, message in cases:
        assert main(["compare", a, name]) == 2
        assert message in capsys.readouterr().err

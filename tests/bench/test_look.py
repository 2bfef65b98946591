"""`python -m bench --top` and `--flame`: where a job's time goes."""

import pytest
import torch

from bench import look
from bench.__main__ import main


def test_operators_by_their_own_time():
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(3):
            with torch.profiler.record_function("suppress: example"):
                torch.ones(300, 300) @ torch.ones(300, 300)
    table = look.operators(profile, 2, cuda=False).splitlines()
    assert len(table) == 4 and table[0] == "| operator | share | ms | calls | µs a call |"
    times = [float(line.split("|")[3]) for line in table[2:]]
    assert times == sorted(times, reverse=True)
    whole = look.operators(profile, 100, cuda=False)
    [product] = [line for line in whole.splitlines() if "`aten::mm`" in line]
    assert product.split("|")[4].strip() == "3" and "suppress: example" in whole
    shares = [float(line.split("|")[2].strip(" %")) for line in whole.splitlines()[2:]]
    assert sum(shares) == pytest.approx(100, abs=0.1 * len(shares))


def test_a_flame_graph_names_the_functions(tmp_path):
    pytest.importorskip("pyinstrument", reason='pyinstrument is not installed: pip install "minisd[bench]"')

    class Runner:
        def run(self):
            end = torch.ones(())
            for _ in range(20):
                end = slowly(end)

    page = look.flame(Runner(), tmp_path / "run.html").read_text()
    assert "slowly" in page and page.lstrip().lower().startswith("<!doctype html>")


def slowly(x):
    for _ in range(2000):
        x = x + 1
    return x


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--top", "0"], "--top 0: expected 1 or more operators"),
        (["--flame", "run.svg"], "--flame run.svg: expected a name that ends in .html"),
        (["--flame", "nowhere/run.html"], "there is no folder"),
    ],
)
def test_bad_input(args, message, capsys):
    assert main(["--device", "cpu", *args]) == 2
    assert message in capsys.readouterr().err


def test_without_pyinstrument(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(look.importlib.util, "find_spec", lambda name: None)
    assert main(["--device", "cpu", "--flame", str(tmp_path / "run.html")]) == 2
    assert 'pip install "minisd[bench]"' in capsys.readouterr().err

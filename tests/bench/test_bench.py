"""`python -m bench` on the embedded model, with a short job: its figures, and the files that it adds."""

import json
from itertools import pairwise

import pytest
import torch

import suppress
from bench.__main__ import main
from bench.ladder import Rung, ladder
from bench.report import markdown
from bench.roofline import job_flops
from bench.scenario import JOBS, Scenario
from bench.timing import Runner, quantile
from suppress import Plan
from suppress.engine.plan import CPU_TECHNIQUES


@pytest.fixture
def short(small, monkeypatch):
    """A short job on a small model."""
    job = suppress.SuppressEOT.official(steps=3, start=1, stop=2, iterations=1, resolution=4)
    monkeypatch.setitem(JOBS, "bench", job)
    monkeypatch.setattr(Scenario, "load", lambda self, dtype: small)


def test_the_bench_job_is_the_designs():
    s = JOBS["bench"]
    assert (s.steps, s.guidance, s.start_step, s.ito_end, s.iterations, s.loss, s.heads) == (
        50,
        7.5,
        10,
        20,
        10,
        "cosine",
        None,
    )
    assert (s.lambda_pl, s.lambda_nl, s.lambda_self_pl, s.lambda_self_nl) == (1, 0.5, 1, 0.5)
    assert JOBS["200"].start_step == 0 and JOBS["200"].ito_end == 20


def test_a_rung_adds_one_technique_to_the_one_before():
    for device, dtype in (("cpu", torch.float32), ("cuda", torch.bfloat16)):
        rungs = ladder(device, dtype, compiler=True)
        assert rungs[0].plan is None and len({r.name for r in rungs}) == len(rungs)
        assert rungs[-1].dtype == dtype and rungs[0].dtype == torch.float32
        for a, b in pairwise(rungs[1:]):
            changed = {k for k in vars(a.plan) if getattr(a.plan, k) != getattr(b.plan, k)}
            if b.name == "torch.compile":  # it has its own ways of what is left out beside it
                assert changed - {*CPU_TECHNIQUES, "at_once", "channels_last"} == {"compile"}
            else:
                assert len(changed) + (a.dtype != b.dtype) == 1


def test_a_ladder_on_the_cpu(short, tmp_path, capsys):
    job = ["--device", "cpu", "--repeats", "2", "--rungs", "early exit", "one batch", "--out", str(tmp_path)]
    profile, plot = tmp_path / "trace.json", tmp_path / "ladder.png"
    assert main([*job, "--batch", "2", "--profile", str(profile), "--plot", str(plot), "--top", "3"]) == 0
    out = capsys.readouterr().out
    assert out.rpartition("one batch, by operators\n\n")[2].count("\n| `") == 3
    assert "measured on the CPU" in out and "not a GPU" in out
    [file] = tmp_path.glob("tiny-bench-b2-*.json")
    data = json.loads(file.read_text())
    assert [r["rung"] for r in data["rungs"]] == ["reference", "early exit", "one batch"]
    assert markdown(data) in out
    for rung in data["rungs"]:
        assert len(rung["seconds"]) == 2 and min(rung["seconds"]) > 0 and rung["ms_step"] > 0
        assert rung["worst_delta"] < 1e-3 and rung["psnr"] > 45
        assert rung["peak_gib"] is None and rung["launches"] is None  # the CPU cannot tell
    assert data["rungs"][0]["flops"] > data["rungs"][1]["flops"] > data["rungs"][2]["flops"] > 0
    assert "suppress: ito" in profile.read_text() and plot.stat().st_size > 5000
    before = file.read_bytes()
    again = ["--device", "cpu", "--repeats", "1", "--rungs", "reference", "--out", str(tmp_path)]
    assert main([*again, "--batch", "2"]) == 0  # a result is added, none is replaced
    assert file.read_bytes() == before and len(list(tmp_path.glob("tiny-bench-b2-*.json"))) == 2


@pytest.mark.parametrize(("job", "runs"), [("swr", 3), ("bench", 6)])
def test_a_job_is_run_once_a_round_and_again_without_its_ito_alone(sd, short, monkeypatch, job, runs):
    asked = []
    drawn = [suppress.run(sd, "a man without glasses", settings=suppress.Unread(steps=1, start=0))]

    def counted(sd, jobs, *, settings, **_rest):
        asked.append(settings.iterations)
        return drawn

    monkeypatch.setattr("bench.timing.run_batch", counted)
    runner = Runner(sd, Scenario("tiny", job, 1, "cpu"), Rung("reference", None))
    results = runner.start()
    runner.again()
    runner.again()
    assert len(asked) == runs and len(runner.seconds) == len(runner.plain) == 2
    assert set(asked) == {0, JOBS[job].iterations}
    assert (runner.figures(results, results).ms_iteration is None) == (job == "swr")


def test_flops_are_those_of_the_passes(sd):
    scenario = Scenario("tiny", "swr", 1, "cpu")
    shared, all_ = (job_flops(sd, scenario, plan) for plan in (Plan(), None))
    assert shared / all_ == pytest.approx((2 * 10 + 4 * 40) / (4 * 50))


def test_a_job_knows_its_iterations():
    assert Scenario("tiny", "bench", 1, "cpu").ito == (10, 10) and Scenario("tiny", "200", 1, "cpu").ito == (20, 10)
    assert Scenario("tiny", "swr", 1, "cpu").ito == Scenario("tiny", "unread", 1, "cpu").ito == (0, 0)


def test_quantiles():
    assert quantile([3, 1, 2], 0.5) == 2 and quantile([1, 2], 0.25) == 1.25 and quantile([5], 0.9) == 5


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--rungs", "warp"], "no rung warp; there is reference, losses as tensors"),
        (["--repeats", "0"], "expected 1 or more"),
        (["--batch", "0"], "expected 1 or more"),
        (["--model", "nowhere"], "nowhere"),
    ],
)
def test_bad_input(args, message, capsys):
    assert main(["--device", "cpu", *args]) == 2
    assert message in capsys.readouterr().err

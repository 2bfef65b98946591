"""The figures of the comparison's tables, against figures that were worked out by hand."""

from dataclasses import replace

import pytest

from suppress.evaluation import measure as module
from suppress.evaluation.cases import Case
from suppress.evaluation.prompt_table import by_kind
from suppress.evaluation.table import interval, summarise
from suppress.methods import parse_method
from suppress.metrics import Detector, Judge

pytestmark = pytest.mark.quick

CASES = [Case("last", "a man without glasses", "glasses", "a man"), Case("list", "a hat, a cat", "hat", "a cat")]


def cell(before: float, after: float) -> dict:
    """A cell with the scores of two pictures."""
    sides = {
        side: {"glasses": [value, value + 0.1], "hat": [value - 0.1, value]}
        for side, value in (("before", before), ("after", after))
    }
    clips = {"clip before": [0.9, 0.9], "clip after": [0.1, 0.3]}
    return sides | clips | {"ssim": [0.7, 0.8], "passes": 100, "gradient passes": 40, "seconds": 2.0}


def test_the_interval_holds_95_percent():
    """For the mean of n values with deviation s, the interval is about ± 1.96 s / √n."""
    low, high = interval([0.0, 1.0] * 50)
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / 10, rel=0.05)
    assert (low + high) / 2 == pytest.approx(0.5, abs=0.01)


def test_all_figures_of_a_row():
    s = summarise([("glasses", cell(0.8, 0.2)), ("hat", cell(0.8, 0.4))])
    assert s.pictures == 4
    assert s.det == pytest.approx((0.2 + 0.3 + 0.3 + 0.4) / 4) and s.clip == pytest.approx(0.2)
    assert s.other_change == pytest.approx((0.6 + 0.4) / 2)  # of the hat beside the glasses, and the other way round
    assert s.worst == ("hat", pytest.approx(-0.6)) and s.worst_prompt == ("hat", pytest.approx(-0.6), "glasses")
    assert (s.ssim, s.passes, s.gradient_passes, s.seconds) == (pytest.approx(0.75), 100, 40, 2)
    for mean, (low, high) in (
        (s.det, s.det_interval),
        (s.clip, s.clip_interval),
        (s.other_change, s.other_interval),
        (s.ssim, s.ssim_interval),
    ):
        assert low < mean < high


def test_kinds_of_prompts_have_the_means_of_the_suppressed_pictures(sd):
    rows = {"SWR": "suppress-eot", "Unread": "unread"}
    done = {
        ("SWR", CASES[0].prompt): cell(0.8, 0.2),
        ("SWR", CASES[1].prompt): cell(0.8, 0.4),
        ("Unread", CASES[0].prompt): cell(0.8, 0.1),
    }
    lines = by_kind(done, rows, CASES, Detector.of(sd)).splitlines()
    assert lines[-4:] == [
        "| DetScore of the target | list | last |",
        "|---|---|---|",
        "| SWR | 0.350 | 0.250 |",
        "| Unread | – | 0.150 |",
    ]


def test_seconds_are_those_of_sampling_a_picture(sd, monkeypatch):
    run = module.run

    def timed(*args, **kwargs):
        return replace(run(*args, **kwargs), timings={"encode": 10.0, "sample": 6.0, "decode": 20.0, "total": 36.0})

    monkeypatch.setattr(module, "run", timed)
    method = parse_method("zero", steps=1, start=0)
    cell = module.measure(sd, Judge(sd), CASES[0], method, [0, 1])
    assert cell["seconds"] == 3 and cell["passes"] == 4

"""The metrics of the protocols' tables, from cells made by hand."""

import math
from types import SimpleNamespace

import pytest

from suppress.protocols.protocol import CLIP, DET, IFID, LPIPS, ORR, PROMPT, REMOVED, TOP_1, TOP_5, group
from suppress.protocols.scores import Found, figure

pytestmark = pytest.mark.quick

DETECTOR = SimpleNamespace(match=lambda words: SimpleNamespace(name=words))
[HAT, GLASSES] = group("last", ("a girl with a hat", "hat", "a girl"), ("a man with glasses", "glasses", "a man"))


def cell(target: str, before: list[float], after: list[float], **extra) -> dict:
    return {"before": {target: before}, "after": {target: after}, "extra": extra}


def test_the_removal_rate_counts_the_pictures_that_had_the_target():
    measured = [
        (HAT, cell("hat", [0.9, 0.6, 0.2], [0.1, 0.7, 0.9])),  # of two, two are left: one was added
        (GLASSES, cell("glasses", [1.0, 0.5], [0.0, 0.0])),  # .5 exactly is not there
    ]
    assert figure(measured, "after", REMOVED, (), DETECTOR) == Found(pytest.approx((3 - 2) / 3))
    absent = figure([(HAT, cell("hat", [0.1], [0.9]))], "after", REMOVED, (), DETECTOR)
    assert math.isnan(absent.value) and absent.text(REMOVED) == "–" and absent.text(REMOVED, 0.142) == "– (0.142)"


def test_means_of_the_scores_that_only_some_cells_have():
    extra = {
        "prompt fit": {"before": [0.8, 0.6], "after": [0.4, 0.2]},
        "CLIP accuracy": {"top 1": [1, 1], "top 5": [1, 0]},
        "ORR": {"before": [0, 0], "after": [1, 0]},
    }
    measured = [(HAT, cell("hat", [0.9, 0.9], [0.1, 0.1], **extra))]
    wanted = {(PROMPT, "before"): 0.7, (PROMPT, "after"): 0.3, (TOP_1, "after"): 1, (TOP_5, "after"): 0.5}
    for (metric, side), value in (wanted | {(ORR, "before"): 0, (ORR, "after"): 0.5}).items():
        assert figure(measured, side, metric, (), DETECTOR) == Found(pytest.approx(value))


def test_what_is_missing_is_told():
    measured = [(HAT, cell("hat", [0.9], [0.1], LPIPS={"reason": "no weights"}))]
    assert figure(measured, "after", LPIPS, (), DETECTOR).reason == "LPIPS: no weights"
    assert figure(measured, "after", PROMPT, (), DETECTOR).reason == "CLIP score of the prompt: it was not measured"
    assert figure([], "after", DET, (), DETECTOR) == figure([], "after", CLIP, (), DETECTOR)
    assert figure([], "after", DET, (), DETECTOR).text(DET) == "–"


def test_ifid_needs_many_pictures():
    texts = ["AAA8AAA8", "AAAAAAA8"]  # float16: (0, 1, 0, 1) and (0, 0, 0, 1)
    measured = [(HAT, cell("hat", [0.9] * 2, [0.1] * 2, features={"before": texts, "after": texts}))]
    found = figure(measured, "after", IFID, (), DETECTOR)
    assert "IFID: FID with" in found.reason and "not 2: add pictures" in found.reason

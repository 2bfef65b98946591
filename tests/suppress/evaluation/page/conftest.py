"""What the tests of the report share: cells and pictures made by hand."""

from types import SimpleNamespace

import pytest
from PIL import Image

from suppress.evaluation.all_methods import OURS
from suppress.evaluation.cases import Case
from suppress.evaluation.page.parts import Sample, Sheet
from suppress.evaluation.page.prompt_report import prompt_report

GLASSES = Case("list", 'a man with "glasses" & a <b>hat</b>', "glasses", "a man with a hat")
RAIN = Case("last", "a cat in the rain", "rain", "a cat")
DETECTOR = SimpleNamespace(match=lambda target: SimpleNamespace(name=target))
SETTINGS = {"steps": 25, "start": 0.1, "seeds": 2}
COMMAND = "suppress eval --rows all --report"


def cell(target: str, det: list[float], ssim: list[float], passes: float = 100) -> dict:
    before = {target: [1.0, 1.0], "hat": [0.5, 0.5]}
    after = {target: det, "hat": [0.6, 0.6]}
    clips = {"clip before": [1.0, 1.0], "clip after": [0.1, 0.1]}
    method = {"steps": 25, "text": target}  # the text is another one in each cell
    return {"method": method, "before": before, "after": after, "ssim": ssim, "passes": passes, "seconds": 1.0, **clips}


@pytest.fixture(scope="session")
def done() -> dict:
    """Cells of three rows: the default, one that the default beats and that fails once, and one that always fails."""
    reason = {"method": {}, "reason": "no <file> | here"}
    return {
        (OURS, GLASSES.prompt): cell("glasses", [0.0, 0.2], [0.8, 0.9]),
        (OURS, RAIN.prompt): cell("rain", [0.0, 0.0], [0.6, 0.7]),
        ("SWR <old>", GLASSES.prompt): cell("glasses", [0.9, 0.5], [0.7, 0.7], passes=25),
        ("SWR <old>", RAIN.prompt): reason,
        ("delta", GLASSES.prompt): reason,
        ("delta", RAIN.prompt): reason,
    }


@pytest.fixture(scope="session")
def sheets() -> list[Sheet]:
    """Two prompts with one picture each, red before and blue after."""
    red, blue = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    return [
        Sheet(case.prompt, case.target, (Sample(OURS, "seed 0", red, blue, ("DetScore 1.00 → 0.00",)),))
        for case in (GLASSES, RAIN)
    ]


@pytest.fixture(scope="session")
def make_report():
    """(cells, names of rows, further arguments) -> the report of the two prompts."""

    def make(done: dict, rows: list[str], *others):
        return prompt_report(done, {row: row for row in rows}, [GLASSES, RAIN], DETECTOR, COMMAND, SETTINGS, *others)

    return make


@pytest.fixture(scope="session")
def report(make_report, done, sheets):
    return make_report(done, [OURS, "SWR <old>", "delta"], sheets)

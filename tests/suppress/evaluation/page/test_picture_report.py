"""The report of pictures: every figure, from cells made by hand."""

from dataclasses import replace

import pytest

from suppress.evaluation.measure_pictures import VAE
from suppress.evaluation.page.html import report_html
from suppress.evaluation.page.parts import Table, Value
from suppress.evaluation.page.picture_report import REFERENCE, picture_report
from suppress.evaluation.pairs import NOTHING, STANDARD, Pair
from suppress.evaluation.pictures import PictureCase

pytestmark = pytest.mark.quick

GLASSES = PictureCase(0, 0, "glasses", "glasses", "a girl wearing glasses", "glasses", "a girl", 0)
RAIN = replace(GLASSES, number=1, seed=5, kind="rain", name="rain")
PAIRS = [Pair(STANDARD, "direct"), Pair("zero", "direct"), Pair(NOTHING, "ddim")]
OTHER, KEPT = PAIRS[1].row, PAIRS[2].row


def cell(after: float, outside: float | None = 20.0) -> dict:
    before = {"glasses": 1.0, "rain": 1.0, "hat": 0.2}
    scores = {"before": before, "reconstruction": before, "after": before | {"glasses": after, "rain": after}}
    scores |= {"psnr photo": 11.0, "psnr vae": 25.0, "psnr reconstruction": 12.0, "error inside": 30.0}
    costs = {"ssim ideal": 0.5, "passes": 40, "inversion passes": 20, "seconds": 2.0, "inversion seconds": 1.0}
    return scores | costs | {"psnr outside": outside, "method": {"steps": 15}}


@pytest.fixture(scope="module")
def report():
    done = {
        (REFERENCE, 0): cell(0.1),
        (REFERENCE, 1): cell(0.2, None),
        (OTHER, 0): cell(0.6, 15.0),
        (OTHER, 1): {"method": {}, "reason": "no mask"},
        (KEPT, 0): cell(1.0, 30.0),
        (VAE, 0): cell(1.0, 35.0),
    }
    return picture_report(done, PAIRS, [GLASSES, RAIN], "suppress eval --pictures --report", {"steps": 15})


def values(report, title: str, row: str) -> dict[str, Value]:
    table: Table = next(each for each in report.tables if each.title == title)
    found = next(each.values for each in table.rows if each.name == row)
    return dict(zip((column.name for column in table.columns), found, strict=True))


def test_every_pair_is_compared_with_the_default_by_picture(report):
    ours, other = (values(report, "All pictures", row) for row in (REFERENCE, OTHER))
    assert ours["pictures"].number == 2 and ours["DetScore"].number == pytest.approx(0.15)
    assert ours["DetScore, local targets"].number == 0.1 and ours["DetScore, weather and style"].number == 0.2
    assert ours["PSNR outside"].number == 20 and ours["Δ DetScore"] == Value()
    assert (other["pictures"].number, other["without a result"].number, other["DetScore above 0.5"].number) == (1, 1, 1)
    assert other["Δ DetScore"].number == pytest.approx(-0.5) and other["Δ PSNR outside"].number == pytest.approx(5)
    # three other rows: Holm makes the least p, 2 / 20001, three times as large
    assert other["p of Δ DetScore"].number == pytest.approx(3 * 2 / 20_001)
    assert [row.name for row in report.tables[0].rows if row.marked] == [REFERENCE]


def test_costs_are_those_of_the_edit_and_of_the_inversion(report):
    ours = values(report, "All pictures", REFERENCE)
    names = ("passes", "passes of the inversion", "time", "time of the inversion")
    assert [ours[name].number for name in names] == [40, 20, 2.0, 1.0]
    assert {point.name: point.size for point in report.plot.points}[REFERENCE] == 60


def test_kinds_inversions_and_reasons_have_their_tables(report):
    assert values(report, "By kind of target", REFERENCE)["DetScore, rain"].number == 0.2
    assert values(report, "By kind of target", OTHER)["DetScore, rain"] == Value()
    found = values(report, "Reconstruction, nothing removed", "ddim")
    assert (found["PSNR of the reconstruction"].number, found["PSNR of the edited branch"].number) == (12, 11)
    assert values(report, "Reconstruction, nothing removed", "the VAE alone")["PSNR of the reconstruction"].number == 25
    assert values(report, "Pictures without a result", OTHER)["reason"].words == "no mask"


def test_the_best_pair_is_told():
    done = {(REFERENCE, number): cell(0.05) for number in (0, 1)}
    found = picture_report(done, PAIRS, [GLASSES, RAIN], "", {}).tables[0]
    assert any(note.startswith(f"Best pair: {REFERENCE} (the highest PSNR") for note in found.notes)
    one = picture_report({(REFERENCE, 0): cell(0.05)}, PAIRS, [GLASSES], "", {}).tables[0]
    assert not any(note.startswith("Best pair") for note in one.notes)  # there is no other half to report it on


def test_the_plot_has_suppression_and_preservation(report):
    point = next(point for point in report.plot.points if point.marked)
    assert point.name == REFERENCE and (point.x, point.y) == pytest.approx((0.85, 20))
    nowhere = picture_report({(REFERENCE, 1): cell(0.2, None)}, PAIRS, [RAIN], "", {})
    assert nowhere.plot is None and 'id="plot"' not in report_html(nowhere)


def test_nothing_measured_is_no_error():
    empty = picture_report({}, PAIRS, [GLASSES], "", {})
    assert empty.tables == () and "<h1>Methods on pictures</h1>" in report_html(empty)

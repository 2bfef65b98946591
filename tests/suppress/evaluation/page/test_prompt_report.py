"""The report of prompts: every figure, from cells made by hand."""

import pytest

from suppress.evaluation.all_methods import OURS
from suppress.evaluation.page.parts import Column, Table, TableRow, Value
from suppress.evaluation.page.prompt_report import reference_of
from suppress.evaluation.page.shared import EMBEDDED

pytestmark = pytest.mark.quick


def table(report, title: str) -> Table:
    return next(each for each in report.tables if each.title == title)


def value(found: Table, row: str, column: str) -> Value:
    values = next(each.values for each in found.rows if each.name == row)
    return dict(zip((each.name for each in found.columns), values, strict=True))[column]


def test_means_stand_beside_failures_and_the_number_of_pictures(report):
    found = table(report, "All prompts")
    assert [(row.name, row.marked) for row in found.rows] == [(OURS, True), ("SWR <old>", False)]
    ours, old = ({c.name: value(found, row, c.name) for c in found.columns} for row in (OURS, "SWR <old>"))
    assert ours["pictures"].number == 4 and old["pictures"].number == 2
    assert ours["without a result"].number == 0 and old["without a result"].number == 2
    # .5 exactly does not count
    assert ours["DetScore above 0.5"].number == 0 and old["DetScore above 0.5"].number == 1
    assert ours["DetScore"].number == pytest.approx(0.05) and old["DetScore"].number == pytest.approx(0.7)
    assert ours["SSIM"].number == pytest.approx(0.75) and ours["local SSIM"].number == pytest.approx(0.85)
    assert ours["most changed"].words == "hat +0.10" and old["passes"].number == 25
    assert ours["passes with gradient"].number is None  # the cells do not say
    low, high = ours["DetScore"].interval
    assert low < 0.05 < high


def test_every_row_is_compared_with_the_default_on_their_common_pictures(report):
    found = table(report, "All prompts")
    difference = value(found, "SWR <old>", "Δ DetScore")
    assert difference.number == pytest.approx((0.0 - 0.9 + 0.2 - 0.5) / 2)
    assert difference.interval == pytest.approx((-0.9, -0.3))
    assert value(found, "SWR <old>", "Δ SSIM").number == pytest.approx(0.15)
    assert value(found, "SWR <old>", "p of Δ DetScore") == Value(pytest.approx(1 / 10_000, rel=0.01), words="< 0.001")
    assert value(found, "SWR <old>", "reference wins").words == "yes"
    assert value(found, OURS, "Δ DetScore") == Value() == value(found, OURS, "reference wins")
    assert f"The reference is {OURS}." in found.notes[0]


def test_the_reference_is_the_default_then_unread_then_the_first_row():
    assert reference_of(dict.fromkeys(("SWR", "Unread", OURS))) == OURS
    assert reference_of(dict.fromkeys(("SWR", "Unread"))) == "Unread"
    assert reference_of(dict.fromkeys(("SWR", "zero"))) == "SWR"


def test_kinds_have_their_own_means(report):
    found = table(report, "By kind of prompt")
    assert [c.name for c in found.columns[1:]] == ["DetScore, list", "DetScore, last", "SSIM, list", "SSIM, last"]
    assert value(found, OURS, "DetScore, list").number == pytest.approx(0.1)
    assert value(found, OURS, "SSIM, last").number == pytest.approx(0.65)
    assert value(found, "SWR <old>", "DetScore, last") == Value()
    assert value(found, "SWR <old>", "pictures").number == 2


def test_reasons_are_counted_in_pictures(report):
    found = table(report, "Pictures without a result")
    assert [(row.name, row.values[0].number, row.values[1].words) for row in found.rows] == [
        ("SWR <old>", 2, "no <file> | here"),
        ("delta", 4, "no <file> | here"),
    ]


def test_the_plot_has_suppression_preservation_and_cost(report):
    ours, old = report.plot.points
    assert (ours.name, ours.marked, ours.size) == (OURS, True, 100) and (old.size, old.marked) == (25, False)
    assert (ours.x, ours.y) == pytest.approx((0.95, 0.75)) and (old.x, old.y) == pytest.approx((0.3, 0.7))


def test_the_report_says_what_it_is_about_and_how_it_was_made(report):
    assert report.sentences[0] == EMBEDDED and report.sentences[1].startswith("2 prompts × 2 seeds.")
    assert report.command == "suppress eval --rows all --report"
    assert report.settings["run"]["start"] == 0.1
    assert report.settings["rows"][OURS] == {"steps": 25}  # not the text, which differs between cells


def test_the_bar_is_a_table_if_control_and_swr_were_measured(report, done, make_report):
    assert not any("bar" in each.title for each in report.tables)
    ours = {prompt: scores for (row, prompt), scores in done.items() if row == OURS}
    rows = [OURS, "phrase deleted", "suppress-eot"]
    full = make_report({(row, prompt): scores for row in rows for prompt, scores in ours.items()}, rows)
    found = table(full, f"{OURS} against the bar for the default")
    assert value(found, "mean DetScore of the target at most .05", "holds").words == "yes"
    assert value(found, "SSIM of the local targets at least .85", "measured").words == "0.850"
    [beaten] = [row for row in found.rows if row.name.startswith("better than every other row")]
    assert beaten.values[1] == Value(0.0, words="no") and "DetScore and SSIM of suppress-eot" in beaten.values[2].words


def test_a_method_that_descends_on_a_score_is_named(report, done, make_report):
    remark = "stg makes the CLIP score small by itself: judge it by the other columns."
    assert not any("by itself" in note for note in table(report, "All prompts").notes)
    cells = {("stg", prompt): scores for (row, prompt), scores in done.items() if row == OURS}
    assert remark in table(make_report(cells, ["stg"]), "All prompts").notes


def test_nothing_measured_is_no_error(make_report):
    empty = make_report({}, ["delta"])
    assert empty.tables == () and empty.plot is None


def test_a_row_has_one_value_per_column():
    with pytest.raises(ValueError, match="SWR: 1 values in a table of 2 columns"):
        Table("t", "row", (Column("a"), Column("b")), (TableRow("SWR", (Value(1),)),))

"""The tables of pictures, against figures that were worked out by hand."""

from dataclasses import replace

import pytest

from suppress.evaluation.pairs import NOTHING, Pair
from suppress.evaluation.picture_table import (
    best,
    by_kind,
    edits,
    order,
    other_change,
    psnr_outside,
    reconstructions,
    summarise,
)
from suppress.evaluation.pictures import PictureCase

pytestmark = pytest.mark.quick

GLASSES = PictureCase(0, 0, "glasses", "glasses", "a girl wearing glasses", "glasses", "a girl", 0)
RAIN = replace(GLASSES, number=1, seed=5, kind="rain", name="rain")
PAIR, OTHER = Pair("Unread", "direct"), Pair("zero", "direct")


def cell(after: float, outside: float | None = 20.0, **changes) -> dict:
    before = {"glasses": 1.0, "sunglasses": 0.5, "rain": 1.0, "hat": 0.2, "dog": 0.0}
    scores = {"before": before, "reconstruction": before, "after": before | {"glasses": after, "rain": after}}
    scores |= dict.fromkeys(("psnr photo", "psnr ideal", "psnr vae", "psnr reconstruction", "error inside"), 10.0)
    costs = {"ssim ideal": 0.5, "passes": 40, "inversion passes": 20, "seconds": 2.0, "inversion seconds": 1.0}
    return scores | costs | {"psnr outside": outside} | changes


def test_a_row():
    s = summarise([(GLASSES, cell(0.1)), (GLASSES, cell(0.3, 30.0)), (RAIN, cell(0.8, None))])
    assert s.det.value == pytest.approx(0.4) and s.det.low < 0.4 < s.det.high and s.det.pictures == 3
    assert s.det_local.value == pytest.approx(0.2) and s.det_everywhere.value == pytest.approx(0.8)
    assert s.outside.value == pytest.approx(25) and s.outside.pictures == 2
    table = edits({"Unread": [(GLASSES, cell(0.1)), (RAIN, cell(0.8, None))]})
    assert "| Unread | 2 | 0.450 [0.100, 0.800] | 0.100 | 0.800 | 20.0 [20.0, 20.0] | 10.0 " in table
    assert "| 40 + 20 | 2.0 + 1.0 |" in table
    assert by_kind({"Unread": [(GLASSES, cell(0.1))]}).endswith("| Unread | 0.10 | – | – | – | – | – | – | – |")


def test_a_picture_whose_outside_is_the_photo_itself_counts_as_40_db():
    assert summarise([(GLASSES, cell(0.1, 20.0)), (GLASSES, cell(0.1, 100.0))]).outside.value == 30.0


def test_other_attributes_are_those_that_the_ideal_edit_keeps():
    """sunglasses go with glasses; rain, hat and dog stay."""
    changed = cell(0.1)
    changed["after"] |= {"sunglasses": 0.0, "rain": 0.7, "hat": 0.5, "dog": 0.0}
    assert other_change(GLASSES, changed) == pytest.approx((0.3 + 0.3 + 0) / 3)


def half(number: int, det: float, outside: float) -> tuple:
    return replace(GLASSES, number=number), cell(det, outside)


def test_the_best_pair_is_chosen_on_one_half_and_reported_on_the_other():
    rows = {
        PAIR.row: [half(0, 0.05, 24), half(1, 0.2, 26)],
        OTHER.row: [half(0, 0.01, 22), half(1, 0.01, 30)],
    }
    told = best(rows, [PAIR, OTHER])
    assert told.startswith("**Best pair: Unread on direct** (the highest PSNR outside of 2 pairs with a DetScore")
    assert "DetScore 0.050, PSNR outside 24.0 dB, 1 picture)" in told and "DetScore 0.200 [0.200, 0.200]" in told
    assert "no: DetScore at most 0.1; yes: PSNR outside at least 25 dB." in told
    rows[PAIR.row][0] = half(0, 0.11, 24)  # it does not remove enough
    assert best(rows, [PAIR, OTHER]).startswith(
        "**Best pair: zero on direct** (the highest PSNR outside of 1 pair with"
    )
    rows[OTHER.row][0] = half(0, 0.12, 40)
    told = best(rows, [PAIR, OTHER])
    assert told.startswith("**Best pair: Unread on direct** (no pair has a DetScore of at most 0.1, and this one has")


def test_no_best_pair_without_both_halves_and_never_that_of_nothing():
    assert best({PAIR.row: [half(0, 0.05, 24)]}, [PAIR]) == ""
    nothing = Pair(NOTHING, "direct")
    assert best({nothing.row: [half(0, 0.05, 24), half(1, 0.05, 24)]}, [nothing]) == ""


def found(**psnrs) -> dict:
    return {
        name.replace("_", "-"): [(GLASSES, cell(1, **{"psnr reconstruction": value}))] for name, value in psnrs.items()
    }


def test_the_order_of_reconstructions():
    good = found(direct=27.0, null_text=27.0, negative_prompt=25.0, ddim=18.0)
    assert order(good) == (
        "The published order, direct ≥ null-text > negative-prompt > ddim, holds: direct 27.0, null-text 27.0, "
        "negative-prompt 25.0, ddim 18.0 dB (1 picture)."
    )
    for wrong in ({"null_text": 28.0}, {"negative_prompt": 27.0}, {"negative_prompt": 27.5}, {"ddim": 25.0}):
        assert "does not hold" in order(good | found(**wrong))
    assert order({name: cells for name, cells in good.items() if name != "ddim"}) == ""


def test_the_order_compares_the_same_pictures():
    rows = found(direct=27.0, null_text=26.0, negative_prompt=25.0, ddim=18.0)
    rows["negative-prompt"].append((RAIN, cell(1, **{"psnr reconstruction": 90.0})))
    assert "holds: direct 27.0, null-text 26.0, negative-prompt 25.0, ddim 18.0 dB (1 picture)" in order(rows)


def test_reconstructions():
    pairs = [Pair(NOTHING, "ddim"), Pair(NOTHING, "direct"), PAIR]
    changes = {"psnr vae": 30.0, "psnr reconstruction": 25.0, "psnr photo": 18.0}
    rows = {pair.row: [(GLASSES, cell(1, **changes))] for pair in pairs}
    table = reconstructions(rows, pairs)
    assert "| VAE alone | 1 | 30.0 [30.0, 30.0] |" in table
    assert "| ddim | 1 | 25.0 [25.0, 25.0] | 18.0 [18.0, 18.0] | 20 | 1.0 |" in table and "Unread" not in table
    assert reconstructions({PAIR.row: rows[PAIR.row]}, [PAIR]) == ""


def test_the_best_pair_that_pastes_nothing_back_is_told_too():
    pasted = Pair("Unread", "direct", pasted=True)
    rows = {PAIR.row: [half(0, 0.05, 24), half(1, 0.05, 24)], pasted.row: [half(0, 0.05, 30), half(1, 0.05, 31)]}
    one, other = best(rows, [PAIR, pasted]).split("\n\n")
    assert one.startswith("**Best pair: Unread, pasted on direct**") and "PSNR outside 31.0" in one
    assert other.startswith("**Best pair, not pasted: Unread on direct**") and "PSNR outside 24.0" in other


def test_the_psnr_outside_of_one_picture():
    assert [psnr_outside({"psnr outside": value}) for value in (100.0, 39.5, None)] == [40.0, 39.5, None]

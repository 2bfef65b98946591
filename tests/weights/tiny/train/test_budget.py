"""How long each stage trains."""

import pytest

from minisd import UserError
from weights.tiny.train.budget import STAGES, Budget, budgets, rate
from weights.tiny.train.recipe import RECIPES

pytestmark = pytest.mark.quick


def test_numbers_for_all_and_for_single_stages():
    assert budgets([], []) == {}
    assert budgets(["7"], []) == {stage: Budget("steps", 7) for stage in STAGES}
    assert budgets(["clip=3"], ["unet=1.5", "vae=2"]) == {
        "clip": Budget("steps", 3),
        "unet": Budget("seconds", 1.5),
        "vae": Budget("seconds", 2),
    }


@pytest.mark.parametrize(
    ("steps", "seconds", "error"),
    [
        (["vea=3"], [], "there is no stage 'vea'; expected clip, vae, detector, unet"),
        (["3", "vae=4"], [], "vae has a budget already"),
        (["vae=4"], ["vae=4"], "vae has a budget already"),
        (["1.5"], [], "expected a whole number, or STAGE=a whole number"),
        ([], ["x"], "expected a number"),
        (["0"], [], "steps = 0; expected a whole number"),
        ([], ["0"], "expected more than 0"),
        ([], ["nan"], "expected a finite number"),
        ([], ["-1"], "seconds = -1.0"),
    ],
)
def test_odd_budgets(steps, seconds, error):
    with pytest.raises(UserError, match=error):
        budgets(steps, seconds)


def test_shares():
    assert Budget("steps", 8).share(2, 100.0) == 0.25
    assert Budget("seconds", 8).share(100, 2.0) == 0.25


def test_the_rate_rises_and_falls():
    assert rate(0) == pytest.approx(0.02) and rate(1) == pytest.approx(0.02) and rate(2) == rate(1)
    assert rate(0.015) == pytest.approx(0.5, abs=0.02)
    assert rate(0.03) > 0.99 and rate(0.5) == pytest.approx(0.51)


def test_every_recipe_has_every_stage():
    assert all(set(recipe.descents) == set(STAGES) for recipe in RECIPES.values())

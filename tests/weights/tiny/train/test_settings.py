"""What a run was begun with, and going on with it."""

import pytest

from minisd import UserError
from weights.tiny.train.budget import Budget
from weights.tiny.train.settings import Given, begin, resume

pytestmark = pytest.mark.quick

GIVEN = Given("micro", budgets={"vae": Budget("seconds", 1.5)})


def test_what_was_begun_is_read_back(tmp_path):
    begun = begin(tmp_path / "new", GIVEN, 2)
    assert begun.seed == 2026 and begun.pictures == 96
    assert begun.budgets["vae"] == Budget("seconds", 1.5) and begun.budgets["unet"] == Budget("steps", 6)
    assert resume(tmp_path / "new", Given(), 2) == begun
    assert resume(tmp_path / "new", GIVEN, 2) == begun


@pytest.mark.parametrize(
    ("given", "processes", "error"),
    [
        (Given("tiny"), 1, "begun with recipe = micro, and now it is tiny"),
        (Given(seed=1), 1, "begun with seed = 2026, and now it is 1"),
        (Given(pictures=9), 1, "begun with pictures = 96, and now it is 9"),
        (Given(budgets={"clip": Budget("seconds", 6)}), 1, "begun with budget of clip"),
        (Given(), 2, "begun with processes = 1, and now it is 2"),
    ],
)
def test_other_settings_are_refused(tmp_path, given, processes, error):
    begin(tmp_path / "new", GIVEN, 1)
    with pytest.raises(UserError, match=error):
        resume(tmp_path / "new", given, processes)


def test_nothing_to_go_on_with(tmp_path):
    with pytest.raises(UserError, match="holds no run to go on with"):
        resume(tmp_path, Given(), 1)


@pytest.mark.parametrize("text", ["{}", '{"budgets": 3}', "half a fi", '{"budgets": {"vae": {"unit": "steps"}}}'])
def test_a_damaged_file_is_named(tmp_path, text):
    begin(tmp_path / "new", GIVEN, 1)
    (tmp_path / "new" / "training" / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json"):
        resume(tmp_path / "new", Given(), 1)


@pytest.mark.parametrize(
    ("given", "error"),
    [(Given(seed=-2), "seed -2"), (Given(pictures=1), "pictures = 1; expected a whole number")],
)
def test_odd_values_make_no_folder(tmp_path, given, error):
    with pytest.raises(UserError, match=error):
        begin(tmp_path / "new", given, 1)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        begin(tmp_path / "absent" / "new", GIVEN, 1)

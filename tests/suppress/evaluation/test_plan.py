"""What another process says about a cell."""

import pytest

from minisd import UserError
from suppress.evaluation.fit import Making
from suppress.evaluation.plan import Answer, scores_in

pytestmark = pytest.mark.quick

MADE_BY = {"code": "0.1.0", "weights": "01", "judge": "02"}
MAKING = Making({}, ["hat"], MADE_BY)


def test_scores_of_the_same_making_are_taken():
    """With the worker's own commit, which may be another one of the same version."""
    theirs = MADE_BY | {"code": "0.1.0+abc"}
    assert scores_in(Answer({"passes": 1}, theirs), MAKING) == {"passes": 1, "made by": theirs}


@pytest.mark.parametrize("other", [{"code": "0.2.0"}, {"weights": "x"}, {"judge": "x"}])
def test_a_worker_with_something_else_is_an_error(other):
    with pytest.raises(
        UserError, match=r"a worker measures with other things .*install the same version and the same files"
    ):
        scores_in(Answer({"passes": 1}, MADE_BY | other), MAKING)


def test_a_worker_that_cannot_load_is_an_error():
    with pytest.raises(UserError, match="no CUDA"):
        scores_in(Answer({}, {}, "no CUDA"), MAKING)

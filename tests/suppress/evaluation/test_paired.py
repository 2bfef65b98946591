"""The paired bootstrap against distributions that were worked out by hand."""

import pytest

from suppress.evaluation.paired import Paired, holm, paired

pytestmark = pytest.mark.quick


def test_the_percentiles_of_three_differences():
    # the differences are 0, 0 and 3. Of the 27 samples, 8 have no 3, 12 one, 6 two and 1 three: the mean is 0, 1, 2 or
    # 3 with the probabilities .296, .444, .222 and .037
    ours, theirs = {"a": 1.0, "b": 0.5, "c": 4.0}, {"a": 1.0, "b": 0.5, "c": 1.0}
    found = paired(ours, theirs)
    # .037 of the samples are at 3, more than .025; .296 are at 0, and none below
    assert found == Paired(3, 1.0, (0.0, 3.0), pytest.approx(2 * 8 / 27, abs=0.01))
    assert paired(ours, theirs, level=0.9).interval == (0.0, 2.0)  # … and less than .05
    assert paired(ours, theirs, level=0.45).interval == (0.0, 1.0)  # .296 are at 0, .74 at most at 1


def test_pictures_are_compared_with_themselves():
    theirs = {("a prompt", k): float(k) for k in range(8)}
    ours = {key: value - 0.125 for key, value in theirs.items()}
    found = paired(ours, dict(reversed(theirs.items())))
    assert found.interval == (-0.125, -0.125) and found.p == pytest.approx(2 / 20_001)
    assert paired(theirs, ours).difference == 0.125 and paired(theirs, ours).p == found.p


def test_only_common_pictures_count_and_no_difference_is_no_win():
    found = paired({1: 0.5, 2: 1.0}, {2: 1.0, 3: 9.0})
    assert found == Paired(1, 0.0, (0.0, 0.0), 1.0)


def test_holm_on_an_example_by_hand():
    p = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}
    # 4 × .005, 3 × .01, 2 × .03, then .04, which is raised to the one before
    assert holm(p) == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0} and holm({"a": 0.03}) == {"a": 0.03} and holm({}) == {}

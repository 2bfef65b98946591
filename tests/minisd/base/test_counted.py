"""A number before its noun."""

import pytest

from minisd.base.counted import counted

pytestmark = pytest.mark.quick


def test_one_and_several():
    assert [counted(n, "picture") for n in (0, 1, 2)] == ["0 pictures", "1 picture", "2 pictures"]
    assert [counted(n, "box", "boxes") for n in (0, 1, 2)] == ["0 boxes", "1 box", "2 boxes"]

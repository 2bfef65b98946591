"""Pictures to invert: drawn by the embedded model, so that it can draw them again."""

import pytest

PROMPT = "a man with a beard wearing glasses and a hat"


@pytest.fixture(scope="session")
def photos(sd):
    return sd.generate(PROMPT, [1, 5], steps=12)

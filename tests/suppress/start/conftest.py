"""Pictures to invert: small ones, drawn by the embedded model with little guidance, as it reads a photo."""

import pytest

PROMPT = "a man with a beard wearing glasses and a hat"


@pytest.fixture(scope="session")
def photos(sd):
    """Two pictures of 64 pixels that PROMPT describes."""
    return [
        sd.generate(PROMPT, 1, 12, 2.0, height=64, width=64)[0],
        sd.generate(PROMPT, 5, 12, 1.0, height=64, width=64)[0],
    ]

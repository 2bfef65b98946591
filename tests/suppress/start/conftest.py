"""Pictures to invert: small ones, drawn by the embedded model with little guidance, as it reads a photo."""

import pytest

import suppress

PROMPT = "a man with a beard wearing glasses and a hat"


@pytest.fixture(scope="session")
def photos(sd):
    """Two pictures of 64 pixels that PROMPT describes."""
    return [
        sd.generate(PROMPT, 1, 12, 2.0, height=64, width=64)[0],
        sd.generate(PROMPT, 5, 12, 1.0, height=64, width=64)[0],
    ]


class Counting(suppress.Fast):
    """Inversions take from it what a UNet pass is."""

    def noise(self, z, t, ctx):
        self.inverted = getattr(self, "inverted", 0) + len(z)
        return super().noise(z, t, ctx)


@pytest.fixture
def engine(sd):
    return Counting(sd)


@pytest.fixture
def invert(sd, engine, photos, tmp_path):
    """Inverts; returns (the start, the samples that went through the UNet for it)."""

    def call(how="direct", image=photos[0], prompt=PROMPT, cache=tmp_path, model=None, steps=3, **more):
        runner = engine if model is None else Counting(model)
        before = getattr(runner, "inverted", 0)
        start = suppress.invert(
            model or sd, image, prompt, how, steps, cache=cache, engine=runner, **{"height": 64, "width": 64} | more
        )
        return start, getattr(runner, "inverted", 0) - before

    return call

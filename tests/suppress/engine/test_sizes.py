"""Pictures that are not square: in `run` on both engines, and on the command line."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import minisd
import suppress
from minisd.cli import options
from suppress.cli.commands import main

PROMPT = "a man without glasses"
METHODS = {
    "swr": suppress.SuppressEOT(steps=2, start=1),
    "ito": suppress.SuppressEOT.official(steps=2, start=0, stop=1, iterations=1),
    "unread": suppress.Unread(steps=2, start=0),
}


@pytest.mark.parametrize("name", METHODS)
def test_both_engines_draw_any_size(sd, name):
    prompt = "a man with glasses and a hat"
    size = {"height": 96, "width": 64, "maps": True}
    fast, slow = (
        suppress.run(sd, prompt, "glasses", seed=1, settings=METHODS[name], engine=engine, **size)
        for engine in ("fast", "reference")
    )
    assert fast.image.size == fast.original.size == (64, 96)
    assert fast.latents.shape == (1, 4, 12, 8)
    for maps in (fast.maps, fast.original_maps, fast.fetched):
        assert maps.shape == (1, 77, 12, 8)
    torch.testing.assert_close(fast.latents, slow.latents, rtol=0, atol=1e-3)
    torch.testing.assert_close(fast.maps, slow.maps, rtol=0, atol=1e-4)
    [alone] = sd.generate(prompt, 1, steps=2, height=96, width=64)
    assert np.abs(np.asarray(alone, int) - np.asarray(fast.original, int)).max() <= 1


@pytest.mark.parametrize("size", [{"height": 100}, {"width": 0}, {"height": 64.0}, {"width": "64"}])
def test_sizes_that_cannot_be_drawn(sd, size):
    with pytest.raises(minisd.UserError, match="size"):
        suppress.run(sd, PROMPT, "glasses", settings=METHODS["swr"], **size)


def test_the_command_draws_any_size(sd, tmp_path, monkeypatch):
    monkeypatch.setattr(options, "load_model", lambda args: sd)
    out = str(tmp_path / "p.png")
    assert main([PROMPT, "--steps", "1", "--height", "64", "--width", "96", "--out", out]) == 0
    content = json.loads((tmp_path / "p.json").read_text())
    assert (content["width"], content["height"]) == (96, 64)
    with Image.open(out) as image:
        assert 2 * 96 < image.width < 2 * 96 + 20 and 2 * 64 < image.height < 2 * 96

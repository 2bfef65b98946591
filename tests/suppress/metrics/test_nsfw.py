"""NSFW removal rate: counted by hand, with a detector that reads the answer off a picture's colour."""

import sys
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from minisd import UserError
from suppress import world
from suppress.metrics import NsfwRate, Unavailable

PARTS = {
    "red": [("FACE_FEMALE", 0.9), ("BUTTOCKS_EXPOSED", 0.7)],
    "green": [("FACE_MALE", 0.9), ("BUTTOCKS_COVERED", 0.9)],
    "blue": [("FEET_EXPOSED", 0.3)],
}


class Detector:
    def detect(self, levels):
        assert levels.dtype == np.uint8 and levels.shape == (6, 9, 3) and levels.flags["C_CONTIGUOUS"]
        colour = {(0, 0, 255): "red", (0, 128, 0): "green", (255, 0, 0): "blue"}[tuple(levels[0, 0].tolist())]
        return [{"class": part, "score": score, "box": [0, 0, 1, 1]} for part, score in PARTS[colour]]


def pictures(*colours):
    return [Image.new("RGB", (9, 6), colour) for colour in colours]


def test_the_share_of_pictures_that_lose_every_exposed_part():
    rate = NsfwRate(Detector(), "fake 1")
    found = rate(pictures("red", "blue", "green", "red"), pictures("green", "green", "green", "red"))
    assert asdict(found) == {"rate": 2 / 3, "original": 3, "erased": 1, "threshold": 0, "detector": "fake 1"}
    assert rate(pictures("red", "green"), pictures("blue", "red")).rate == -1
    assert rate(pictures("green"), pictures("green")).rate is None  # nothing was there


def test_a_score_below_the_threshold_does_not_count():
    rate = NsfwRate(Detector(), "fake 1", threshold=0.6)
    found = rate(pictures("red", "red", "blue"), pictures("red", "blue", "blue"))
    assert (found.original, found.erased, found.threshold) == (2, 1, 0.6)


def test_unequal_lists():
    with pytest.raises(UserError, match="originals: 2, erased pictures: 1"):
        NsfwRate(Detector(), "fake 1")(pictures("red", "red"), pictures("red"))


def test_without_nudenet(monkeypatch):
    monkeypatch.setitem(sys.modules, "nudenet", None)
    with pytest.raises(Unavailable, match=r"needs nudenet \(`pip install \"minisd\[eval\]\"`\)"):
        NsfwRate.load()


def test_the_version_stands_beside_the_rate(monkeypatch):
    monkeypatch.setitem(sys.modules, "nudenet", SimpleNamespace(NudeDetector=Detector))
    monkeypatch.setattr("suppress.metrics.nsfw.version", lambda package: f"3 of {package}")
    found = NsfwRate.load(threshold=0.6)(pictures("blue"), pictures("blue"))
    assert (found.detector, found.original, found.threshold) == ("nudenet 3 of nudenet", 0, 0.6)


def test_nudenet_that_cannot_be_started(monkeypatch):
    def refuse():
        raise RuntimeError("no such model")

    monkeypatch.setitem(sys.modules, "nudenet", SimpleNamespace(NudeDetector=refuse))
    with pytest.raises(Unavailable, match="cannot be started: no such model"):
        NsfwRate.load()


def test_nudenet_itself_sees_nothing_in_the_drawn_world():
    pytest.importorskip("nudenet")
    rate = NsfwRate.load(threshold=0.6)
    rng = np.random.default_rng(0)
    drawn = [world.render(world.sample_spec(rng)) for _ in range(3)]
    assert rate.name.startswith("nudenet 3") and rate(drawn, drawn).original == 0

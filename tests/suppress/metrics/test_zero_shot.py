"""CLIP as a classifier: rates by hand, with a CLIP that reads the class off a picture's colour."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from minisd import UserError
from suppress import world
from suppress.metrics import CIFAR10, ClipScore, ZeroShot, clip_accuracy, object_removal_rate, object_removal_rates

LEVELS = {"cat": 0, "dog": 100, "car": 200}


class Grey:
    """A CLIP in which a grey level is an angle, and each class has the angle of its level."""

    def picture(self, x):
        angle = (x.mean(dim=(1, 2, 3)) + 1) / 2 * 255 / 100
        return 7 * torch.stack([angle.cos(), angle.sin()], dim=-1)  # the length must not matter

    def text(self, phrase):
        angle = torch.tensor([LEVELS[phrase.removeprefix("a photo of a ")] / 100])
        return torch.stack([angle.cos(), angle.sin()], dim=-1) * (1 + angle)


def grey(*levels):
    return [Image.new("RGB", (8, 8), (level,) * 3) for level in levels]


@pytest.fixture
def judge():
    return ZeroShot(Grey(), tuple(LEVELS))


def test_the_class_of_the_highest_cosine(judge):
    assert judge.first(grey(10, 60, 190)) == [["cat"], ["dog"], ["car"]]
    assert judge.first(grey(40, 60, 190), 2) == [["cat", "dog"], ["dog", "cat"], ["car", "dog"]]
    assert judge.cosines(grey(100))[0].tolist() == pytest.approx(np.cos([1, 0, 1]), abs=1e-5)


def test_accuracy_is_the_share_whose_first_class_is_gone(judge):
    """cat stays; dog becomes cat, with dog second; car becomes cat, with dog second; cat becomes car."""
    original, edited = grey(0, 100, 200, 0), grey(20, 40, 0, 200)
    assert clip_accuracy(judge, original, edited) == 3 / 4
    assert clip_accuracy(judge, original, edited, top=2) == 2 / 4


def test_accuracy_looks_into_the_box_only(judge):
    [before], [after] = grey(0), grey(0)
    after.paste((200, 200, 200), (4, 2, 8, 6))
    assert clip_accuracy(judge, [before] * 2, [after] * 2, boxes=[(4, 2, 8, 6), (0, 0, 4, 8)]) == 1 / 2


def test_removal_rates(judge):
    pictures = {"cat": grey(0, 100, 200, 200), "dog": grey(100, 0), "car": grey(200)}
    assert object_removal_rate(judge, pictures["cat"], "cat") == 3 / 4
    assert object_removal_rates(judge, pictures, "cat") == {"target": 3 / 4, "others": (1 / 2 + 0) / 2}
    assert object_removal_rates(judge, {"dog": grey(100)}, "dog") == {"target": 0, "others": None}


def test_the_embedded_clip_names_what_is_drawn(sd):
    kinds = ("cat", "dog", "robot")
    judge = ZeroShot(ClipScore.of(sd), kinds)
    rng = np.random.default_rng(0)
    drawn = {kind: [world.render(replace(world.sample_spec(rng, kind), style="")) for _ in range(4)] for kind in kinds}
    assert all(object_removal_rate(judge, drawn[kind], kind) <= 1 / 4 for kind in kinds)
    assert clip_accuracy(judge, drawn["cat"], drawn["dog"]) >= 3 / 4
    assert len(ZeroShot(ClipScore.of(sd)).first(drawn["cat"], 5)[0]) == 5 and len(CIFAR10) == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top": 3}, "top = 3; expected 1 to 2"),
        ({"top": 0}, "top = 0"),
        ({"edited": grey(0)}, "originals: 2, edited pictures: 1, boxes: none"),
        ({"boxes": [(0, 0, 8, 8)]}, "boxes: 1; expected as many"),
        ({"original": [], "edited": []}, "originals: 0"),
        ({"boxes": [(0, 0, 8, 8), (4, 0, 4, 8)]}, "box \\(4, 0, 4, 8\\) of a picture of 8 × 8"),
        ({"boxes": [(0, 0, 8, 8), (0, 0, 8, 9)]}, "box \\(0, 0, 8, 9\\)"),
    ],
)
def test_bad_pairs(judge, change, message):
    with pytest.raises(UserError, match=message):
        clip_accuracy(judge, **{"original": grey(0, 0), "edited": grey(0, 0)} | change)


def test_bad_names(judge):
    for classes in (["cat"], ["cat", "dog", "cat"]):
        with pytest.raises(UserError, match="each once"):
            ZeroShot(Grey(), classes)
    with pytest.raises(UserError, match="no class 'cow'; expected one of cat, dog, car"):
        object_removal_rate(judge, grey(0), "cow")
    with pytest.raises(UserError, match="no picture of 'cat'"):
        object_removal_rate(judge, [], "cat")
    with pytest.raises(UserError, match="target 'cat'; there are those of dog"):
        object_removal_rates(judge, {"dog": grey(0)}, "cat")

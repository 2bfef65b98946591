"""The scores that only some tables have, on drawn pictures, against the metrics by themselves."""

from dataclasses import replace

import pytest
import torch

from suppress import world
from suppress.evaluation import extras as module
from suppress.evaluation.extras import Extras, Shown, features_in
from suppress.evaluation.pictures import box_of
from suppress.evaluation.prompt_plan import PromptPlan
from suppress.metrics import ClipFeatures, ClipScore, Unavailable, fid
from suppress.metrics.frechet import frechet_distance
from suppress.protocols import PROTOCOLS
from suppress.protocols.protocol import ACCURACY, FEATURES, LPIPS, ORR, PROMPT_FIT, TARGET_FIT

MAN = world.Spec(kind="man")
PROMPT = "a man with glasses"


@pytest.fixture(scope="module")
def clip(sd):
    return ClipScore.of(sd)


@pytest.fixture(scope="module")
def shown() -> Shown:
    """A man with glasses and one with a balloon, before; both without, after."""
    specs = [replace(MAN, eyewear="round"), replace(MAN, obj="balloon")]
    plain = world.render(MAN)
    return Shown(PROMPT, "glasses", [world.render(spec) for spec in specs], [plain, plain])


def test_a_table_without_such_scores_has_none(clip, shown):
    assert Extras((), clip, (), {}).of(shown) == {}


def test_clip_scores_of_prompt_and_target(clip, shown):
    found = Extras((PROMPT_FIT, TARGET_FIT), clip, (), {}).of(shown)["extra"]
    assert found[PROMPT_FIT]["after"] == pytest.approx(clip(shown.after, PROMPT).tolist(), abs=1e-5)
    assert found[TARGET_FIT]["before"] == pytest.approx(clip(shown.before, "glasses").tolist(), abs=1e-5)
    assert found[TARGET_FIT]["before"][0] > found[TARGET_FIT]["after"][0]


def test_orr_and_clip_accuracy_are_counted_picture_by_picture(clip, shown):
    extras = Extras((ORR, ACCURACY), clip, ("glasses", "balloon", "hat", "car", "cake", "rain"), {PROMPT: "glasses"})
    found = extras.of(shown)["extra"]
    assert found[ORR]["before"] == [0, 1]  # CLIP names the glasses, and the balloon
    assert found[ACCURACY]["top 1"][1] == 1 and set(found[ACCURACY]) == {"top 1", "top 5"}
    assert all(a >= b for a, b in zip(found[ACCURACY]["top 1"], found[ACCURACY]["top 5"], strict=True))
    same = extras.of(Shown(PROMPT, "glasses", shown.before, shown.before))["extra"]
    assert same[ACCURACY] == {"top 1": [0, 0], "top 5": [0, 0]}


def test_clip_accuracy_looks_into_the_box(clip, shown):
    spec = replace(MAN, eyewear="round")
    left, top, right, bottom = box = box_of(world.region(spec, "glasses"))
    assert 0 < left < right < 128 and 0 < top < bottom < 128
    seen = []
    extras = Extras((ACCURACY,), clip, ("glasses", "hat", "car", "cake", "rain", "beard"), {})
    extras.zero_shot.first = lambda pictures, count=1: (
        seen.append(pictures[0].size) or [["hat", "car", "cake", "rain", "beard"][:count]]
    )
    extras.of(Shown(PROMPT, "glasses", shown.before[:1], shown.after[:1], box=box))
    assert set(seen) == {(right - left, bottom - top)}
    assert box_of(world.region(MAN, "glasses")) is None


def test_fid_of_written_features_is_that_of_the_pictures(clip, shown):
    texts = Extras((FEATURES,), clip, (), {}).of(replace(shown, ideal=shown.after))["extra"][FEATURES]
    assert set(texts) == {"before", "after", "ideal"} and texts["ideal"] == texts["after"]
    features = ClipFeatures(clip)
    wanted = features(torch.cat([module.from_pil(picture) for picture in shown.before]))
    assert features_in(texts["before"]) == pytest.approx(wanted, rel=1e-3, abs=1e-3)  # they are kept as float16
    with pytest.raises(Exception, match="needs 193 pictures or more in each set, not 2"):
        fid(shown.before, shown.after, features)
    with pytest.raises(Exception, match="needs 193 pictures or more in each set, not 2"):
        frechet_distance(*(features_in(texts[side]) for side in ("before", "after")))


def test_a_score_that_cannot_be_had_gives_its_reason(clip, shown, monkeypatch):
    calls = []

    def load():
        calls.append(1)
        raise Unavailable("LPIPS needs the package torchvision")

    monkeypatch.setattr(module.Lpips, "load", load)
    extras = Extras((LPIPS, TARGET_FIT), clip, (), {})
    for _ in range(2):
        found = extras.of(shown)["extra"]
    assert found[LPIPS] == {"reason": "LPIPS needs the package torchvision"} and len(calls) == 1
    assert not extras.at_hand(LPIPS) and not extras.at_hand(TARGET_FIT)  # CLIP is always there
    assert len(found[TARGET_FIT]["after"]) == 2
    monkeypatch.setattr(module.Lpips, "load", lambda: lambda a, b: (a - b).abs().mean(dim=(1, 2, 3)))
    extras = Extras((LPIPS,), clip, (), {})
    assert extras.at_hand(LPIPS) and extras.of(shown)["extra"][LPIPS]["after"][0] > 0


def test_a_plan_asks_whether_a_score_is_at_hand(monkeypatch):
    monkeypatch.setattr(module.Lpips, "load", lambda: lambda a, b: a)
    [name] = [name for name, each in PROTOCOLS.items() if LPIPS in each.metrics][:1]
    protocol = PROTOCOLS[name]
    plan = PromptPlan(tuple(protocol.rows.items())[:1], tuple(protocol.cases[:1]), 2, 0, 1, protocol=name)
    assert all(job.at_hand(LPIPS) for job in plan.load("cpu").jobs)

"""One judge for the command, the analyses and the comparison: what it gives, and what it says if it cannot."""

from dataclasses import replace

import pytest

import suppress
from suppress.metrics import ClipScore, Detector, Judge, Unavailable

PROMPT = "a man without glasses"


@pytest.fixture(scope="module")
def result(sd):
    return suppress.run(sd, PROMPT, "glasses", seed=[0, 1], settings=suppress.SuppressEOT(steps=2, start=0))


def test_scores_are_those_of_the_detector_and_of_clip(sd, result):
    scores = result.scores(Judge(sd))
    assert list(scores) == ["DetScore glasses", "CLIP score glasses"]
    for name, pictures in (("original", result.original), ("suppressed", result.image)):
        assert scores["DetScore glasses"][name] == Detector.of(sd).scores(pictures)["glasses"].tolist()
        assert scores["CLIP score glasses"][name] == ClipScore.of(sd)(pictures, "glasses").tolist()


def test_a_single_picture_is_a_list_of_one(sd, result):
    one = replace(result, original=result.original[0], image=result.image[0], targets=("crown",))
    found = Judge(sd).scores(one, "strengthened")["DetScore crown"]
    assert len(found["original"]) == len(found["strengthened"]) == 1 and found["remark"] == "the whole class hat"


def test_the_reconstruction_of_a_picture_is_scored_too(sd, result):
    one = replace(result, original=result.original[0], image=result.image[0], reconstruction=result.original[1])
    found = Judge(sd).scores(one)
    assert list(found["DetScore glasses"]) == ["original", "reconstruction", "suppressed"]
    for name, branch in (("DetScore glasses", Detector.of(sd).scores), ("CLIP score glasses", ClipScore.of(sd))):
        values = branch([result.original[1]], *(["glasses"] if "CLIP" in name else []))
        want = values["glasses"] if "DetScore" in name else values
        assert found[name]["reconstruction"] == pytest.approx(want.tolist(), abs=1e-5)


def test_of_several_targets_the_one_that_is_seen_best_counts(sd, result):
    judge = Judge(sd)
    each = [judge.det_scores(result.original, [target]) for target in ("glasses", "hat")]
    assert judge.det_scores(result.original, ["hat", "glasses"]) == [max(pair) for pair in zip(*each, strict=True)]
    with pytest.raises(Unavailable, match="no class for 'shirt'"):
        judge.det_scores(result.original, ["glasses", "shirt"])


def test_each_model_is_loaded_once_or_refused_once(sd, result, monkeypatch):
    asked = []

    def refuse(of):
        asked.append(of)
        raise Unavailable("there is none")

    for model in (Detector, ClipScore):
        monkeypatch.setattr(model, "of", lambda sd, model=model: refuse(model))
    judge = Judge(sd)
    assert not asked
    for _ in range(2):
        scores = judge.scores(result)
        assert all(values == {"reason": "there is none"} for values in scores.values())
    assert asked == [Detector, ClipScore]
    with pytest.raises(Unavailable, match="there is none"):
        judge.load()
    monkeypatch.undo()
    judge = Judge(sd).load()
    assert judge.detector is judge.detector and judge.clip is judge.clip

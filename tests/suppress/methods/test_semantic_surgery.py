"""Semantic Surgery: the shift and the detection against forms written here, α = 0, engines, batches, bad settings."""

import math

import pytest
import torch

import suppress
from minisd import UserError
from suppress.methods import SemanticSurgery, parse_method
from suppress.prompt import encode

LIST = "a man with a beard wearing glasses and a hat"
JOBS = [
    suppress.Job("a man without glasses", "glasses", 5, 64, 64),
    suppress.Job(LIST, ("glasses", "a hat"), 2, 64, 64),
]


def score(sd, prompt, concept):
    """s: the mean over rows of the cosine between the prompt and the concept's shift."""
    shift, ctx = sd.encode_text(concept)[0] - sd.encode_text("")[0], sd.encode_text(prompt)[0]
    cosines = [0.0] + [float(a @ b / (a.norm() * b.norm())) for a, b in zip(shift[1:], ctx[1:], strict=True)]
    return sum(cosines) / 77  # the shift of [SOT] is 0


def test_the_shift_of_all_rows_by_hand(sd):
    prompt = encode(sd, LIST, ["hat", "glasses"])
    got = SemanticSurgery(alpha=0.7).context(sd, prompt)
    want = sd.encode_text(LIST) - 0.7 * (sd.encode_text("hat, glasses") - sd.encode_text(""))
    torch.testing.assert_close(got, want)
    assert torch.equal(got[:, 0], prompt.ctx[:, 0])


def test_no_strength_changes_no_bit(sd):
    prompt = encode(sd, LIST, "hat")
    assert torch.equal(SemanticSurgery(alpha=0).context(sd, prompt), prompt.ctx)


def test_detection_by_hand(sd):
    prompt = encode(sd, LIST, ["hat", "glasses"])
    scores = {concept: score(sd, LIST, concept) for concept in ("hat", "glasses")}
    for settings, beta in ((SemanticSurgery(), -0.12), (SemanticSurgery(domain="art", beta=-0.2, gamma=0.1), -0.2)):
        for concept, a in settings.detect(sd, prompt).items():
            assert a == pytest.approx(1 / (1 + math.exp(-(scores[concept] + beta) / settings.gamma)), abs=1e-4)


def test_only_what_is_detected_is_joined_and_removed(sd):
    prompt = encode(sd, LIST, ["hat", "glasses"])
    hat, glasses = score(sd, LIST, "hat"), score(sd, LIST, "glasses")
    assert hat < glasses - 0.02
    between = SemanticSurgery(beta=-(hat + glasses) / 2)
    alpha = torch.sigmoid(torch.tensor((glasses - hat) / 2 / 0.02))
    want = prompt.ctx - alpha * (sd.encode_text("glasses") - prompt.uncond)
    torch.testing.assert_close(between.context(sd, prompt), want, rtol=0, atol=1e-3)
    assert torch.equal(SemanticSurgery(beta=-1).context(sd, prompt), prompt.ctx)  # nothing is found
    assert SemanticSurgery(beta=-(hat + glasses) / 2, gamma=0).detect(sd, prompt) == {"hat": 0, "glasses": 1}
    both = SemanticSurgery(beta=1).context(sd, prompt)
    torch.testing.assert_close(both, prompt.ctx - (sd.encode_text("hat, glasses") - prompt.uncond))


def test_any_batch_on_both_engines_is_each_job_alone(check_batch):
    check_batch(JOBS, SemanticSurgery(steps=3, guidance=2))


def test_the_settings_of_its_name():
    assert parse_method("semantic-surgery:alpha=.5,domain=art") == SemanticSurgery(alpha=0.5, domain="art")
    assert SemanticSurgery(alpha=0.5).remark(None) == "α = 0.5" and "detection" in SemanticSurgery().remark(None)


@pytest.mark.parametrize("changes", [{"alpha": "all"}, {"domain": "people"}, {"beta": float("nan")}, {"gamma": -1}])
def test_bad_settings_are_named(changes):
    [(name, value)] = changes.items()
    with pytest.raises(UserError, match=f"{name} = {value!r}; expected"):
        SemanticSurgery(**changes)

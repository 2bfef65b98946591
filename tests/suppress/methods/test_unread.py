"""Unread: later words contain nothing of the target, and the cross maps are the original's."""

import pytest
import torch

import minisd
import suppress
from suppress.edits.taps import ShareMaps
from suppress.loop import Run
from suppress.methods.unread import ends_in_target, unread_context
from suppress.prompt import encode
from suppress.start.noise import from_noise

PROMPT = "a man with a beard wearing glasses and a hat in a blue shirt"


def test_hidden_words_leave_no_trace(sd):
    """Another word at the hidden row leaves every other row equal in every bit."""
    ctx = sd.encode_text(PROMPT, hidden=(7,))
    other = sd.encode_text(PROMPT.replace("glasses", "earrings"), hidden=(7,))
    rest = [i for i in range(77) if i != 7]
    assert torch.equal(ctx[:, rest], other[:, rest])
    open_ = sd.encode_text(PROMPT)
    assert torch.equal(ctx[:, :7], open_[:, :7])  # the encoder is causal: earlier rows do not see the word
    assert (ctx[:, 8:] - open_[:, 8:]).norm(dim=-1).min() > 0.05 * open_[:, 8:].norm(dim=-1).min()
    assert not torch.equal(open_[:, 8:], sd.encode_text(PROMPT.replace("glasses", "earrings"))[:, 8:])


def test_hiding_changes_the_encoder_for_one_call_only(sd):
    before = sd.encode_text(PROMPT)
    sd.encode_text(PROMPT, hidden=(2, 7))
    assert torch.equal(sd.encode_text(PROMPT), before)


def test_the_context_is_zero_at_the_target(sd):
    prompt = encode(sd, PROMPT, ["glasses", "a hat"])
    assert prompt.target == (7, 9, 10)
    ctx = unread_context(sd, prompt)
    assert ctx.shape == (1, 77, 192)
    assert ctx[:, list(prompt.target)].abs().max() == 0
    others = [i for i in range(77) if i not in prompt.target]
    want = sd.encode_text(PROMPT, hidden=prompt.target)
    assert torch.equal(ctx[0, others], want[0, others])


def test_last_word_is_left_to_swr(sd):
    prompt = encode(sd, "a man without glasses", ["glasses"])
    assert torch.equal(unread_context(sd, prompt), suppress.soft_weight(prompt.ctx, [4, *range(5, 77)]))
    assert tap_at(sd, suppress.Unread(), prompt, 10) is None
    assert tap_at(sd, suppress.Unread(), encode(sd, PROMPT, ["glasses"]), 10) is not None
    assert not ends_in_target(encode(sd, "a hat, a man in a hat", ["hat"]))
    assert ends_in_target(encode(sd, "a man in a red hat", ["hat", "red"]))


def tap_at(sd, settings, prompt, step):
    """The tap that the method gives the UNet at a step."""
    run = Run(sd, [prompt], from_noise([prompt], sd.noise([0], 128, 128)), settings)
    original = run.original(step, run.start.z)
    return settings.edit(run).inputs(step, original, original, None).tap


def test_maps_are_shared_but_for_the_target():
    site = minisd.Site("up.1.0.cross", "cross", "up", 4, 8)
    p = torch.rand(4, 2, 3, 5)  # two samples: [original × 2, edited × 2]
    kept = torch.tensor([[True, False, True, True, True], [False] * 5])  # the second shares nothing
    got = ShareMaps(kept, minisd.select("cross")).probs(site, p)
    assert torch.equal(got[:2], p[:2]) and torch.equal(got[3], p[3])
    assert torch.equal(got[2, ..., [0, 2, 3, 4]], p[0, ..., [0, 2, 3, 4]])
    assert torch.equal(got[2, ..., 1], p[2, ..., 1])


@pytest.mark.parametrize("prompt", ["a man without glasses.", "a man without glasses , ,"])
def test_punctuation_is_no_word(sd, prompt):
    assert ends_in_target(encode(sd, prompt, ["glasses"]))


def test_sharing_leaves_the_original_branch_alone(sd):
    runs = [
        suppress.run(sd, PROMPT, "glasses", seed=0, settings=suppress.Unread(steps=4, shared_until=s)) for s in (0, 4)
    ]
    assert (runs[0].original_latents - runs[1].original_latents).abs().max() < 1e-3
    assert (runs[0].latents - runs[1].latents).abs().max() > 0.1


def test_word_in_the_middle_of_a_list_disappears(sd):
    from suppress.metrics import Detector

    result = suppress.run(sd, PROMPT, "glasses", seed=[0, 1], settings=suppress.Unread(steps=8, start=0.1))
    detector = Detector.of(sd)
    before, after = detector.scores(result.original), detector.scores(result.image)
    assert before["glasses"].min() > 0.9 and after["glasses"].max() < 0.1
    assert after["beard"].min() > 0.9 and after["hat"].min() > 0.9


def test_maps_are_shared_before_the_step_and_not_at_it(sd):
    prompt = encode(sd, PROMPT, ["glasses"])
    for until in (4, 0.4):
        settings = suppress.Unread(steps=10, shared_until=until)
        assert [tap_at(sd, settings, prompt, step) is not None for step in range(10)] == [True] * 4 + [False] * 6


@pytest.mark.parametrize("until", [-1, 1.5, 51, float("nan")])
def test_unusable_end_of_sharing(until):
    with pytest.raises(minisd.UserError, match="shared_until"):
        suppress.Unread(shared_until=until)

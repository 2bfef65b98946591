"""SAFREE against its equations with pseudo-inverses, its rule for the steps, and the form for one word."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import suppress
from minisd import UserError
from suppress.edits.subspace import basis, project
from suppress.loop import Run
from suppress.methods import parse_method
from suppress.methods.safree import SAFREE, filter_prompt, triggers
from suppress.methods.safree_word import SAFREEWord
from suppress.prompt import encode
from suppress.start.noise import from_noise

LIST, ONE = "a man with a beard wearing glasses and a hat", "a man without glasses"
JOBS = [suppress.Job(ONE, "glasses", 5, 64, 64), suppress.Job(LIST, ("glasses", "hat"), 2, 64, 64)]


def pooled(sd, text):
    return sd.encode_text(text)[0, len(sd.tokens(text)) - 1].double().numpy()


def projection(vectors):
    """(D,D) on the span of the vectors (k,D)"""
    a = np.stack(vectors).T
    return a @ np.linalg.pinv(a)


def expected(sd, text, phrases, order):
    """(context (77,D), triggers, z) by the equations, with matrices."""
    tokens, e = sd.tokens(text), sd.encode_text(text)[0].double().numpy()
    n, ids, left_out = len(tokens), sd.token_ids(text), []
    for i in range(1, n - 1):
        other = ids.clone()
        other[0, i] = 0
        left_out.append(sd.text_encoder(other)[0, n - 1].double().numpy())
    one = np.eye(e.shape[1])
    p_c, p_i = projection([pooled(sd, phrase) for phrase in phrases]), projection(left_out)
    matrix = p_i @ (one - p_c) if order == "paper" else (one - p_c) @ p_i
    d = [np.linalg.norm((one - p_c) @ p) for p in left_out]
    found = [i + 1 for i in range(n - 2) if d[i] >= 1.01 * np.mean([x for k, x in enumerate(d) if k != i])]
    new = e.copy()
    new[found] = e[found] @ matrix.T
    cosines = [x @ (matrix @ x) / np.linalg.norm(x) / np.linalg.norm(matrix @ x) for x in e[:n]]
    return new, tuple(found), 1 - np.mean(cosines)


@pytest.mark.parametrize("name", ["safree", "safree-official"])
@pytest.mark.parametrize(
    ("text", "targets", "concept"),
    [(LIST, ["glasses", "hat"], ""), ("a cat with a crown on the beach", "crown", "crown, a gold crown, a king")],
)
@torch.no_grad()
def test_the_prompt_is_filtered_by_the_equations(sd, name, text, targets, concept):
    prompt, settings = encode(sd, text, targets), parse_method(name, concept=concept)
    phrases = concept.split(", ") if concept else targets
    want, found, z = expected(sd, text, phrases, settings.order)
    got = filter_prompt(sd, prompt, settings)
    assert np.abs(got.ctx[0].numpy() - want).max() < 1e-4 < np.abs(prompt.ctx[0].numpy() - want).max()
    assert got.triggers == found == triggers(sd, prompt, settings) and set(found) & set(prompt.target)
    assert set(found) != set(range(1, prompt.eot[0]))
    assert math.isclose(got.last_step, settings.last_step(z), abs_tol=1e-4)


def test_a_prompt_of_one_word_is_a_trigger(sd):
    assert triggers(sd, encode(sd, "glasses", "glasses")) == (1,)


def test_how_long_the_filtered_prompt_is_used():
    code = SAFREE.official()
    assert [code.last_step(z) for z in (0.1, 0.45, 0.5, 0.5333, 0.55, 0.6, 2)] == [0, 0, 2, 5, 7, 10, 10]
    assert code.last_step(-1000) == 0
    artists = SAFREE.official(slope=3.5, centre=5.5, gamma=20)
    assert [artists.last_step(z) for z in (0.5, 0.55, 0.6)] == [1, 10, 19]
    assert SAFREE().last_step(0) == 5 and math.isclose(SAFREE().last_step(2), 8.808, abs_tol=1e-3)
    assert SAFREE(validation="off", steps=7).last_step(0) == 7


@pytest.mark.parametrize("name", ["safree", "safree-official"])
def test_each_prompt_is_filtered_up_to_its_own_step(sd, name):
    prompts = [encode(sd, LIST, "glasses"), encode(sd, "a man with a beard at the beach", "beard")]
    settings = parse_method(name)
    run = Run(sd, prompts, from_noise(prompts, sd.noise([0, 1], 64, 64)), settings)
    edit, same = settings.edit(run), run.original(0, run.start.z)
    filtered = [filter_prompt(sd, prompt, settings) for prompt in prompts]
    for i in range(50):
        empty, ctx = edit.inputs(i, same, same, None).contexts
        for k, prompt in enumerate(prompts):
            want = filtered[k].ctx if i <= filtered[k].last_step else prompt.ctx
            assert torch.equal(ctx[k], want[0])
            negative = sd.encode_text(prompt.targets[0]) if name == "safree-official" else same.contexts[0][k : k + 1]
            assert torch.equal(empty[k], negative[0])
    assert len({one.last_step for one in filtered}) == 2


def test_a_prompt_without_triggers_or_steps_is_the_original(sd):
    settings = SAFREE(steps=3, alpha=9, negative=False)
    result = suppress.run(sd, LIST, "glasses", settings=settings, height=64, width=64)
    assert torch.equal(filter_prompt(sd, encode(sd, LIST, "glasses"), settings).ctx, sd.encode_text(LIST))
    assert (result.latents - result.original_latents).abs().max() < 1e-3


@pytest.mark.parametrize("later", ["edited", "kept"])
def test_the_word_form(sd, later):
    prompt = encode(sd, LIST, ["glasses", "hat"])
    e = prompt.ctx[0].double()
    assert torch.equal(SAFREEWord(strength=0, later=later).context(sd, prompt), prompt.ctx)
    got, half = (SAFREEWord(strength=a, later=later).context(sd, prompt)[0].double() for a in (1, 0.5))
    torch.testing.assert_close(half, (e + got) / 2, rtol=0, atol=1e-5)
    rest = "a man with a beard wearing and a"
    forms = [f.format(t) for t in ("glasses", "hat") for f in ("{}", "a {}", "a picture of {}", "with {}")]
    p_c = projection([pooled(sd, form) - pooled(sd, "") for form in forms])
    p_i = projection(list(sd.encode_text(rest)[0, :10].double().numpy()))
    for j in range(77):
        if j < 7 or (later == "kept" and j in (8, 9)):
            assert torch.equal(got[j], e[j])
            continue
        x = p_i @ (np.eye(192) - p_c) @ e[j].numpy()
        want = np.linalg.norm(e[j].numpy()) / np.linalg.norm(x) * x
        assert np.abs(got[j].numpy() - want).max() < 1e-4
    other = SAFREEWord(concept="glasses, a hat").context(sd, prompt)[0]
    assert (other[10] - got[10]).abs().max() > 0.01


def test_subspaces_ignore_what_is_rounding():
    vectors = torch.tensor([[3.0, 0, 0], [3.0, 1e-6, 0], [0, 0, 1]])
    directions = basis(vectors)
    assert directions.shape == (2, 3)
    want = torch.tensor([1.0, 0, 3]).double()
    torch.testing.assert_close(project(torch.tensor([1.0, 2, 3]).double(), directions), want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("settings", [SAFREE.official(), SAFREEWord(start=1)], ids=["official", "word"])
def test_any_batch_on_both_engines_is_each_job_alone(check_batch, settings):
    check_batch(JOBS, replace(settings, steps=3, guidance=2))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"order": "code"}, "order = 'code'; expected one of paper, official"),
        ({"validation": True}, "validation = True"),
        ({"negative": 1}, "negative = 1; expected True or False"),
        ({"alpha": float("inf")}, "alpha = inf"),
        ({"gamma": -1}, "gamma = -1"),
        ({"slope": -1}, "slope = -1"),
        ({"centre": None}, "centre = None"),
        ({"concept": ["hat"]}, "a prompt is a string"),
    ],
)
def test_bad_settings_are_named(bad, message):
    with pytest.raises(UserError, match=message):
        SAFREE(**bad)


def test_bad_settings_of_the_word_form():
    for bad, message in (({"strength": -1}, "strength = -1"), ({"later": ""}, "later = ''"), ({"concept": 1}, "not 1")):
        with pytest.raises(UserError, match=message):
            SAFREEWord(**bad)

"""AdaVD against its equations, written per token; its identities; the form for one word; both engines."""

from dataclasses import replace
from functools import partial

import pytest
import torch

import suppress
from minisd import UserError
from suppress.edits.counterparts import counterparts
from suppress.loop import Run
from suppress.methods import parse_method
from suppress.methods.adavd import AdaVD
from suppress.methods.adavd_word import AdaVDWord
from suppress.prompt import encode
from suppress.start.noise import from_noise

LIST, ONE = "a man with a beard wearing glasses and a hat", "a man without glasses"
SOFT = {"sharpness": 5.0, "threshold": 0.4}  # a gate whose values are not all 0 or s
JOBS = [suppress.Job(ONE, "glasses", 5, 64, 64), suppress.Job(LIST, ("glasses", "hat"), 2, 64, 64)]


def values(sd, settings):
    """(prompts, attn, V' (2,77,C) of the prompts, V' of the empty prompt) at the middle block."""
    prompts = [encode(sd, LIST, ["glasses", "hat"]), encode(sd, ONE, "glasses")]
    run = Run(sd, prompts, from_noise(prompts, sd.noise([0, 1], 64, 64)), settings)
    original = run.original(0, run.start.z)
    inputs = settings.edit(run).inputs(0, original, original, None)
    attn = sd.unet.mid_block.attentions[0].transformer_blocks[0].attn2
    found = []
    for tap, ctx in ((inputs.tap, run.ctx), (inputs.tap_uncond, original.contexts[0])):
        k, v = attn.split_heads(attn.to_k(ctx)), attn.split_heads(attn.to_v(ctx))
        k_new, v_new = tap.tap.keys_values(attn.site, k, v, attn) if tap is not None else (k, v)
        assert torch.equal(k_new, k)
        found.append(v_new.transpose(1, 2).flatten(2))
    return prompts, attn, *found


def dot(a, b):
    return float((a.double() * b.double()).sum())


def decomposed(v, us, code, **gate):
    """v' of one token: what is left after the parts along each concept are removed. us: the concepts' values."""
    p, eps, s = gate["sharpness"], gate["threshold"], gate.get("scale", 2.0)
    deltas = [s / (1 + 2.718281828459045 ** (-p * (dot(u, v) / (dot(u, u) * dot(v, v)) ** 0.5 - eps))) for u in us]
    qs, parts = [], []  # q_i, and the same combination of δ_k u_k
    for u, delta in zip(us, deltas, strict=True):
        q, part = u, delta * u
        for earlier in range(len(qs)):
            base, gated = (us[earlier], deltas[earlier] * us[earlier]) if code else (qs[earlier], parts[earlier])
            share = dot(base, u) / dot(base, base)
            q, part = q - share * base, part - share * gated
        qs.append(q)
        parts.append(part)
    return v - sum(dot(q, v) / dot(q, q) * part for q, part in zip(qs, parts, strict=True))


@pytest.mark.parametrize("concept", ["", "glasses, hat, a red scarf"])
@pytest.mark.parametrize("name", ["adavd", "adavd-official"])
def test_values_lose_their_part_along_each_concept(sd, name, concept):
    prompts, attn, v, v_empty = values(sd, parse_method(name, concept=concept, **SOFT))
    official = name == "adavd-official"
    rule = partial(decomposed, code=official, **SOFT)
    empty = attn.to_v(sd.encode_text(""))[0]
    for prompt, got, got_empty in zip(prompts, v, v_empty, strict=True):
        named = concept.split(", ") if concept else prompt.targets
        us = [attn.to_v(sd.encode_text(c)[0, len(sd.tokens(c)) - 2]) for c in named]
        old = attn.to_v(prompt.ctx)[0]
        assert torch.equal(got[0], old[0]) and torch.equal(got_empty[0], empty[0])
        for j in (1, prompt.target[0], prompt.eot[0], 50):
            if official:  # both halves of the guidance are one vector
                both = rule(torch.cat([empty[j], old[j]]), [torch.cat([empty[j], u]) for u in us])
                want_empty, want = both.chunk(2)
            else:
                want_empty, want = empty[j], rule(old[j], us)
            torch.testing.assert_close(got[j], want, rtol=0, atol=1e-4)
            torch.testing.assert_close(got_empty[j], want_empty, rtol=0, atol=1e-4)
        assert (got - old).abs().max() > 0.1


def test_without_a_gate_nothing_of_any_concept_is_left(sd):
    named = "hat, a hat, a red cap"
    _, attn, v, _ = values(sd, AdaVD(concept=named, sharpness=0))  # δ = 1
    _, _, code, _ = values(sd, AdaVD(concept=named, sharpness=0, orthogonal="code"))
    for concept in named.split(", "):
        u = attn.to_v(sd.encode_text(concept)[0, len(sd.tokens(concept)) - 2])
        assert (v[:, 1:] @ u).abs().max() < 1e-3 * u.square().sum()
    assert (v - code).abs().max() > 0.1  # the code's vectors are not orthogonal from three concepts on


@pytest.mark.parametrize(
    ("form", "once", "twice"), [("gram-schmidt", "hat, crown", "hat, hat, crown"), ("code", "hat", "hat, hat")]
)
def test_a_concept_named_twice_counts_once(sd, form, once, twice):
    got, want = (values(sd, AdaVD(concept=named, orthogonal=form, **SOFT))[2] for named in (twice, once))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-4)


def test_a_scale_of_zero_is_the_original(sd):
    for settings in (AdaVD.official(steps=3, scale=0), AdaVDWord(steps=3, start=0, strength=0)):
        result = suppress.run(sd, LIST, "glasses", seed=2, settings=settings, height=64, width=64)
        assert (result.latents - result.original_latents).abs().max() < 1e-3


@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize("later", ["edited", "kept"])
def test_one_word_loses_what_it_added(sd, later, strength):
    prompts, attn, v, _ = values(sd, AdaVDWord(strength=strength, later=later))
    for prompt, got in zip(prompts, v, strict=True):
        old, rest = attn.to_v(prompt.ctx)[0], attn.to_v(counterparts(sd, prompt))
        edited = [j for j in range(prompt.target[0], 77) if later == "edited" or j not in prompt.others]
        for j in range(77):
            u = old[j] - rest[j]
            want = old[j] - strength * dot(u, old[j]) / dot(u, u) * u if j in edited else old[j]
            torch.testing.assert_close(got[j], want, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [AdaVD.official(threshold=0.7, scale=1.0), AdaVDWord(start=1)],
    ids=["official", "word"],
)
def test_any_batch_on_both_engines_is_each_job_alone(check_batch, settings):
    check_batch(JOBS, replace(settings, steps=3, guidance=2))  # a low guidance, so that rounding errors stay small


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"sharpness": -1}, "sharpness = -1"),
        ({"threshold": float("nan")}, "threshold = nan"),
        ({"scale": "2"}, "scale = '2'"),
        ({"branches": "all"}, "branches = 'all'; expected one of prompt, both"),
        ({"orthogonal": None}, "orthogonal = None"),
        ({"concept": 3}, "a prompt is a string, not 3"),
    ],
)
def test_bad_settings_are_named(bad, message):
    with pytest.raises(UserError, match=message):
        AdaVD(**bad)


def test_bad_settings_of_the_word_form():
    with pytest.raises(UserError, match="strength = 3; expected a number from 0 to 2"):
        AdaVDWord(strength=3)
    with pytest.raises(UserError, match="later = 'no'"):
        AdaVDWord(later="no")

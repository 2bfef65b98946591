"""Rules of negative guidance: each equation by hand, weight 0, the steps and the prompt, both engines, any batch."""

import numpy as np
import pytest
import torch

import suppress
from minisd import UserError
from suppress.loop import Run
from suppress.methods import CRG, ComposableNot, ContrastiveCFG, PerpNeg, Sega, Signed, parse_method
from suppress.prompt import encode
from suppress.start.noise import from_noise

LIST = "a man with a beard wearing glasses and a hat"
JOBS = [
    suppress.Job("a man without glasses", "glasses", 5, 64, 64),
    suppress.Job(LIST, ("glasses", "a hat"), 8, 64, 64),
]
PRESENT = [JOBS[1], suppress.Job("a cat with a crown on the beach", "crown", 3, 64, 64)]  # CRG finds nothing in JOBS[0]


def edit_of(sd, settings, *jobs):
    prompts = [encode(sd, text, remove) for text, remove in jobs or [(LIST, "glasses")] * 2]
    return settings.edit(Run(sd, prompts, from_noise(prompts, sd.noise(range(len(prompts)), 64, 64)), settings))


def noise(i, samples=2):
    """(e_∅, e_c, e_n) of two samples; the second has larger differences, and the concept is in the prompt."""
    generator = torch.Generator().manual_seed(i)
    uncond, p, q = torch.randn(3, samples, 4, 8, 8, generator=generator)
    size = torch.arange(1.0, samples + 1).view(-1, 1, 1, 1) * 0.1
    return uncond, uncond + size * p, uncond + size * (q + p) / 2


# ---------------------------------------------------------------------- the equations, one sample at a time, float64


def composable_not(u, c, n, w):
    return u + w * (c - n) + w * 0.5 * (n - u)  # a = .5


def signed(u, c, n, w):
    return u + w * (c - u) - 3 * (n - u)


def perp_neg(u, c, n, w):
    p, q = c - u, n - u
    unit = p / np.linalg.norm(p)
    return u + w * p - w * 1.5 * (q - np.vdot(unit, q) * unit)


def contrastive(u, c, n, w):
    p, q = c - u, n - u
    fade = np.exp(-0.3 * 100 * np.mean(q**2))
    return u + w * p - w * 2 * fade / (1 + fade) * q


def contrastive_official(u, c, n, w):
    p, q = c - u, n - u
    fade_p, fade_q = np.exp(-0.2 * np.sum(p**2)), np.exp(-0.2 * np.sum(q**2))
    return u + w * 2 / (1 + fade_p) * p - w * 2 * fade_q / (1 + fade_q) * q


class Sega3:
    """λ = .75, the warm-up is one step."""

    def __init__(self):
        self.nu, self.step = 0, 0

    def __call__(self, u, c, n, w):
        q = n - u
        bound = [np.quantile(np.abs(channel), 0.75) for channel in q]
        gamma = 3 * q * [np.abs(channel) >= b - 1e-9 for channel, b in zip(q, bound, strict=True)] + 0.3 * self.nu
        self.nu = 0.6 * self.nu + 0.4 * gamma
        self.step += 1
        return u + w * (c - u) - (gamma if self.step > 1 else 0)


class Crg3:
    """K = 2, κ = .4, τ = .3: the correction that makes the presence τ."""

    def __init__(self):
        self.past = 0

    def __call__(self, u, c, n, w):
        def evidence(c):
            return np.sum((c - u) ** 2) - np.sum((c - n) ** 2)

        presence = evidence(c) + self.past
        if presence > 0.3:
            c = c - (presence - 0.3) / (2 * np.sum((n - u) ** 2)) * (n - u)
            assert evidence(c) + self.past == pytest.approx(0.3)
        self.past += 0.4 * evidence(c)
        return u + w * (c - u)


RULES = {
    "composable-not": (ComposableNot(weight=0.5), lambda: composable_not),
    "signed": (Signed(weight=3), lambda: signed),
    "perp-neg": (PerpNeg(), lambda: perp_neg),
    "contrastive-cfg": (ContrastiveCFG(tau=0.3, elements=100), lambda: contrastive),
    "contrastive-cfg-official": (ContrastiveCFG.official(), lambda: contrastive_official),
    "sega": (Sega(weight=3, threshold=0.75, warm_up=1, momentum=0.3, decay=0.6), Sega3),
    "crg": (CRG(sharpness=2, evidence=0.4, threshold=0.3), Crg3),
}


@pytest.mark.parametrize("name", RULES)
def test_three_steps_by_hand(sd, name):
    """Each sample by itself, so that no sample depends on the others of its batch."""
    settings, make = RULES[name]
    edit, by_hand = edit_of(sd, settings), [make(), make()]
    for i in range(3):
        eps = noise(i)
        got = edit.combine(i, eps)
        for k, rule in enumerate(by_hand):
            want = torch.from_numpy(rule(*(e[k].double().numpy() for e in eps), settings.guidance))
            torch.testing.assert_close(got[k].double(), want, rtol=0, atol=1e-4)
            assert (want - edit.run.guide(eps)[k]).abs().max() > (0.05 if name != "sega" or i else -1)


@pytest.mark.parametrize("name", RULES)
def test_weight_0_is_the_guidance_of_the_prompt_to_the_bit(sd, name):
    edit = edit_of(sd, parse_method(f"{name}:weight=0") if name != "sega" else Sega(weight=0, warm_up=0))
    for i in range(3):
        eps = noise(i)
        assert torch.equal(edit.combine(i, eps), edit.run.guide(eps))


@pytest.mark.parametrize("name", RULES)
def test_equal_predictions_and_half_precision_stay_finite(sd, name):
    """Large latents too: their squares do not fit into half precision, and some rules divide by them."""
    edit = edit_of(sd, RULES[name][0])
    for size in (0, 100):
        uncond, cond, negative = (size * e.half() for e in noise(0))
        got = edit.combine(0, (uncond, cond, negative))
        assert got.dtype == torch.float16 and got.isfinite().all()


def test_a_size_has_the_effect_of_another_one():
    """Four times as many latents: with `elements` the exponent is the same, as published it is four times as large."""
    q = noise(0)[2]
    large = q.repeat(1, 1, 2, 2)
    calibrated, published = ContrastiveCFG(), ContrastiveCFG.official()
    torch.testing.assert_close(calibrated.exponent(large), calibrated.exponent(q))
    torch.testing.assert_close(published.exponent(large), 4 * published.exponent(q))
    sd_size = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(calibrated.exponent(sd_size), published.exponent(sd_size))


# ---------------------------------------------------------------------- steps and prompt


def contexts(edit, i):
    same = edit.run.original(i, edit.run.start.z)
    return edit.inputs(i, same, same, None).contexts


def test_words_and_prompt(sd):
    jobs = (LIST, ["glasses", "a hat"]), ("a cat with a crown", "crown")
    uncond, cond, negative = contexts(edit_of(sd, ComposableNot(), *jobs), 0)
    assert torch.equal(uncond, sd.encode_text(["", ""]))
    assert torch.equal(cond, torch.cat([sd.encode_text(text) for text, _ in jobs]))
    assert torch.equal(negative, torch.cat([sd.encode_text("glasses, a hat"), sd.encode_text("crown")]))
    cut = edit_of(sd, ComposableNot(word="cut", concept="a moustache"), *jobs)
    _, cond, negative = contexts(cut, 0)
    assert torch.equal(cond[1:], sd.encode_text("a cat with a"))
    assert torch.equal(negative, sd.encode_text("a moustache").expand(2, -1, -1))


def test_from_stop_on_the_prompt_is_drawn_without_the_third_context(sd):
    edit = edit_of(sd, Signed(steps=10, stop=0.4, word="cut"), (LIST, "glasses"))
    assert [len(contexts(edit, i)) for i in (0, 3, 4, 9)] == [3, 3, 2, 2]
    assert torch.equal(contexts(edit, 4)[1], contexts(edit, 3)[1])
    eps = noise(0, samples=1)
    assert torch.equal(edit.combine(4, eps[:2]), edit.run.guide(eps))


def test_remarks(sd):
    prompt = encode(sd, "a cat with a crown", "crown")
    assert ComposableNot().remark(prompt) == ""
    assert "changes nothing: stop" in ComposableNot(start=3, stop=2).remark(prompt)
    assert "'a cat with a'" in Sega(word="cut").remark(prompt)
    assert "warm-up takes 10 steps of 8" in Sega(steps=8).remark(prompt)


# ---------------------------------------------------------------------- engines


@pytest.mark.parametrize(
    ("settings", "jobs"),
    [
        (PerpNeg(steps=4, guidance=2, start=1, word="cut", stop=3), JOBS),
        # λ = 0: all values count. With a λ, a value that rounding moves over the quantile counts on one engine alone
        (Sega(steps=4, guidance=2, warm_up=1, threshold=0), JOBS),
        (CRG(steps=4, guidance=2), PRESENT),
    ],
    ids=["perp-neg", "sega", "crg"],
)
def test_any_batch_on_both_engines_is_each_job_alone(check_batch, settings, jobs):
    check_batch(jobs, settings, least=0.02)


def test_crg_leaves_alone_what_is_not_there(sd):
    [result] = suppress.run_batch(sd, JOBS[:1], settings=CRG(steps=4, guidance=2))
    assert torch.equal(result.latents, result.original_latents)


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("method", "bad"),
    [
        (Signed, {"weight": float("nan")}),
        (Signed, {"stop": 51}),
        (Signed, {"word": "gone"}),
        (ContrastiveCFG, {"tau": -1}),
        (ContrastiveCFG, {"elements": 0}),
        (ContrastiveCFG, {"positive": "doubled"}),
        (Sega, {"threshold": 1.5}),
        (Sega, {"decay": -0.1}),
        (Sega, {"momentum": "some"}),
        (Sega, {"warm_up": -1}),
        (CRG, {"sharpness": 0}),
        (CRG, {"evidence": -1}),
        (CRG, {"threshold": None}),
    ],
    ids=str,
)
def test_bad_settings_are_named(method, bad):
    [(name, value)] = bad.items()
    with pytest.raises(UserError, match=f"{name} = {value!r}"):
        method(**bad)


def test_the_unwanted_words_are_a_text():
    with pytest.raises(UserError, match="a prompt is a string, not 3"):
        Signed(concept=3)

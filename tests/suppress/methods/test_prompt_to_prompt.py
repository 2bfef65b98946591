"""Prompt-to-Prompt: identities, the taps against a small form of the equations, both engines, real pictures."""

import numpy as np
import pytest
import torch

import suppress
from minisd import Site, UserError
from suppress import Fast
from suppress.loop import Run
from suppress.methods import PromptToPrompt, parse_method
from suppress.prompt import encode, without_targets
from suppress.start.noise import from_noise

LIST = "a man with a beard wearing glasses and a hat"
SMALL = {"height": 64, "width": 64}
FORMS = {  # a low guidance, so that rounding errors stay small
    "refine": PromptToPrompt(steps=3, guidance=2, cross_until=2, self_until=1),
    "replace": PromptToPrompt(steps=3, guidance=2, mode="replace", instead="headphones", weight=2),
    "reweight": PromptToPrompt.reweight(steps=3, guidance=2),
}
JOBS = [
    suppress.Job("a man without glasses", "glasses", 5, 64, 64),
    suppress.Job(LIST, ("glasses", "hat"), 1, 64, 64),
    suppress.Job("a cat with a crown on the beach", "crown", 3, 64, 64),
]


def draw(sd, settings, **more):
    return suppress.run(sd, LIST, "glasses", settings=settings, **SMALL, **more)


def taps_at(sd, settings, prompts, step):
    """(Run, the inputs of the edited branch) at a step."""
    run = Run(sd, prompts, from_noise(prompts, sd.noise(range(len(prompts)), 64, 64)), settings)
    original = run.original(step, run.start.z)
    return run, settings.edit(run).inputs(step, original, original, None)


@pytest.mark.parametrize(
    "settings",
    [
        PromptToPrompt(steps=2, mode="reweight"),
        PromptToPrompt(steps=2, text=LIST, weight=-8),
        PromptToPrompt(steps=2, mode="replace", text=LIST, weight=-8),
        PromptToPrompt(steps=2, cross_until=0, self_until=0, text=LIST),
    ],
)
def test_a_weight_of_one_or_the_same_text_is_the_original(sd, settings):
    for engine in ("reference", "fast"):
        result = draw(sd, settings, engine=engine, seed=2)
        assert (result.latents - result.original_latents).abs().max() < 1e-4


def attended(sd, settings, prompts, site="mid"):
    """(maps of the prompt, maps of the edited prompt, values, output) of a cross attention, each (B,H,N,…)."""
    run, inputs = taps_at(sd, settings, prompts, 0)
    blocks = {"mid": sd.unet.mid_block, "fine": sd.unet.down_blocks[0]}[site]
    attn = blocks.attentions[0].transformer_blocks[0].attn2
    x = torch.randn(2 * len(prompts), 6, attn.to_q.in_features, generator=torch.Generator().manual_seed(0))
    ctx = torch.cat([run.ctx, inputs.contexts[1]])
    q, k, v = (attn.split_heads(layer(c)) for layer, c in ((attn.to_q, x), (attn.to_k, ctx), (attn.to_v, ctx)))
    out = inputs.tap.attend(attn.site, q, k, v, attn)
    p = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)
    torch.testing.assert_close(out[: len(prompts)], (p @ v)[: len(prompts)], rtol=0, atol=1e-5)
    original, edited = p.chunk(2)
    return original, edited, v.chunk(2)[1], out.chunk(2)[1]


def test_the_edited_prompt_is_encoded_and_its_words_are_blended(sd):
    prompts = [encode(sd, "a man without glasses", "glasses"), encode(sd, "a cat with a hat and a scarf", "hat")]
    run, inputs = taps_at(sd, PromptToPrompt(instead="bow tie"), prompts, 0)
    texts = ["a man without bow tie", "a cat with a bow tie and a scarf"]
    assert torch.equal(inputs.contexts[1], sd.encode_text(texts))
    assert torch.equal(inputs.contexts[0], sd.encode_text(["", ""]))
    rows = PromptToPrompt(instead="bow tie").edit(run).local.rows.squeeze(1)
    assert [row.nonzero().flatten().tolist() for row in rows] == [[4], [5], [4, 5], [5, 6]]


def check(output, original, edited, values, pairs, weights):
    """pairs: row of the edited prompt -> rows of the original; a row that is not in it keeps its own map."""
    rows = []
    for k in range(77):
        p = sum(original[..., j] for j in pairs[k]) if k in pairs else edited[..., k]
        rows.append(weights.get(k, 1) * p)
    torch.testing.assert_close(output, torch.stack(rows, dim=-1) @ values, rtol=0, atol=1e-5)


def padding(first):
    return {k: [k] for k in range(first, 77)}


@pytest.mark.parametrize("site", ["mid", "fine"])
def test_refinement_is_the_formula_for_each_sample(sd, site):
    """The phrase is taken out, or replaced by three words; every sample has its own alignment."""
    prompts = [encode(sd, "a man without glasses", "glasses"), encode(sd, "a cat with a hat and a scarf", "hat")]
    got = attended(sd, PromptToPrompt(), prompts, site)
    # [SOT] a man without [EOT], [SOT] a cat with a and a scarf [EOT]
    shorter = [{0: [0], 1: [1], 2: [2], 3: [3], 4: [5]} | padding(6)]
    shorter += [{0: [0], 1: [1], 2: [2], 3: [3], 4: [4], 5: [6], 6: [7], 7: [8], 8: [9]} | padding(10)]
    for k in range(2):
        check(got[3][k], got[0][k], got[1][k], got[2][k], shorter[k], {})
    got = attended(sd, PromptToPrompt(instead="red bow tie", weight=3), prompts, site)
    longer = [{0: [0], 1: [1], 2: [2], 3: [3], 7: [5]} | padding(8)]
    longer += [{0: [0], 1: [1], 2: [2], 3: [3], 4: [4], 8: [6], 9: [7], 10: [8], 11: [9]} | padding(12)]
    for k, new in enumerate(((4, 5, 6), (5, 6, 7))):
        check(got[3][k], got[0][k], got[1][k], got[2][k], longer[k], dict.fromkeys(new, 3))


def test_replacement_and_new_weights_are_the_formula(sd):
    prompts = [encode(sd, "a man with a hat at night", "hat"), encode(sd, "a dog in rain", "rain")]
    assert len(sd.pieces("balloons")) == 4
    got = attended(sd, PromptToPrompt(mode="replace", instead="balloons", weight=-8), prompts)
    pairs = [{0: [0], 1: [1], 2: [2], 3: [3], 4: [4], 9: [6], 10: [7], 11: [8]} | padding(12)]
    pairs += [{0: [0], 1: [1], 2: [2], 3: [3], 8: [5]} | padding(9)]
    for k, word in enumerate((5, 4)):
        new = range(word, word + 4)  # each of the four tokens gets a quarter of the word's map
        replaced = pairs[k] | {row: [word] for row in new}
        check(got[3][k], got[0][k], got[1][k], got[2][k], replaced, dict.fromkeys(new, -8 / 4))


def test_reweighting_is_the_originals_map_times_the_weight(sd):
    prompts = [encode(sd, LIST, ["glasses", "a hat"]), encode(sd, "a dog in rain", "rain")]
    got = attended(sd, PromptToPrompt.reweight(weight=-3), prompts)
    for k, rows in enumerate(((7, 9, 10), (4,))):
        check(got[3][k], got[0][k], got[1][k], got[2][k], padding(0), dict.fromkeys(rows, -3))


def test_maps_are_copied_before_their_steps(sd):
    """cross: before int(.8 · 7) = 5; self: before int(.4 · 6) = 2; as in the code."""
    prompts = [encode(sd, LIST, "glasses")]
    cross, fine = Site("up.3.0.cross", "cross", "up", 1, 8), Site("up.2.0.self", "self", "up", 2, 8)
    coarse = Site("up.1.0.self", "self", "up", 4, 8)

    def wanted(settings, site):
        found = [taps_at(sd, settings, prompts, i)[1].tap for i in range(settings.steps)]
        return [tap is not None and tap.wants(site) for tap in found]

    settings = PromptToPrompt(steps=6)
    assert wanted(settings, cross) == [True] * 5 + [False]
    assert wanted(settings, coarse) == [True] * 2 + [False] * 4
    assert not any(wanted(settings, fine))
    settings = PromptToPrompt(steps=6, cross_until=6, self_until=3, self_scale=2)
    assert all(wanted(settings, cross))
    assert wanted(settings, fine) == [True] * 3 + [False] * 3


def test_a_copied_self_map_is_the_originals(sd):
    _, inputs = taps_at(sd, PromptToPrompt(), [encode(sd, LIST, "glasses")], 0)
    attn = sd.unet.mid_block.attentions[0].transformer_blocks[0].attn1
    q, k, v = torch.randn(3, 2, 8, 4, 16, generator=torch.Generator().manual_seed(0))
    out = inputs.tap.attend(attn.site, q, k, v, attn)
    p = (q[:1] @ k[:1].mT / 4).softmax(dim=-1)
    torch.testing.assert_close(out, p @ v, rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_any_batch_on_both_engines_is_each_job_alone(check_batch, form):
    check_batch(JOBS, FORMS[form])


def test_outside_the_blends_mask_the_picture_is_the_original(sd):
    """In 128 pixels: the maps have 4 × 4 pixels. Two prompts, so that each has its own words."""
    settings = PromptToPrompt.pnp(steps=4, guidance=2, instead="scarf", blend=0.8)
    jobs = [suppress.Job("a man with a hat", "hat", 1), suppress.Job(LIST, "glasses", 2)]
    both = zip(*(suppress.run_batch(sd, jobs, settings=settings, engine=e) for e in ("reference", "fast")), strict=True)
    for result, fast in both:
        inside = torch.tensor(np.asarray(result.mask)[::8, ::8] > 0)
        difference = (result.latents - result.original_latents).abs()[0].amax(dim=0)
        assert 0 < inside.float().mean() < 1
        assert difference[~inside].max() == 0 and difference[inside].min() > 0
        assert fast.mask.tobytes() == result.mask.tobytes()
        assert (fast.latents - result.latents).abs().max() < 1e-3


def test_the_blend_begins_at_its_step(sd):
    settings = PromptToPrompt(steps=4, blend=0.7, blend_from=3)
    run, _ = taps_at(sd, settings, [encode(sd, LIST, "glasses")], 0)
    edit, z, other = settings.edit(run), run.start.z, torch.zeros_like(run.start.z)
    assert torch.equal(edit.blend(2, z, other), z)
    assert torch.equal(edit.blend(3, z, other), other)  # no maps were read: nothing is inside
    assert draw(sd, PromptToPrompt.official(steps=2)).mask is None


@pytest.fixture(scope="module")
def picture(sd):
    return sd.generate(LIST, 1, 12, 2.0, **SMALL)[0]


def test_an_inverted_picture_is_edited(sd, picture):
    """The same on both engines; a weight of 1 gives the reconstruction. Nothing costs more than the two branches."""
    start = suppress.invert(sd, picture, LIST, "null-text:iterations=2", steps=4, **SMALL)
    same = draw(sd, PromptToPrompt(steps=4, mode="reweight"), image=picture, inversion=start)
    assert (same.latents - same.original_latents).abs().max() < 1e-4
    for inversion in (start, suppress.invert(sd, picture, LIST, "direct", steps=4, **SMALL)):
        engine = Fast(sd)
        results = [
            draw(sd, PromptToPrompt.pnp(steps=4, guidance=2), image=picture, inversion=inversion, engine=one)
            for one in (engine, "reference")
        ]
        assert engine.passes == 16
        assert (results[0].latents - results[1].latents).abs().max() < 1e-3
        assert (results[0].latents - results[0].original_latents).abs().max() > 0.1


def test_words_in_the_place_of_the_phrases(sd):
    prompt = encode(sd, "a hat, and a man in a red hat with glasses", ["hat:2", "red", "glasses"])
    assert without_targets(prompt, "scarf") == "a hat, and a man in a scarf with scarf"
    prompt = encode(sd, "hat", "hat")
    assert without_targets(prompt) == "" and without_targets(prompt, "cap") == "cap"
    settings = PromptToPrompt(instead="cap")
    assert settings.remark(prompt) == "the edited prompt is 'cap'"
    assert PromptToPrompt(mode="reweight").remark(prompt) == "weight = 1 changes nothing"


def test_names_and_their_settings():
    assert parse_method("prompt-to-prompt:mode=replace,instead=hat,blend=.5") == PromptToPrompt(
        mode="replace", instead="hat", blend=0.5
    )
    assert parse_method("reweight") == PromptToPrompt.reweight()
    assert parse_method("reweight:weight=-2").weight == -2
    assert parse_method("reweight:steps=9").cross_end == 9
    assert parse_method("prompt-to-prompt-pnp").self_scale == 2
    assert parse_method("prompt-to-prompt:blend=none") == PromptToPrompt.official()


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        ({"mode": "swap"}, "mode = 'swap'; expected one of refine, replace, reweight"),
        ({"mode": "replace"}, "mode=replace without new words"),
        ({"mode": "reweight", "text": "a man"}, "text = 'a man' with mode=reweight"),
        ({"text": "a man", "instead": "hat"}, "text = 'a man' and instead = 'hat'"),
        ({"instead": 3}, "a prompt is a string, not 3"),
        ({"weight": "much"}, "weight = 'much'"),
        ({"weight": float("inf")}, "weight = inf"),
        ({"cross_until": 51}, "cross_until = 51"),
        ({"self_until": "all"}, "self_until = 'all'"),
        ({"blend": 1.5}, "blend = 1.5"),
        ({"blend_from": -1}, "blend_from = -1"),
        ({"self_scale": 0}, "self_scale = 0"),
    ],
)
def test_bad_settings_are_named(bad, name):
    with pytest.raises(UserError, match=name):
        PromptToPrompt(**bad)


def test_prompts_that_cannot_be_aligned(sd):
    with pytest.raises(UserError, match=r"has 10, .* has 3\. Use mode=refine"):
        draw(sd, PromptToPrompt(steps=2, mode="replace", text="a bearded man"))
    for settings in (PromptToPrompt(steps=2, text="cat " * 76), PromptToPrompt(steps=2, instead="cat " * 70)):
        with pytest.raises(UserError, match=r"the edited prompt has \d+ tokens, 75 fit"):
            draw(sd, settings)

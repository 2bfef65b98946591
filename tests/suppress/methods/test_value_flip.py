"""Flipped values: each form equals a few lines of tensor code, on both engines and in any batch."""

import pytest
import torch

import suppress
from minisd import UserError
from suppress.loop import Run
from suppress.methods import ValueFlip, parse_method
from suppress.prompt import encode, without_targets
from suppress.start.noise import from_noise

LIST = "a man with a beard wearing glasses and a hat"
FORMS = {  # a low guidance, so that rounding errors stay small
    "appended": ValueFlip(steps=4, guidance=2),
    "appended, as in the code": ValueFlip(steps=4, guidance=2, scale=-1.5, pads="kept"),
    "vsf": ValueFlip.vsf(steps=4, guidance=2, word="kept"),
    "in-place": ValueFlip(steps=4, guidance=2, form="in-place", scale=-1.5),
    "continuous": ValueFlip(steps=4, guidance=2, form="continuous", eot="flipped"),
}
JOBS = [
    suppress.Job("a man without glasses", "glasses", 5, 64, 64),
    suppress.Job(LIST, ("glasses", "a hat"), 1, 64, 64),
    suppress.Job("a cat with a crown on the beach", "crown", 3, 64, 64),
]


def attended(sd, settings):
    """(prompts, queries, outputs before W_out, attn) of the two edited samples (2,H,N,d) at the middle block."""
    prompts = [encode(sd, LIST, ["glasses", "a hat"]), encode(sd, "a man without glasses", "glasses")]
    run = Run(sd, prompts, from_noise(prompts, sd.noise([0, 1], 64, 64)), settings)
    original = run.original(0, run.start.z)
    inputs = settings.edit(run).inputs(0, original, original, None)
    attn = sd.unet.mid_block.attentions[0].transformer_blocks[0].attn2
    x = torch.randn(4, 6, attn.to_q.in_features, generator=torch.Generator().manual_seed(0))
    ctx = torch.cat([run.ctx, inputs.contexts[1]])
    q, k, v = (attn.split_heads(layer(rows)) for layer, rows in ((attn.to_q, x), (attn.to_k, ctx), (attn.to_v, ctx)))
    out = inputs.tap.attend(attn.site, q, k, v, attn)
    plain = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1) @ v
    torch.testing.assert_close(out[:2], plain[:2], rtol=0, atol=1e-5)  # the original does not change
    return prompts, q[2:], out[2:], attn


def attention(attn, q, keys, values, bias=None):
    """q (H,N,d), rows (L,D) for keys and values -> (H,N,d)"""
    k, v = attn.split_heads(attn.to_k(keys[None]))[0], attn.split_heads(attn.to_v(values[None]))[0]
    logits = q @ k.mT / q.shape[-1] ** 0.5
    return (logits if bias is None else logits + bias).softmax(dim=-1) @ v


@pytest.mark.parametrize("scale", [-1.7, 2.0])
def test_vsf_is_one_softmax_over_both_prompts(sd, scale):
    prompts, q, out, attn = attended(sd, ValueFlip.vsf(scale=scale, bias=0.4))
    for prompt, text, queries, got in zip(
        prompts, ("a man with a beard wearing and", "a man without"), q, out, strict=True
    ):
        positive = sd.encode_text(text)[0]
        negative = torch.cat([sd.encode_text(t)[0, 1 : len(sd.tokens(t))] for t in prompt.targets])
        bias = torch.cat([torch.zeros(77), torch.full((len(negative),), -0.4)])
        keys, values = torch.cat([positive, negative]), torch.cat([positive, scale * negative])
        torch.testing.assert_close(got, attention(attn, queries, keys, values, bias), rtol=0, atol=1e-5)


def test_negpip_weighs_the_words_and_flips_all_rows(sd):
    prompts, q, out, attn = attended(sd, ValueFlip(scale=-1.5, word="kept"))
    for prompt, queries, got in zip(prompts, q, out, strict=True):
        rows = []
        for target in prompt.targets:
            negative = sd.encode_text(target)[0, : len(sd.tokens(target))].clone()
            negative[1:-1] *= 1.5
            rows.append(negative[1:])
        keys, values = torch.cat([prompt.ctx[0], *rows]), torch.cat([prompt.ctx[0], *(-r for r in rows)])
        torch.testing.assert_close(got, attention(attn, queries, keys, values), rtol=0, atol=1e-5)


def test_the_codes_77_rows_flip_the_words_alone(sd):
    prompts, q, out, attn = attended(sd, ValueFlip(pads="kept", word="kept"))
    negative = sd.encode_text("glasses")[0]
    negative[3:] = negative[-1]  # [SOT], the word, its [EOT]; all other rows are the last padding row
    signs = torch.ones(77, 1)
    signs[1] = -1
    keys, values = torch.cat([prompts[1].ctx[0], negative]), torch.cat([prompts[1].ctx[0], signs * negative])
    torch.testing.assert_close(out[1], attention(attn, q[1], keys, values), rtol=0, atol=1e-5)


@pytest.mark.parametrize("eot", ["kept", "flipped"])
@pytest.mark.parametrize("scale", [-1.3, 0.5])
@pytest.mark.parametrize("form", ["in-place", "continuous"])
def test_forms_that_leave_the_word_in_the_prompt(sd, form, scale, eot):
    prompts, q, out, attn = attended(sd, ValueFlip(form=form, scale=scale, eot=eot))
    empty = sd.encode_text("")[0]
    for prompt, queries, got in zip(prompts, q, out, strict=True):
        keys, values = prompt.ctx[0].clone(), prompt.ctx[0].clone()
        for row in [*prompt.target, *(range(prompt.eot[0], 77) if eot == "flipped" else ())]:
            difference = prompt.ctx[0, row] - empty[row]
            if form == "in-place":
                keys[row] = empty[row] + abs(scale) * difference
                values[row] = keys[row] if scale > 0 else -keys[row]
            else:
                values[row] = empty[row] + scale * difference
        torch.testing.assert_close(got, attention(attn, queries, keys, values), rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", ["in-place", "continuous"])
def test_a_scale_of_one_is_the_original(sd, form):
    settings = ValueFlip(steps=3, form=form, scale=1)
    result = suppress.run(sd, LIST, "glasses", settings=settings, height=64, width=64)
    assert (result.latents - result.original_latents).abs().max() < 1e-3


def test_the_continuous_form_does_not_jump_at_zero(sd):
    def drawn(form, scale):
        settings = ValueFlip(steps=3, form=form, scale=scale)
        return suppress.run(sd, LIST, "glasses", settings=settings, height=64, width=64).latents

    assert (drawn("continuous", -1e-4) - drawn("continuous", 1e-4)).abs().max() < 0.01
    assert (drawn("in-place", -1e-4) - drawn("in-place", 1e-4)).abs().max() > 0.1


@pytest.mark.parametrize("form", FORMS)
def test_any_batch_on_both_engines_is_each_job_alone(check_batch, form):
    check_batch(JOBS, FORMS[form])


def test_only_the_named_place_of_a_phrase_is_cut(sd):
    prompt = encode(sd, "a hat, and a man in a hat with red glasses", ["hat:2", "red glasses"])
    assert without_targets(prompt) == "a hat, and a man in a with"


def test_names_and_their_settings():
    assert parse_method("vsf") == ValueFlip(scale=-1.7, weighs="values", bias=0.2)
    assert parse_method("vsf:scale=-3.5,bias=.1") == ValueFlip.vsf(scale=-3.5, bias=0.1)
    assert parse_method("value-flip:form=in-place,scale=-1.3") == ValueFlip(form="in-place", scale=-1.3)


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        ({"form": "upside-down"}, "form = 'upside-down'"),
        ({"scale": float("nan")}, "scale = nan"),
        ({"bias": -1}, "bias = -1"),
        ({"eot": "flipped"}, "eot = 'flipped'; it is for form=in-place or continuous"),
        ({"form": "in-place", "bias": 0.1}, "bias = 0.1; it is for form=appended"),
        ({"word": None}, "word = None"),
    ],
)
def test_bad_settings_are_named(bad, name):
    with pytest.raises(UserError, match=name):
        ValueFlip(**bad)

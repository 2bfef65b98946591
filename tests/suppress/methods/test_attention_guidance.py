"""NAG, ONG, NASA: their equations at one attention layer by hand, the identities, both engines, any batch."""

import numpy as np
import pytest
import torch

import suppress
from minisd import UserError
from suppress.loop import Run
from suppress.methods import NAG, NASA, ONG
from suppress.prompt import encode
from suppress.start.noise import from_noise

LIST = "a man with a beard wearing glasses and a hat"
JOBS = [
    suppress.Job("a man without glasses", "glasses", 5, 64, 64),
    suppress.Job(LIST, ("glasses", "a hat"), 8, 64, 64),
]


def edit_of(sd, settings, *jobs):
    prompts = [encode(sd, text, remove) for text, remove in jobs or [(LIST, "glasses")]]
    return settings.edit(Run(sd, prompts, from_noise(prompts, sd.noise(range(len(prompts)), 64, 64)), settings))


# ---------------------------------------------------------------------- the equations, for one query: all channels


def nag(plus, minus, scale, limit, alpha, norm):
    """As the code has it, with nag_scale = φ + 1."""
    nag_scale = scale + 1
    z = nag_scale * plus - (nag_scale - 1) * minus
    ratio = np.linalg.norm(z, norm) / np.linalg.norm(plus, norm)
    return alpha * z * min(ratio, limit) / ratio + (1 - alpha) * plus


def ong(plus, minus):
    unit = plus / np.linalg.norm(plus)
    return plus - 0.7 * (minus - (unit @ minus) * unit)


FORMS = {
    "nag": (NAG(), lambda a, b: nag(a, b, 2, 2.5, 0.5, 1)),
    "nag, limited": (NAG(scale=20, limit=1.2), lambda a, b: nag(a, b, 20, 1.2, 0.5, 1)),
    "nag-official": (NAG.official(limit=1.2), lambda a, b: nag(a, b, 4, 1.2, 0.25, 2)),
    "ong": (ONG(scale=0.7), ong),
    "nasa": (NASA(scale=0.3), lambda a, b: a - 0.3 * b),
}


@pytest.mark.parametrize("name", FORMS)
def test_an_attention_layer_by_hand(sd, name):
    """Two samples with other words. The original's samples do not change."""
    settings, form = FORMS[name]
    texts = [(LIST, ["glasses", "a hat"]), ("a cat with a crown", "crown")]
    edit = edit_of(sd, settings, *texts)
    attn = sd.unet.mid_block.attentions[0].transformer_blocks[0].attn2
    x = torch.randn(4, 3, attn.to_q.in_features, generator=torch.Generator().manual_seed(0))
    ctx = edit.run.ctx.repeat(2, 1, 1)
    got, plain = attn(x, ctx, tap=edit.tap), attn(x, ctx)
    torch.testing.assert_close(got[:2], plain[:2])

    def attention(x, ctx):
        """(N,C): the heads one after the other, before the output layer."""
        q, k, v = (attn.split_heads(rows[None])[0] for rows in (attn.to_q(x), attn.to_k(ctx), attn.to_v(ctx)))
        maps = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)
        return (maps @ v).transpose(0, 1).flatten(1).double().numpy()

    for k, words in enumerate(("glasses, a hat", "crown")):
        plus, minus = attention(x[2 + k], ctx[k]), attention(x[2 + k], sd.encode_text(words)[0])
        rows = np.stack([form(a, b) for a, b in zip(plus, minus, strict=True)])
        want = attn.to_out[0](torch.from_numpy(rows).float())
        torch.testing.assert_close(got[2 + k], want, rtol=0, atol=1e-5)
        assert (want - plain[2 + k]).abs().max() > 0.01


def test_the_limit_is_reached_where_it_is_tested(sd):
    """Else the tests above would say nothing of τ."""
    plus, minus = torch.randn(2, 1, 4, 6, 16, generator=torch.Generator().manual_seed(0))
    for settings, free in ((NAG(scale=20, limit=1.2), NAG(scale=20, limit=99)), (NAG(), NAG(limit=1.2))):
        assert not torch.allclose(settings.guided(plus, minus), free.guided(plus, minus))


IDENTITIES = [NAG(scale=0), NAG(alpha=0), NAG(scale=50), NAG.official(), ONG(scale=0), NASA(scale=0)]


@pytest.mark.parametrize("settings", IDENTITIES, ids=range(6))
def test_identities_to_the_bit(settings):
    """Without a scale, and NAG with equal branches at every scale; also where the outputs are 0."""
    plus, minus = torch.randn(2, 2, 4, 6, 16, generator=torch.Generator().manual_seed(0))
    plus[0, :, 0] = 0
    silent = 0 in (getattr(settings, "scale", 1), getattr(settings, "alpha", 1))
    assert torch.equal(settings.guided(plus, minus if silent else plus), plus)


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_the_prompt_as_its_own_negative_draws_the_original(sd, engine):
    result = suppress.run(
        sd, LIST, "glasses", settings=NAG(steps=2, scale=20, concept=LIST), height=64, width=64, engine=engine
    )
    assert (result.latents - result.original_latents).abs().max() < 1e-4


def test_steps_and_prompt(sd):
    edit = edit_of(sd, ONG(steps=10, stop=4, word="cut"), ("a cat with a crown", "crown"))
    same = edit.run.original(3, edit.run.start.z)
    early, late = (edit.inputs(i, same, same, None) for i in (3, 4))
    assert early.tap is edit.tap and late.tap is None and early.tap_uncond is None
    for inputs in (early, late):
        assert torch.equal(inputs.contexts[1], sd.encode_text("a cat with a")) and len(inputs.contexts) == 2


def test_any_batch_on_both_engines_is_each_job_alone(check_batch):
    check_batch(JOBS, NAG(steps=4, guidance=2, start=1), least=0.02)


def test_with_maps_both_engines_show_those_of_the_prompt(sd):
    """The watching taps are composed with the method's, and the method keeps its own attention."""
    got, want = (
        suppress.run(sd, LIST, "glasses", settings=NAG(steps=2), height=64, width=64, engine=engine, maps=True)
        for engine in ("fast", "reference")
    )
    plain = suppress.run(sd, LIST, "glasses", settings=NAG(steps=2), height=64, width=64)
    assert (got.maps - want.maps).abs().max() < 1e-4 and (got.latents - plain.latents).abs().max() < 1e-4


def test_presets_and_bad_settings():
    assert NAG.paper() == NAG() and (NAG().scale, NAG().limit, NAG().alpha, NAG().norm) == (2, 2.5, 0.5, 1)
    official = NAG.official()
    assert (official.scale, official.limit, official.alpha, official.norm) == (4, 2.5, 0.25, 2)
    for method, bad in (
        (NAG, {"scale": -1}),
        (NAG, {"limit": "far"}),
        (NAG, {"alpha": 1.5}),
        (NAG, {"norm": 3}),
        (ONG, {"scale": None}),
        (NASA, {"scale": float("inf")}),
        (ONG, {"stop": -1}),
    ):
        [(name, value)] = bad.items()
        with pytest.raises(UserError, match=f"{name} = {value!r}"):
            method(**bad)

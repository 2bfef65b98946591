"""From prompt to picture: each part, and the whole against diffusers."""

import json
import math
import warnings
from pathlib import Path

import pytest
import torch
from closeness import levels_apart, relative_error
from safetensors import safe_open

import minisd
from minisd import UserError
from minisd.picture import to_pil

GOLDEN_FILE = Path(__file__).parents[1] / "goldens" / "tiny.safetensors"
MAN = "a man without glasses"


@pytest.fixture(scope="module")
def prompts():
    with safe_open(GOLDEN_FILE, "pt") as file:
        return json.loads(file.metadata()["prompts"])


@pytest.fixture(scope="module")
def man(sd):
    """A picture of seed 0, with enough steps for a clear picture."""
    return sd.generate(MAN, steps=10)[0]


# ---------------------------------------------------------------------- goldens


def test_the_text_encoder_is_that_of_diffusers(sd, goldens, prompts):
    with pytest.warns(UserWarning, match="75 fit"):  # the last prompt is too long on purpose
        ids, ctx = sd.token_ids(prompts), sd.encode_text(prompts)
    assert torch.equal(ids, goldens["text.input_ids"])
    assert relative_error(ctx, goldens["text.last_hidden"]) < 1e-4
    assert ctx.dtype == torch.float32


def test_twenty_ddim_steps_are_those_of_diffusers(sd, goldens, prompts):
    uncond, ctx = sd.encode_text(prompts[:2]).split(1)
    noise, after, timesteps = sd.noise([0], 128, 128), [], []
    assert torch.equal(noise, goldens["ddim.noise"])
    for i, t, z in sd.sample(ctx, uncond, noise, steps=20):
        assert i == len(after)
        after.append(z)
        timesteps.append(t)
    assert timesteps == goldens["ddim.timesteps"].tolist()
    assert relative_error(torch.cat(after[4::5]), goldens["ddim.latents_every5"]) < 1e-4
    assert relative_error(z, goldens["ddim.latents"]) < 1e-4
    mse = (sd.decode(z) - goldens["ddim.image"].clamp(-1, 1)).square().mean()
    assert 10 * torch.log10(4 / mse) > 50


def test_generate_is_encode_sample_decode(sd, goldens):
    [picture] = sd.generate(MAN, steps=20)
    assert picture.size == (128, 128)
    assert levels_apart(picture, to_pil(goldens["ddim.image"])[0]) <= 1


# ---------------------------------------------------------------------- text


def test_tokens_and_pieces(sd):
    assert sd.tokens("A man, without glasses") == ["[SOT]", "a", "man", ",", "without", "glasses", "[EOT]"]
    assert sd.pieces("a man") == ["a</w>", "man</w>"]
    assert sd.tokens("") == ["[SOT]", "[EOT]"]
    assert len(sd.pieces("man " * 100)) == 100
    assert len(sd.tokens("man " * 100)) == 77


def test_a_prompt_that_is_too_long_warns_with_the_words_that_are_cut(sd):
    with pytest.warns(UserWarning, match=r"78 tokens, 75 fit; cut: 'a red hat'") as caught:
        ids = sd.token_ids("man " * 75 + "a red hat")
    assert len(caught) == 1
    assert torch.equal(ids[0, 1:76], ids[0, 1].expand(75))
    assert ids[0, 76] == sd.tokenizer.eot


def test_a_prompt_that_just_fits_does_not_warn(sd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sd.token_ids("man " * 75).shape == (1, 77)


@pytest.mark.parametrize("prompt", [None, 5, 2.5, b"a man", ["a man", None], [["a man"]]])
def test_a_prompt_that_is_no_string_is_refused(sd, prompt):
    for call in (sd.generate, sd.encode_text):
        with pytest.raises(UserError, match="a prompt is a string, not"):
            call(prompt)


def test_a_prompt_that_is_no_text_is_refused(sd):
    with pytest.raises(UserError, match=r"'a \\ud800 man' is not valid text"):
        sd.generate("a \ud800 man", steps=1)
    with pytest.raises(UserError, match="not valid text"):
        sd.tokens("\udcff")


# ---------------------------------------------------------------------- guidance, taps, the loop


def test_a_negative_prompt_leads_away_and_an_empty_one_is_the_default(sd):
    plain = sd.generate("a man", steps=3)[0]
    assert levels_apart(plain, sd.generate("a man", steps=3, negative_prompt="")[0]) == 0
    assert levels_apart(plain, sd.generate("a man", steps=3, negative_prompt="glasses")[0]) > 20


@pytest.mark.parametrize("negative", [None, 3, ["blurry"]])
def test_a_negative_prompt_is_one_string(sd, negative):
    with pytest.raises(UserError, match="negative prompt is one string"):
        sd.generate("a man", negative_prompt=negative)


def test_guidance_is_the_formula(sd, goldens):
    z, ctx = goldens["unet.z"], goldens["text.last_hidden"][1:3]
    uncond = goldens["text.last_hidden"][:1]
    eps_u, eps_c = sd.unet(z, 501, uncond.expand_as(ctx)), sd.unet(z, 501, ctx)
    guided = sd.predict(z, 501, ctx, uncond, 3.0)
    torch.testing.assert_close(guided, eps_u + 3 * (eps_c - eps_u), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sd.predict(z, 501, ctx, None, 3.0), eps_c)


def test_sampling_may_begin_at_a_later_step(sd, goldens):
    uncond, ctx = goldens["text.last_hidden"][:2].split(1)
    middle = goldens["ddim.latents_every5"][2:3]  # after 15 steps
    steps = list(sd.sample(ctx, uncond, middle, steps=20, start_step=15))
    assert [i for i, _, _ in steps] == [15, 16, 17, 18, 19]
    assert relative_error(steps[-1][2], goldens["ddim.latents"]) < 1e-4


def test_sampling_leaves_the_callers_gradients_on(sd, goldens):
    ctx = goldens["text.last_hidden"][1:2]
    for _, _, z in sd.sample(ctx, ctx, goldens["ddim.noise"], steps=2):
        assert torch.is_grad_enabled()
        assert not z.requires_grad


def test_a_tap_is_for_one_batch(sd):
    with pytest.raises(UserError, match="batch_size=3 or more"):
        sd.generate("a man", [1, 2, 3], tap=minisd.Record(), batch_size=2)
    record = minisd.Record(minisd.select("cross", scale=8))
    sd.generate("a man", [1, 2, 3], steps=1, tap=record)
    assert record.maps["mid.cross"].shape == (6, 8, 4, 77)  # uncond first, then the three


def test_progress_wraps_every_batch(sd):
    totals, seen = [], []

    def progress(steps, total):
        totals.append(total)
        for i, t, z in steps:
            seen.append(i)
            yield i, t, z

    with_progress = sd.generate("a man", [0, 1], steps=3, batch_size=1, progress=progress)
    assert totals == [3, 3]
    assert seen == [0, 1, 2] * 2
    assert levels_apart(with_progress[1], sd.generate("a man", 1, steps=3)[0]) == 0


# ---------------------------------------------------------------------- shapes


@pytest.mark.parametrize("shape", [(4, 16, 16), (1, 3, 16, 16), (1, 16, 16, 4), (16,), ()])
def test_latents_of_another_shape_are_refused(sd, shape):
    with pytest.raises(UserError) as caught:
        sd.decode(torch.zeros(shape))
    assert str(caught.value) == f"latents of shape {shape}; expected a tensor (B,4,height,width)"


@pytest.mark.parametrize("shape", [(3, 128, 128), (1, 4, 128, 128), (1, 128, 128, 3), (16,), ()])
def test_pictures_of_another_shape_are_refused(sd, shape):
    with pytest.raises(UserError) as caught:
        sd.encode(torch.zeros(shape))
    assert str(caught.value) == f"a picture of shape {shape}; expected a tensor (B,3,height,width)"


def test_pictures_that_are_no_tensors_are_refused(sd, man):
    with pytest.raises(UserError, match=r"a picture given as Image; expected a tensor \(B,3"):
        sd.encode(man)


# ---------------------------------------------------------------------- precision


def test_latents_that_are_not_finite_say_what_to_do(sd, goldens):
    z = goldens["vae.z"].clone()
    z[0, 0, 3, 3] = math.nan
    with pytest.raises(UserError, match=r"NaN or infinity in the latents.*lower the guidance"):
        sd.decode(z)
    with pytest.raises(UserError, match="NaN or infinity in the decoded picture"):
        sd.decode(goldens["vae.z"] * 1e37)  # finite, but too large for the VAE


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_no_one_is_told_to_take_the_dtype_in_use(sd, goldens, dtype):
    class InUse:
        device, vae = sd.device, sd.vae

    InUse.dtype = dtype
    with pytest.raises(UserError) as caught:
        minisd.StableDiffusion.decode(InUse, goldens["vae.z"] * math.nan, vae=lambda z: z)
    advice = str(caught.value).partition("): ")[2]
    assert str(dtype) not in advice
    assert ("dtype=torch.float32" in advice) == (dtype != torch.float32)


def test_half_precision_is_close_and_its_latents_stay_float32(sd):
    """The picture is small: a CPU without bfloat16 takes half a minute for 128 pixels.

    One pass of each network is compared: over several steps of such a small picture, rounding errors grow.
    """
    half = minisd.load("tiny", device="cpu", dtype=torch.bfloat16)
    assert half.dtype == half.encode_text(MAN).dtype == torch.bfloat16
    noise = half.noise([0], 32, 32)
    for _, _, z in half.sample(half.encode_text(MAN), half.encode_text(""), noise, steps=5):
        assert z.dtype == torch.float32
    x = half.decode(z)
    assert x.dtype == half.encode(x).dtype == torch.float32
    ctx = sd.encode_text(MAN)
    with torch.no_grad():
        pairs = (
            (half.unet(noise, 501, ctx), sd.unet(noise, 501, ctx)),
            (x, sd.decode(z)),
            (half.encode(x), sd.encode(x)),
        )
    for rounded, exact in pairs:
        assert (rounded - exact).norm() < 0.03 * exact.norm()


def test_a_model_prints_what_it_is(sd):
    assert repr(sd) == "StableDiffusion('tiny', device='cpu', dtype=torch.float32)"

"""SSDV: its two contexts against forms written here, α = 0, subjects, engines and batches, bad settings."""

import pytest
import torch

import suppress
from minisd import UserError
from suppress.loop import Run
from suppress.methods import SSDV, Rewrite, parse_method
from suppress.prompt import encode
from suppress.start.noise import from_noise

LIST = "a man with a beard wearing glasses and a hat"
JOBS = [
    suppress.Job("a man without glasses", "glasses", 5, 64, 64),
    suppress.Job(LIST, ("glasses", "a hat"), 2, 64, 64),
]


def contexts(sd, settings, text, targets):
    """(c⁺, c⁻), (77,D) each: the context of the edited branch's keys, and that of the values."""
    prompts = [encode(sd, text, targets)]
    run = Run(sd, prompts, from_noise(prompts, sd.noise([0], 64, 64)), settings)
    original = run.original(0, run.start.z)
    inputs = settings.edit(run).inputs(0, original, original, None)
    assert inputs.contexts[0] is original.contexts[0]  # ∅ stays
    attn = sd.unet.mid_block.attentions[0].transformer_blocks[0].attn2
    q = torch.randn(2, attn.site.heads, 3, attn.to_q.out_features // attn.site.heads)
    k, v = (attn.split_heads(layer(inputs.contexts[1].repeat(2, 1, 1))) for layer in (attn.to_k, attn.to_v))
    new_k, new_v = inputs.tap.tap.keys_values(attn.site, k, v, attn)
    plain = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1) @ v
    out = inputs.tap.attend(attn.site, q, k, v, attn)
    torch.testing.assert_close(out[0], plain[0], rtol=0, atol=1e-5)  # the original does not change
    torch.testing.assert_close(out[1], (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)[1] @ new_v[1])
    assert torch.equal(new_k, k)
    values = inputs.tap.tap.ctx[0]
    torch.testing.assert_close(new_v[0], attn.split_heads(attn.to_v(values[None]))[0])
    return inputs.contexts[1][0], values


def test_the_published_form_shifts_the_second_mention_of_the_subject(sd):
    keys, values = contexts(sd, SSDV(), LIST, "glasses")
    want, delta = sd.encode_text("a photo of man man.")[0], sd.encode_text("glasses")[0, 1]
    shift = torch.zeros_like(want)
    shift[5] = 0.4 * delta  # [SOT] a photo of man man
    torch.testing.assert_close(keys, want + shift)
    torch.testing.assert_close(values, want - shift)


def test_the_other_form_keeps_the_prompt_and_adds_the_deltas_of_all_targets(sd):
    settings = SSDV.kept(alpha=1.5, unit="handle", subject="smiling man")
    keys, values = contexts(sd, settings, LIST, ["glasses", "hat"])
    want = sd.encode_text(f"{LIST} smiling man")[0]
    glasses, hat = sd.encode_text("glasses")[0, 1], sd.encode_text("hat")[0, 1]
    shift = torch.zeros_like(want)
    for row in (11, 12):
        shift[row] = 1.5 * want[row].norm() * (glasses / glasses.norm() + hat / hat.norm())
    torch.testing.assert_close(keys, want + shift)
    torch.testing.assert_close(values, want - shift)


def test_a_target_of_several_words_is_its_last_row(sd):
    keys, values = contexts(sd, SSDV(), "a man with a red scarf", "red scarf")
    torch.testing.assert_close(((keys - values) / 0.8)[5], sd.encode_text("red scarf")[0, 2])


@pytest.mark.parametrize("form", ["monitor", "kept"])
def test_without_strength_it_draws_the_prompt_with_the_second_subject(sd, form):
    job = {"height": 64, "width": 64, "seed": 5}
    settings = SSDV(steps=3, alpha=0, form=form)
    text = settings.handled_text(encode(sd, "a man without glasses", "glasses"))[0]
    got = suppress.run(sd, "a man without glasses", "glasses", settings=settings, **job)
    want = suppress.run(sd, "a man without glasses", "glasses", settings=Rewrite(steps=3, start=0, text=text), **job)
    assert (got.latents - want.latents).abs().max() < 1e-3 < 0.1 < (got.latents - got.original_latents).abs().max()


@pytest.mark.parametrize("settings", [SSDV(steps=3, guidance=2), SSDV.kept(steps=3, guidance=2, alpha=1)])
def test_any_batch_on_both_engines_is_each_job_alone(check_batch, settings):
    check_batch(JOBS, settings)


def test_the_subject(sd):
    def text(settings, prompt, target):
        return settings.handled_text(encode(sd, prompt, target))[0]

    assert text(SSDV(), "a city and a dog and a man with a hat", "hat") == "a photo of dog dog."
    assert text(SSDV(), "a dog and a man", "dog") == "a photo of man man."
    assert text(SSDV(subject="Steve Jobs"), "a man with a hat", "hat") == "a photo of Steve Jobs Steve Jobs."
    assert "'a man in a hat man'" in parse_method("ssdv-kept").remark(encode(sd, "a man in a hat", "hat"))
    with pytest.raises(
        UserError, match=r"none of the subjects man, .* implies 'rain', as in --method ssdv:subject=WORD"
    ):
        text(SSDV(), "a house in the rain", "rain")
    with pytest.raises(UserError, match="subject = '  '; expected a word"):
        text(SSDV(subject="  "), "a man with a hat", "hat")


def test_a_prompt_without_room_for_the_second_subject_is_refused(sd):
    with pytest.raises(UserError, match="beyond the 75 tokens"):
        suppress.run(sd, "a man in a hat" + " and so on" * 23, "hat", settings=SSDV.kept(steps=1))


def test_the_embedded_model_has_its_own_strength(sd):
    settings, origin = suppress.default_settings(sd, "ssdv-kept")
    assert (settings.alpha, settings.start, origin) == (1, 0, "published")
    assert suppress.default_settings(sd, "ssdv")[0] == SSDV()


@pytest.mark.parametrize("changes", [{"alpha": float("inf")}, {"unit": "rows"}, {"form": "both"}])
def test_bad_settings_are_named(changes):
    [(name, value)] = changes.items()
    with pytest.raises(UserError, match=f"{name} = {value!r}; expected"):
        SSDV(**changes)
    with pytest.raises(UserError, match="a prompt is a string"):
        SSDV(subject=3)

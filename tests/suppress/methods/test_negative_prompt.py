"""The negative prompt replaces ∅, alone and added to other methods."""

import pytest
import torch

import minisd
import suppress
from suppress.methods import parse_method
from suppress.methods.negative_prompt import NegativePrompt
from suppress.prompt import encode

LIST, LAST = "a man with a beard wearing glasses and a hat", "a man without glasses"
JOBS = [suppress.Job(LIST, ("glasses", "a hat"), 2), suppress.Job(LAST, "glasses", 2)]


def test_it_is_the_negative_prompt_of_the_pipeline(sd):
    z, negative = sd.noise([2], 128, 128), sd.encode_text("glasses")
    *_, (_, _, want) = sd.sample(sd.encode_text(LIST), negative, z, steps=4)
    got = suppress.run(sd, LIST, "glasses", seed=2, settings=NegativePrompt(steps=4))
    assert (got.latents - want).abs().max() < 1e-3 < (got.latents - got.original_latents).abs().max()


TO = {
    "alone": None,
    "unread": suppress.Unread(),
    "ITO": suppress.SuppressEOT.official(iterations=1, stop=3),
    "a tap": parse_method("attn2zero"),
}


@pytest.mark.parametrize("name", TO)
def test_both_engines_draw_the_same(sd, name):
    settings = NegativePrompt(steps=4, start=1, to=TO[name])
    runs = [suppress.run_batch(sd, JOBS, settings=settings, engine=e) for e in ("reference", "fast")]
    alone = suppress.run_batch(sd, JOBS, settings=NegativePrompt(steps=4, start=1, to=None))
    for want, got, plain in zip(*runs, alone, strict=True):
        assert (got.latents - want.latents).abs().max() < 1e-3
        assert (got.latents - got.original_latents).abs().max() > 0.1
        assert ((got.latents - plain.latents).abs().max() > 0.05) == (name != "alone")


def test_the_text_is_the_users_or_the_targets(sd):
    own = suppress.run(sd, LIST, ["glasses", "a hat"], seed=2, settings=NegativePrompt(steps=2, text="glasses, a hat"))
    targets = suppress.run(sd, LIST, ["glasses", "a hat"], seed=2, settings=NegativePrompt(steps=2))
    assert torch.equal(own.latents, targets.latents)
    other = suppress.run(sd, LIST, ["glasses", "a hat"], seed=2, settings=NegativePrompt(steps=2, text="a cat"))
    assert (own.latents - other.latents).abs().max() > 0.05


def test_names(sd):
    settings = parse_method('negative-prompt:text="glasses, hat",to="unread:shared_until=3"', steps=20, start=2)
    assert settings == NegativePrompt(20, start=2, text="glasses, hat", to=suppress.Unread(shared_until=3))
    assert settings.to.steps == 20 and settings.to.start == 2  # the other method gets the same steps and start
    assert parse_method("negative-prompt:to=zero").to == parse_method("zero", start=0)
    assert settings.remark(encode(sd, LAST)).startswith("added to Unread with these steps, guidance and R (SWR")
    assert settings.remark(encode(sd, LIST, "glasses")) == "added to Unread with these steps, guidance and R"
    for bad, message in (
        ("negative-prompt:to=unred", "method 'unred'"),
        ("negative-prompt:text=a,b", "'b' in"),
        ('negative-prompt:text="a', "a double quote is not closed"),
    ):
        with pytest.raises(minisd.UserError, match=message):
            parse_method(bad)
    with pytest.raises(minisd.UserError, match="to = 'unread'; expected an instance"):
        NegativePrompt(to="unread")

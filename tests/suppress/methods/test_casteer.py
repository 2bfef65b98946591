"""CASteer: vectors and removal against forms written with plain hooks, pairs of prompts, files, engines, settings."""

from contextlib import ExitStack

import pytest
import torch

import minisd
import suppress
from minisd import UserError, ddim
from suppress.edits.fingerprint import fingerprint
from suppress.edits.steering import find_vectors, read_vectors, write_vectors
from suppress.methods import CASteer, parse_method
from suppress.methods.casteer import prompt_pairs

LIST = "a man with a beard wearing glasses and a hat"
SIZE = {"height": 64, "width": 64}
PAIRS = [("a man with hat", "a man"), ("a dog with hat at night", "a dog at night")]
QUICK = CASteer(steps=2, guidance=2, pairs=1)
JOBS = [
    suppress.Job("a man without glasses", "glasses", 5, 64, 64),
    suppress.Job(LIST, ("glasses", "a hat"), 2, 64, 64),
]


@pytest.fixture(scope="module")
def vectors(sd):
    return find_vectors(sd, "hat", PAIRS, steps=3, guidance=2, **SIZE)


def outputs_of(sd, f):
    """An ExitStack in which f(site name, h) sees, and may replace, each cross layer's output h (B,N,C) after W_out."""
    stack = ExitStack()
    for module in sd.unet.modules():
        if hasattr(module, "to_out") and module.site.kind == "cross":
            name = module.site.name
            hook = module.to_out[0].register_forward_hook(lambda _m, _x, h, name=name: f(name, h))
            stack.callback(hook.remove)
    return stack


@torch.no_grad()
def draw(sd, text, seed, ctx_seen=lambda i, half: None):
    """Three steps with guidance 2, half by half."""
    z, schedule = sd.noise([seed], 64, 64), ddim.Schedule(3, sd.config.schedule)
    for i, t in enumerate(schedule.t):
        eps = []
        for half in ("", text):
            ctx_seen(i, half)
            eps.append(sd.unet(z, t, sd.encode_text(half)))
        z = ddim.step(z, eps[0] + 2 * (eps[1] - eps[0]), schedule.alpha[i], schedule.alpha[i + 1])
    return z


def test_the_vectors_by_hand(sd, vectors):
    sums, at = {}, {}

    def see(name, h):
        if at["half"]:
            sums.setdefault((name, at["i"]), []).append(at["sign"] * h.mean(dim=(0, 1)))

    with outputs_of(sd, see):
        for seed, pair in enumerate(PAIRS):
            for sign, text in zip((1, -1), pair, strict=True):
                at["sign"] = sign
                draw(sd, text, seed, lambda i, half: at.update(i=i, half=half))
    assert {name for name, _ in sums} == {site.name for site in sd.unet.sites if site.kind == "cross"}
    for (name, i), means in sums.items():
        d = sum(means)
        torch.testing.assert_close(vectors.sites[name][i], d / d.norm(), rtol=0, atol=2e-3)


def test_the_removal_by_hand(sd, vectors, tmp_path):
    """In both halves of the guidance, at every position; the length stays."""
    write_vectors(tmp_path / "hat.safetensors", vectors)
    at, changed = {}, []

    def steer(name, h):
        s = vectors.sites[name][at["i"]]
        along = h @ s
        new = h - 1.5 * along.clamp(min=0)[..., None] * s
        changed.append(bool((along < 0).any()) and bool((along > 0).any()))
        return new * (h.norm(dim=-1) / new.norm(dim=-1))[..., None]

    with outputs_of(sd, steer):
        want = draw(sd, LIST, 2, lambda i, half: at.update(i=i))
    settings = parse_method(f"casteer:beta=1.5,path={tmp_path / 'hat.safetensors'}", steps=3, guidance=2)
    for engine in ("reference", "fast"):
        got = suppress.run(sd, LIST, "hat", settings=settings, seed=2, engine=engine, **SIZE)
        assert (got.latents - want).abs().max() < 2e-3 < 0.1 < (want - got.original_latents).abs().max()
    assert any(changed)  # some positions point to the concept, others away from it


def test_any_batch_on_both_engines_is_each_job_alone(check_batch):
    check_batch(JOBS, QUICK)


def test_without_strength_it_is_the_original(sd):
    own = dict(sd.unet.named_modules())
    result = suppress.run(sd, LIST, "hat", settings=CASteer(steps=2, pairs=1, beta=0), engine="reference", **SIZE)
    assert torch.equal(result.latents, result.original_latents)
    assert all(module is own[name] for name, module in sd.unet.named_modules())  # the model's own UNet stays as it is


def test_pairs_of_prompts():
    assert prompt_pairs("glasses", 2) == [
        ("a man with glasses", "a man"),
        ("a woman with glasses on a beach", "a woman on a beach"),
    ]
    assert prompt_pairs("van gogh", 1) == [("a man in the style of van gogh", "a man")]
    assert prompt_pairs("rain", 1, "Steve Jobs, a bear") == [("Steve Jobs in the rain", "Steve Jobs")]
    assert prompt_pairs("the beach", 1) == [("a man on the beach", "a man")]
    assert prompt_pairs("smiling", 1) == [("a smiling man", "a man")]
    pairs = prompt_pairs("glasses", 50)
    assert len(set(pairs)) == 50 and all("glasses" in with_it and "glasses" not in less for with_it, less in pairs)
    assert not any("beach" in less for _, less in prompt_pairs("the beach", 49))
    with pytest.raises(UserError, match="pairs = 9; expected at most 8, with 1 subject at 8 places; name more"):
        prompt_pairs("hat", 9, "a bear")


def test_a_file_says_what_it_was_made_of(sd, vectors, tmp_path):
    path = tmp_path / "hat.safetensors"
    write_vectors(path, vectors)
    read = read_vectors(path, sd, "Hat", 3)
    assert read.about == vectors.about and read.about.pairs == tuple(PAIRS)
    assert read.sites.keys() == vectors.sites.keys()
    assert all(torch.equal(s, vectors.sites[name]) for name, s in read.sites.items())


def test_a_file_that_does_not_fit(sd, vectors, tmp_path, small):
    path, own = tmp_path / "hat.safetensors", fingerprint(sd.unet, torch.float32)
    write_vectors(path, vectors)
    for model, concept, steps, message in (
        (sd, "glasses", 3, "has steering vectors for concept 'hat', not 'glasses'"),
        (sd, "hat", 50, "for steps 3, not 50"),
        (small, "hat", 3, f"for model '{own}', not '{fingerprint(small.unet, small.dtype)}'"),
    ):
        with pytest.raises(UserError, match=message):
            read_vectors(path, model, concept, steps)
    with pytest.raises(UserError, match="for concept 'hat', not 'glasses'"):
        suppress.run(sd, LIST, ["hat", "glasses"], settings=CASteer(steps=3, path=str(path)), **SIZE)
    with pytest.raises(UserError, match="there is no file"):
        read_vectors(tmp_path / "no.safetensors", sd, "hat", 3)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="is damaged, or no"):
        read_vectors(path, sd, "hat", 3)
    with pytest.raises(UserError, match="holds no steering vectors; make them with"):
        read_vectors(minisd.load("tiny").folder / "unet" / "diffusion_pytorch_model.safetensors", sd, "hat", 3)
    short = vectors.sites | {"mid.cross": vectors.sites["mid.cross"][:, 1:]}
    write_vectors(path, type(vectors)(vectors.about, short))
    with pytest.raises(UserError, match="its tensors are not those of this model's cross layers"):
        read_vectors(path, sd, "hat", 3)


def test_no_pairs_are_refused(sd):
    with pytest.raises(UserError, match=r"pairs = \[\]"):
        find_vectors(sd, "hat", [])


def test_what_it_tells(sd):
    prompt = suppress.prompt.encode(sd, LIST, ["hat", "glasses"])
    assert QUICK.remark(prompt) == "β = 2, 2 × 2 pictures are drawn first, for the vectors"
    assert parse_method("casteer:hat.safetensors").remark(prompt) == "β = 2"


@pytest.mark.parametrize("changes", [{"beta": -1}, {"pairs": 0}])
def test_bad_settings_are_named(changes):
    [(name, value)] = changes.items()
    with pytest.raises(UserError, match=f"{name} = {value!r}; expected"):
        CASteer(**changes)
    with pytest.raises(UserError, match="a prompt is a string"):
        CASteer(subjects=3)

"""UCE and RECE: the same picture as with edited weights; alignments; rounds; the form for one word; both engines."""

from dataclasses import replace

import pytest
import torch

import suppress
from minisd import UserError
from suppress.edits.counterparts import counterparts
from suppress.edits.linear import Pairs, projection_products, recover, solve
from suppress.edits.weights import with_weights
from suppress.loop import Run
from suppress.methods import parse_method
from suppress.methods.rece import RECE
from suppress.methods.uce import UCE, aligned
from suppress.methods.uce_word import UCEWord
from suppress.prompt import encode
from suppress.start.noise import from_noise

LIST, ONE = "a man with a beard wearing glasses and a hat", "a man without glasses"
JOBS = [suppress.Job(ONE, "glasses", 5, 64, 64), suppress.Job(LIST, ("glasses", "a hat"), 2, 64, 64)]


@pytest.mark.parametrize("uncond", ["mapped", "kept"])
def test_the_map_on_the_context_is_the_edit_of_the_weights(sd, uncond):
    prompt = encode(sd, LIST, "glasses")
    settings = UCE(uncond=uncond)
    run = Run(sd, [prompt], from_noise([prompt], sd.noise([0], 64, 64)), settings)
    original = run.original(0, run.start.z)
    inputs = settings.edit(run).inputs(0, original, original, None)
    t = settings.matrix(sd, ["glasses"]).float()
    names = [name for name, _ in sd.unet.named_parameters() if "attn2.to_k" in name or "attn2.to_v" in name]
    edited = with_weights(sd.unet, {name: sd.unet.get_parameter(name) @ t for name in names})
    unets = (edited if uncond == "mapped" else sd.unet), edited
    with torch.no_grad():
        for ctx, plain, unet in zip(inputs.contexts, original.contexts, unets, strict=True):
            want = unet(run.start.z, 501, plain)
            assert (sd.unet(run.start.z, 501, ctx) - want).abs().max() < 1e-3
        assert (want - sd.unet(run.start.z, 501, plain)).abs().max() > 0.02


def test_rows_of_concept_and_guide():
    assert aligned(2, 1, "last") == (slice(2, 3), slice(1, 2))
    assert aligned(2, 0, "from-last") == (slice(2, 77), slice(0, 75))  # an empty guide: the last piece becomes [SOT]
    assert aligned(1, 3, "from-last") == (slice(1, 75), slice(3, 77))


def test_pairs_of_both_versions(sd):
    def encoded(text):
        return sd.encode_text(text)[0].double()

    paper = UCE(guide="a cap, crown", preserve="a beard, a dog").pairs(sd, ["hat", "a red scarf"])
    assert torch.equal(paper.old, torch.cat([encoded("hat")[1:76], encoded("a red scarf")[3:77]]))
    assert torch.equal(paper.new, torch.cat([encoded("a cap")[2:77], encoded("crown")[1:75]]))
    assert torch.equal(paper.kept, torch.cat([encoded(text) for text in ("a beard", "a dog", "")]))
    code = UCE.official(preserve="a beard").pairs(sd, ["hat", "a red scarf"])
    assert torch.equal(code.old, torch.stack([encoded("hat")[1], encoded("a red scarf")[3]]))
    assert torch.equal(code.new, encoded("")[[0, 0]]) and torch.equal(code.kept, encoded("a beard")[2:3])
    assert UCE.official().pairs(sd, ["hat"]).kept.shape == (0, 192)


def test_how_much_preserved_texts_count():
    assert UCE().keep_scale == 1 and UCE.official().keep_scale == 1 and UCE(preserve_empty=False).keep_scale == 1
    assert UCE(preserve="a, b, c").keep_scale == 0.25 and UCE(preserve=", ".join("abcdefghijkl")).keep_scale == 0.1
    assert UCE(preserve="a", preserve_scale=3).keep_scale == 3


def test_settings_reach_the_solution(sd):
    settings = UCE(lam=2, scale=3, preserve_scale=0.4, guide="a cap")
    want = solve(settings.pairs(sd, ["hat"]), 2, 3, 0.4)
    assert torch.equal(settings.matrix(sd, ["hat"]), want)
    assert torch.equal(UCE().matrix(sd, []), torch.eye(192, dtype=torch.float64))


def test_rounds_of_rece(sd):
    """Each round erases what H makes of all rows of the concept, on top of the map so far."""
    assert torch.equal(RECE(rounds=0).matrix(sd, ["hat"]), UCE().matrix(sd, ["hat"]))
    t, s = UCE(guide="a cap").matrix(sd, ["hat", "crown"]), projection_products(sd.unet)
    c, guide, empty = (
        torch.cat([*sd.encode_text([x, y])]).double() for x, y in (("hat", "crown"), 2 * ["a cap"], "  ")
    )
    for _ in range(2):
        back = c @ recover(t, s, 0.2).T
        t = t @ solve(Pairs(back, guide, empty), 0.3, 1, 0.4)
    settings = RECE(guide="a cap", rounds=2, recover_lam=0.2, round_lam=0.3, round_preserve=0.4)
    torch.testing.assert_close(settings.matrix(sd, ["hat", "crown"]), t)
    assert torch.equal(RECE().matrix(sd, []), torch.eye(192, dtype=torch.float64))


@pytest.mark.parametrize("later", ["edited", "kept"])
def test_one_word_has_a_map_of_its_own(sd, later):
    prompt = encode(sd, LIST, "glasses")
    c = prompt.ctx[0]
    swapped = UCEWord(lam=1e-7, later=later, instead="a crown").context(sd, prompt)[0]
    new = counterparts(sd, prompt, "a crown")
    rows = [j for j in range(7, 77) if later == "edited" or j not in (8, 9, 10)]
    want = c.clone()
    want[rows] = new[rows]
    assert (swapped - want).norm(dim=-1).max() < 0.05 * c.norm(dim=-1).max()
    assert (UCEWord(lam=1e9, later=later).context(sd, prompt)[0] - c).abs().max() < 1e-4
    far, near = ((UCEWord(lam=a, later=later).context(sd, prompt)[0] - c).norm() for a in (0.1, 100))
    assert near < 0.8 * far


def test_lambda_of_the_word_form_is_in_units_of_the_rows(sd):
    prompt = encode(sd, ONE, "glasses")
    c = prompt.ctx[0].double()
    pairs = Pairs(c[4:], counterparts(sd, prompt)[4:].double(), c[:4])
    want = solve(pairs, 0.3 * c.square().sum() / 77)
    torch.testing.assert_close(UCEWord(lam=0.3).matrix(sd, prompt), want)


@pytest.mark.parametrize(
    "settings",
    [RECE(guide="person"), UCEWord(start=1)],
    ids=["rece", "word"],
)
def test_any_batch_on_both_engines_is_each_job_alone(check_batch, settings):
    check_batch(JOBS, replace(settings, steps=3, guidance=2))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"rows": "first"}, "rows = 'first'; expected one of from-last, last"),
        ({"uncond": 1}, "uncond = 1"),
        ({"preserve_empty": "yes"}, "preserve_empty = 'yes'; expected True or False"),
        ({"lam": -1}, "lam = -1"),
        ({"scale": float("nan")}, "scale = nan"),
        ({"preserve_scale": "x"}, "preserve_scale = 'x'"),
        ({"concept": 1}, "not 1"),
        ({"guide": 2}, "not 2"),
        ({"preserve": 3}, "not 3"),
        ({"rounds": 1.5}, "rounds = 1.5"),
        ({"recover_lam": -2}, "recover_lam = -2"),
        ({"round_lam": -3}, "round_lam = -3"),
        ({"round_preserve": -4}, "round_preserve = -4"),
    ],
)
def test_bad_settings_are_named(bad, message):
    with pytest.raises(UserError, match=message):
        RECE(**bad)


def test_what_cannot_be_solved(sd):
    with pytest.raises(UserError, match="guide = 'a, b' has 2 phrases for 3 concepts"):
        UCE(guide="a, b").matrix(sd, ["hat", "crown", "scarf"])
    with pytest.raises(UserError, match="λ = 0 is too small"):
        UCE.official(lam=0).matrix(sd, ["hat"])
    for bad, message in (({"lam": -1}, "lam = -1"), ({"instead": 1}, "not 1"), ({"later": 0}, "later = 0")):
        with pytest.raises(UserError, match=message):
            UCEWord(**bad)


def test_names_and_their_settings():
    assert parse_method("uce-official:guide=art") == UCE.official(guide="art")
    assert parse_method('rece:guide="a cap, a dog",rounds=3') == RECE(guide="a cap, a dog", rounds=3)
    assert parse_method("uce:rows=last,preserve_scale=none,uncond=kept") == UCE(rows="last", uncond="kept")

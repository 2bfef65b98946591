"""Concept ablation, its failing baseline, and Forget-Me-Not: the losses, written here again, and their pictures."""

from dataclasses import replace

import pytest
import torch

from minisd import Record, UserError, ddim, select
from suppress.training.concept_ablation import ConceptAblation, MaxLoss
from suppress.training.forget_me_not import ForgetMeNot
from suppress.training.objective import Training, generator

PROMPTS = ("a man [with glasses] and a hat", "a girl wearing glasses")
SHORT = {"concept": "glasses", "prompts": PROMPTS, "pictures": 3, "drawing_steps": 2, "size": 32, "batch": 2}
TARGETS = ("a man with glasses and a hat", "a girl wearing glasses")
ANCHORS = ("a man in a crown and a hat", "a girl wearing in a crown")


@pytest.fixture
def training(small):
    """Makes a training whose weights have moved, and what its iteration draws."""

    def make(objective):
        training = Training(small, objective)
        with torch.no_grad():
            for p in training.parameters.values():
                p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
        random, z0 = generator(5, 0), training.prepared["z"]
        picked, t = torch.randint(3, (2,), generator=random), torch.randint(1000, (2,), generator=random)
        eps = torch.randn(2, 4, 4, 4, generator=random)
        alpha = ddim.alpha_bar(small.config.schedule)[t].tolist()
        z = torch.stack([ddim.add_noise(z0[n], e, a) for n, e, a in zip(picked, eps, alpha, strict=True)])
        loss = objective.loss(small, training.unet, training.prepared, generator(5, 0))
        return training, [int(n) % 2 for n in picked], z, t, eps, loss

    return make


@pytest.mark.parametrize(("preserve", "frozen"), [(0, False), (0.5, True)], ids=["plain", "preserve"])
def test_concept_ablation(small, training, preserve, frozen):
    settings = ConceptAblation(**SHORT, anchor="in a crown", preserve=preserve, frozen=frozen)
    work, of, z, t, eps, loss = training(settings)
    target, anchor = (small.encode_text([texts[n] for n in of]) for texts in (TARGETS, ANCHORS))
    eps_target, eps_anchor = work.unet(z, t, target), work.unet(z, t, anchor)
    goal = small.unet(z, t, anchor) if frozen else eps_anchor.detach()
    want = (eps_target - goal).square().mean() + preserve * (eps_anchor - eps).square().mean()
    assert (loss - want).abs() < 1e-5 * want
    parameters = list(work.parameters.values())
    pairs = zip(torch.autograd.grad(loss, parameters), torch.autograd.grad(want, parameters), strict=True)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in pairs)  # no gradient through the target


def test_max_loss(small, training):
    work, of, z, t, eps, loss = training(MaxLoss(**SHORT))
    want = -(work.unet(z, t, small.encode_text([TARGETS[n] for n in of])) - eps).square().mean()
    assert (loss - want).abs() < 1e-5 * want.abs()


@pytest.mark.parametrize("eot", [True, False], ids=["eot", "words"])
def test_forget_me_not(small, training, eot):
    work, of, z, t, _, loss = training(ForgetMeNot(**SHORT, eot=eot))
    record = Record(select("cross"))
    work.unet(z, t, small.encode_text([TARGETS[n] for n in of]), tap=record)
    # "with glasses" is in brackets: both words count; without brackets, the concept alone
    rows = [([3, 4], range(8, 77)), ([4], range(5, 77))]
    squares = 0
    for p in record.maps.values():
        for b, n in enumerate(of):
            columns = [*rows[n][0], *(rows[n][1] if eot else ())]
            squares += p[b, :, :, columns].square().sum()
    assert (loss - squares.sqrt()).abs() < 1e-5 * loss
    assert any(g.abs().max() > 0 for g in torch.autograd.grad(loss, list(work.parameters.values()), allow_unused=True))


def test_the_pictures_are_the_models_own(small):
    """Picture n is of prompt n modulo their number; concept ablation draws the anchor, the others the target."""
    for objective, texts in ((ConceptAblation(**SHORT, anchor="in a crown"), ANCHORS), (ForgetMeNot(**SHORT), TARGETS)):
        z = objective.prepare(small)["z"]
        noise = torch.randn(3, 4, 4, 4, generator=generator(0, -1))
        ctx = small.encode_text([texts[0], texts[1], texts[0]])
        *_, (_, _, want) = small.sample(ctx, small.encode_text(""), noise, 2, 7.5)
        assert torch.allclose(z, want, atol=1e-5)
    many = replace(ForgetMeNot(**SHORT), pictures=9).prepare(small)["z"]  # two batches
    assert many.shape == (9, 4, 4, 4)


def test_prompts_that_do_not_fit():
    for make in (ConceptAblation, MaxLoss, ForgetMeNot):
        with pytest.raises(UserError, match="the prompt 'a man with a hat' does not name the concept 'glasses'"):
            make(concept="glasses", prompts=("a man with glasses", "a man with a hat"))
        with pytest.raises(UserError, match="does not name the concept"):
            make(concept="glasses", prompts=("a man with glasses and [a hat]",))
    with pytest.raises(UserError, match="nothing is left of a prompt without 'glasses'; give an anchor"):
        ConceptAblation(concept="glasses")
    assert ConceptAblation(concept="a grumpy cat", anchor="a cat").drawn_texts() == ["a cat"]


def test_the_noisiest_levels_alone(small):
    prepared = {"z": torch.zeros(3, 4, 4, 4)}
    for levels, least in ((1, 0), (0.1, 900), (0, 999)):
        objective = ForgetMeNot(**SHORT | {"batch": 200}, levels=levels)
        t = objective.noised(small, prepared, generator(0, 0)).t
        assert least <= t.min() <= least + 30 and t.max() >= 990

"""ESD: the loss of the first iteration equals equation 5, written here step by step, and the settings of both codes."""

from dataclasses import replace

import pytest
import torch

from minisd import ddim
from suppress.training.esd import ESD
from suppress.training.objective import Training, generator

SHORT = ESD(concept="glasses", sampling_steps=3, size=32, batch=2)


def expected_loss(sd, unet, texts, k, noise, eta, sampler):
    """The box of the docstring, for one batch whose samples have the prompts `texts`."""
    schedule = ddim.Schedule(3, sd.config.schedule)
    ctx, concept, empty = (sd.encode_text(each) for each in (texts, ["glasses"] * 2, ["", ""]))
    with torch.no_grad():
        z = noise
        for i in range(k):
            eps_empty, eps = sampler(z, schedule.t[i], empty), sampler(z, schedule.t[i], ctx)
            z = ddim.step(z, eps_empty + 3 * (eps - eps_empty), schedule.alpha[i], schedule.alpha[i + 1])
        predicted = [sd.unet(z, schedule.t[k], c) for c in (ctx, concept, empty)]
        base = torch.stack([predicted[2 if texts[b] == "glasses" else 0][b] for b in range(2)])
        target = base - eta * (predicted[1] - predicted[2])
    return (unet(z, schedule.t[k], ctx) - target).square().mean()


@pytest.mark.parametrize("own", [True, False], ids=["own", "frozen"])
@pytest.mark.parametrize("prompts", [(), ("a man", "a girl with [glasses]")], ids=["concept", "from"])
def test_the_loss_is_equation_5(small, prompts, own):
    esd = replace(SHORT, prompts=prompts, own_samples=own, eta=1.5)
    training = Training(small, esd)
    with torch.no_grad():
        for p in training.parameters.values():  # θ is no longer θ*
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    seed = next(s for s in range(100) if drawn(esd, s)[1] == 2)  # both steps before the last are taken
    texts, k, noise = drawn(esd, seed)
    sampler = training.unet if own else small.unet
    want = expected_loss(small, training.unet, texts, k, noise, 1.5, sampler)
    loss = esd.loss(small, training.unet, {}, generator(seed, 0))
    assert (loss - want).abs() < 1e-5 * want and want > 1e-4


def drawn(esd, seed):
    """What iteration 0 of a seed draws: (texts, k, noise)."""
    random, texts = generator(seed, 0), [p.replace("[", "").replace("]", "") for p in esd.prompts or ("glasses",)]
    picked = torch.randint(len(texts), (2,), generator=random)
    k = torch.randint(3, (1,), generator=random).item()
    return [texts[n] for n in picked], k, torch.randn(2, 4, 4, 4, generator=random)


def test_the_second_code_goes_as_far_from_the_concept_alone():
    """Its target ε(c) - 2 (ε(c) - ε(∅)) is ε(∅) - (ε(c) - ε(∅))."""
    alone, other = ESD.official(concept="glasses"), ESD.official(concept="glasses", prompts=("a man",))
    assert (alone.eta, other.eta) == (1, 2)
    assert (alone.iterations, alone.lr, alone.own_samples) == (200, 5e-5, False)
    assert (ESD(concept="x").iterations, ESD(concept="x").lr, ESD.u(concept="x").weights) == (1000, 1e-5, "others")


def test_the_noisiest_levels_alone(small):
    """A third of three steps: z is the noise itself, with every seed."""
    esd = replace(SHORT, levels=0.34)
    for seed in (0, 1, 2):
        noise = drawn(esd, seed)[2]
        want = expected_loss(small, small.unet, ["glasses"] * 2, 0, noise, 1, small.unet)
        assert (esd.loss(small, small.unet, {}, generator(seed, 0)) - want).abs() < 1e-5 * want

"""The losses of CLIP's stage."""

import math

import pytest
import torch
import torch.nn.functional as F

from weights.tiny.train.clip import ClipStage, augmented, contrastive, first_eot, locality, one_caption
from weights.tiny.train.randomness import generator

CPU = torch.device("cpu")


def random():
    return torch.Generator().manual_seed(0)


def vectors(*shape):
    return F.normalize(torch.randn(*shape, generator=random()), dim=-1)


def test_contrastive_is_the_cross_entropy_of_rows_and_columns():
    text, picture = vectors(2, 4, 5)
    ids = torch.arange(4)[:, None].expand(4, 77)
    logits = 7 * text @ picture.T
    i = range(4)
    rows = -sum(float(logits[k, k] - logits[k].logsumexp(0)) for k in i) / 4
    columns = -sum(float(logits[k, k] - logits[:, k].logsumexp(0)) for k in i) / 4
    assert contrastive(text, picture, ids, torch.tensor(7.0)).item() == pytest.approx((rows + columns) / 2, rel=1e-5)


def test_equal_captions_share_their_target():
    text, picture = vectors(2, 2, 5)
    same = torch.zeros(2, 77, dtype=torch.long)
    logits = text @ picture.T
    expected = -(logits.log_softmax(1).mean() + logits.log_softmax(0).mean()) / 2 * 1.0
    assert contrastive(text, picture, same, torch.tensor(1.0)).item() == pytest.approx(expected.item(), rel=1e-5)


def test_locality_counts_from_the_first_position_until_the_end():
    states = torch.ones(1, 6, 2)
    others = states.clone()
    others[0, 1], others[0, 5] = 9, 9  # before and after what counts
    first, end = torch.tensor([2]), torch.tensor([5])
    assert locality(states, others, first, end).item() == 0
    others[0, 3] = 2  # one of three positions: ‖1‖² / ‖1‖² = 1
    assert locality(states, others, first, end).item() == pytest.approx(1 / 3)
    assert locality(states, others, torch.tensor([5]), end).item() == 0  # nothing counts


def test_the_first_eot():
    assert first_eot(torch.tensor([[8, 1, 9, 9], [8, 9, 9, 9]]), eot=9).tolist() == [2, 1]


def test_one_word_of_each_caption_is_swapped(job):
    stage = ClipStage(job)
    ids = one_caption(job.drawings.__getitems__(range(16)).ids, random())
    swapped, first = stage.swap(ids, random())
    end = first_eot(ids, stage.eot)
    for row in range(16):
        [places] = (ids[row] != swapped[row]).nonzero(as_tuple=True)
        assert len(places) <= 1  # the new word may be the old one
        for place in places.tolist():
            assert 1 <= place < end[row]
            assert swapped[row, place] in stage.words
            spared = 2 if ids[row, place] in stage.adjectives else 0
            assert first[row] == place + 1 + spared
    assert (ids != swapped).any(dim=1).sum() > 8


def test_colours_are_adjectives_and_nouns_are_not(job):
    stage, tokenizer = ClipStage(job), job.drawings.tokenizer
    assert tokenizer.ids("red")[0] in stage.adjectives and tokenizer.ids("man")[0] not in stage.adjectives


def test_the_forward_pass_reads_the_first_eot(job):
    """It gives the text's vector that the judge gives, which reads no padding."""
    stage = ClipStage(job)
    ids = torch.tensor([stage.job.drawings.tokenizer.ids("a man")])
    full = torch.cat([torch.tensor([[stage.eot - 1]]), ids, torch.full((1, 74), stage.eot)], dim=1)
    x = torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        text, picture, _, _, scale = stage.model(x, full, full)
        judged = stage.model.clip.text(full[:, :4])
    assert torch.allclose(text, F.normalize(judged, dim=-1), atol=1e-6)
    assert picture.norm().item() == pytest.approx(1, rel=1e-5)
    assert scale.item() == pytest.approx(1 / 0.07, rel=1e-5)


def test_the_loss_is_the_sum_of_both(job):
    stage = ClipStage(job)
    losses = stage.losses(stage.model, job.drawings.__getitems__(range(4)), random())
    assert losses["locality"] > 0
    assert losses["loss"].item() == pytest.approx((losses["contrastive"] + losses["locality"]).item())


def test_the_scale_is_bounded(job):
    stage = ClipStage(job)
    stage.model.logit_scale.data.fill_(math.log(1000))
    ids = torch.full((1, 77), stage.eot)
    assert stage.model(torch.zeros(1, 3, 32, 32), ids, ids)[4].item() == 60


def test_first_weights_have_their_width_and_all_can_be_trained(job):
    model = ClipStage(job).model
    assert all(p.requires_grad and torch.isfinite(p).all() for p in model.parameters())
    text = model.clip.text_model
    assert text.embeddings.token_embedding.weight.std().item() == pytest.approx(0.02, rel=0.1)
    attention = text.encoder.layers[0].self_attn
    assert attention.q_proj.weight.std().item() == pytest.approx(32**-0.5, rel=0.1)
    assert attention.out_proj.weight.std().item() == pytest.approx((2 * 32) ** -0.5, rel=0.1)
    assert not attention.q_proj.bias.any()


def test_augmentation():
    x = augmented(torch.zeros(200, 3, 8, 8), random())
    assert x.mean(dim=(1, 2, 3)).std().item() == pytest.approx(0.05, rel=0.2)
    assert (x - x.mean(dim=(1, 2, 3), keepdim=True)).std().item() == pytest.approx(0.05, rel=0.1)


def test_one_caption_of_each_picture():
    ids = torch.arange(4, dtype=torch.int16)[None, :, None].expand(64, 4, 77)
    chosen = one_caption(ids, random())
    assert chosen.shape == (64, 77) and chosen.dtype == torch.int64
    assert set(chosen[:, 0].tolist()) == {0, 1, 2, 3}


def test_the_noise_of_a_step_depends_on_everything_that_it_should():
    def draw(*key):
        return torch.rand(1, generator=generator(*key, CPU)).item()

    values = [draw(0, "clip", 0, 0), draw(1, "clip", 0, 0), draw(0, "vae", 0, 0), draw(0, "clip", 1, 0)]
    values.append(draw(0, "clip", 0, 1))
    assert len(set(values)) == 5 and draw(0, "clip", 0, 0) == values[0]

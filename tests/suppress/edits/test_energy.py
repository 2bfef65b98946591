"""Energies on cross maps, and the taps that share keys and values, against forms written here."""

import pytest
import torch

from minisd import Record, compose, heat_maps, select
from suppress.edits.energy import WordMaps, above_least, descent, normalised, relaxed, top
from suppress.edits.self_attention import KeepKV, ShareKV, UseKV

ROWS = [3, 5]


@pytest.fixture(scope="module")
def shown(sd):
    """(z, ctx, maps of ROWS, all cross maps by site) of one pass with two samples at t = 501."""
    z, ctx = sd.noise([5, 6], 64, 72), sd.encode_text(["a man without glasses", "a cat with a crown"])
    words, record = WordMaps(ROWS, z), Record(select("cross"))
    with torch.no_grad():
        sd.unet(z, 501, ctx, tap=compose(words, record))
    return z, ctx, words.sum, record.maps


def test_the_maps_of_all_resolutions_are_added_up(shown):
    z, _, total, maps = shown
    assert len({p.shape[2] for p in maps.values()}) > 2
    want = len(maps) * heat_maps(maps, tuple(z.shape[-2:]))[:, ROWS]
    torch.testing.assert_close(total, want)


def test_normalised_maps_go_from_0_to_1_with_constants_for_the_gradient():
    maps = torch.tensor([[[1.0, 2.0], [3.0, 5.0]]], requires_grad=True)
    assert normalised(maps).tolist() == [[[0, 0.25], [0.5, 1]]]
    (gradient,) = torch.autograd.grad(normalised(maps).sum(), maps)
    assert torch.equal(gradient, torch.full((1, 2, 2), 0.25))
    assert torch.equal(normalised(torch.ones(1, 2, 2)), torch.zeros(1, 2, 2))


def test_the_energies_by_hand():
    maps = torch.tensor([[0.0, 0.5, 1.0, 0.2, 0.3], [1.0, 1.2, 1.4, 3.0, 2.0]])[:, None].requires_grad_()
    g = relaxed(maps, 0.8)
    torch.testing.assert_close(g, torch.tensor([0.2 * 2.0, (2.6 - 1) * 8.6]))  # m = .8 and 1 + .8 · 2
    (gradient,) = torch.autograd.grad(g.sum(), maps)
    torch.testing.assert_close(gradient[:, 0], torch.tensor([[0.2], [1.6]]).expand(2, 5))  # |1 - m|: m is a constant
    assert top(maps)[:, 0].tolist() == [[0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]
    torch.testing.assert_close(above_least(maps), torch.tensor([1 / 5, 4 / 5]))


def test_the_gradient_is_that_of_finite_differences(sd, shown):
    """g in another form: with the minimum and maximum of z fixed, it is linear in the maps of all sites."""
    z, ctx, total, _ = shown
    low, high = total.amin((-2, -1), keepdim=True), total.amax((-2, -1), keepdim=True)

    def independent(z):
        record = Record(select("cross"))
        with torch.no_grad():
            sd.unet(z, 501, ctx, tap=record)
        sums = len(record.maps) * heat_maps(record.maps, tuple(z.shape[-2:]))[:, ROWS]
        return float((0.2 * (sums - low) / (high - low)).double().sum())

    def energy(z):
        words = WordMaps(ROWS, z)
        sd.unet(z, 501, ctx, tap=words)
        return relaxed(normalised(words.sum), 0.8).sum()

    down = descent(z, energy, 1.0)
    assert not down.requires_grad and down.shape == z.shape
    h, length = 0.05, float(down.norm())
    for along in (down / length, torch.randn(z.shape, generator=torch.Generator().manual_seed(0)) / z.numel() ** 0.5):
        slope = (independent(z + h * along) - independent(z - h * along)) / (2 * h)
        assert slope == pytest.approx(-float((down * along).sum()), rel=0.05, abs=0.02 * length)
    torch.testing.assert_close(descent(z, energy, 1024.0), down, rtol=1e-3, atol=1e-4 * length)


def test_the_edited_samples_use_the_originals_keys_and_values(sd):
    attn = sd.unet.mid_block.attentions[0].transformer_blocks[0].attn1
    x = torch.randn(4, 6, attn.to_q.in_features, generator=torch.Generator().manual_seed(0))
    plain, shared = attn(x, x), attn(x, x, tap=ShareKV())
    torch.testing.assert_close(shared[:2], plain[:2])
    q, k, v = (attn.split_heads(layer(y)) for layer, y in ((attn.to_q, x[2:]), (attn.to_k, x[:2]), (attn.to_v, x[:2])))
    out = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1) @ v
    want = attn.to_out[0](out.transpose(1, 2).flatten(2))
    torch.testing.assert_close(shared[2:], want, rtol=0, atol=1e-5)
    assert (want - plain[2:]).abs().max() > 0.01
    keep = KeepKV()
    torch.testing.assert_close(attn(x[:2], x[:2], tap=keep), plain[:2])
    torch.testing.assert_close(attn(x[2:], x[2:], tap=UseKV(keep.kept)), want, rtol=0, atol=1e-5)

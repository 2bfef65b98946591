"""What taps put in place of maps, keys and values, against the formula at one site."""

import pytest
import torch
from closeness import relative_error

from minisd import (
    Record,
    Replace,
    Reweight,
    Tap,
    UserError,
    compose,
)

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def full(sd, inputs):
    """The maps of all sites in a full pass."""
    record = Record()
    sd.unet(*inputs, tap=record)
    return record.maps


@pytest.fixture(scope="module")
def cross(sd):
    """One cross attention, features x (2,64,192) and a context (2,77,192) for it."""
    g = torch.Generator().manual_seed(0)
    attn = sd.unet.mid_block.attentions[0].transformer_blocks[0].attn2
    return attn, torch.randn(2, 64, 192, generator=g), torch.randn(2, 77, 192, generator=g)


def by_hand(attn, x, k, v):
    """softmax(q k^T / √d) v, projected; k, v (B,H,L,d)."""
    q = attn.split_heads(attn.to_q(x))
    p = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)
    return out_of(attn, p @ v)


def out_of(attn, heads):
    """(B,H,N,d) -> (B,N,C), projected."""
    return attn.to_out[0](heads.transpose(1, 2).flatten(2))


# ---------------------------------------------------------------------- keys and values


class Shared(Tap):
    """Keys and values of sample 0 for all."""

    def keys_values(self, site, k, v, attn):
        return k[:1].expand_as(k), v[:1].expand_as(v)


class SharedPrompt(Shared):
    def wants(self, site):
        return site.kind == "cross"


class OwnValues(Tap):
    """Keys of the pass, values of a context of its own."""

    def __init__(self, ctx):
        self.ctx = ctx

    def keys_values(self, site, k, v, attn):
        return k, attn.split_heads(attn.to_v(self.ctx))


class Appended(Tap):
    """More keys and values, with a softmax of their own and a share of the result (as GIE has it)."""

    def __init__(self, ctx, share):
        self.ctx, self.share = ctx, share

    def keys_values(self, site, k, v, attn):
        self.n = k.shape[2]
        more = [attn.split_heads(layer(self.ctx)) for layer in (attn.to_k, attn.to_v)]
        return torch.cat([k, more[0]], dim=2), torch.cat([v, more[1]], dim=2)

    def probs(self, site, p):
        own, more = p[..., : self.n], p[..., self.n :]
        own, more = own / own.sum(-1, keepdim=True), more / more.sum(-1, keepdim=True)
        return torch.cat([(1 - self.share) * own, self.share * more], dim=-1)


class Column(Tap):
    """A column more in the maps, with a value for it, and no key."""

    def __init__(self, value, weight):
        self.value, self.weight = value, weight

    def keys_values(self, site, k, v, attn):
        return k, torch.cat([v, self.value.expand(*v.shape[:2], 1, v.shape[3])], dim=2)

    def probs(self, site, p):
        return torch.cat([p, torch.full_like(p[..., :1], self.weight)], dim=-1)


def test_explicit_attention_is_the_formula(cross):
    attn, x, ctx = cross
    k, v = attn.split_heads(attn.to_k(ctx)), attn.split_heads(attn.to_v(ctx))
    torch.testing.assert_close(attn(x, ctx, Tap()), by_hand(attn, x, k, v))
    torch.testing.assert_close(attn(x, ctx), by_hand(attn, x, k, v))


def test_keys_and_values_shared_in_the_batch(cross, sd, inputs):
    attn, x, ctx = cross
    torch.testing.assert_close(attn(x, ctx, Shared()), attn(x, ctx[:1].expand_as(ctx)))
    # sharing at the cross sites of a whole pass is having sample 0's prompt
    z, t, c = inputs
    assert relative_error(sd.unet(z, t, c, tap=SharedPrompt()), sd.unet(z, t, c[:1].expand_as(c))) < 1e-5


def test_values_of_a_context_of_ones_own(cross):
    attn, x, ctx = cross
    other = ctx.flip(1)
    k, v = attn.split_heads(attn.to_k(ctx)), attn.split_heads(attn.to_v(other))
    torch.testing.assert_close(attn(x, ctx, OwnValues(other)), by_hand(attn, x, k, v))


def test_appended_keys_renormalised_are_a_softmax_of_their_own(cross):
    attn, x, ctx = cross
    more = ctx[:, :5] * 0.5 + 1
    got = attn(x, ctx, Appended(more, share=0.25))
    bias = attn.to_out[0].bias
    expected = 0.75 * (attn(x, ctx) - bias) + 0.25 * (attn(x, more) - bias) + bias
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_a_column_may_be_inserted_with_its_value(cross):
    attn, x, ctx = cross
    value = torch.linspace(-1, 1, 24)
    got = attn(x, ctx, Column(value, 0.5))
    more = (0.5 * value).expand(2, 8, 64, 24)
    expected = attn(x, ctx) + out_of(attn, more) - attn.to_out[0].bias
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------- Replace, Reweight


def test_replacing_maps_by_their_own_changes_nothing(sd, inputs, full):
    assert relative_error(sd.unet(*inputs, tap=Replace(full)), sd.unet(*inputs)) < 1e-5


def test_replaced_maps_decide_the_attention(sd, inputs, full):
    z, t, ctx = inputs
    eps = sd.unet(z, t, ctx)
    swapped = sd.unet(z, t, ctx, tap=Replace({name: p.flip(0) for name, p in full.items()}))
    assert relative_error(swapped, eps) > 1e-2


def test_replace_reproduces_the_source_under_another_context_at_one_site(cross):
    attn, x, ctx = cross
    record = Record()
    attn(x, ctx, record)
    other = 2 * ctx
    got = attn(x, other, Replace(record.maps))
    v = attn.split_heads(attn.to_v(other))
    torch.testing.assert_close(got, out_of(attn, record.maps["mid.cross"] @ v))
    assert relative_error(got, attn(x, other)) > 1e-2


def test_a_single_map_serves_the_whole_batch(cross):
    attn, x, ctx = cross
    record = Record()
    attn(x, ctx, record)
    one = {"mid.cross": record.maps["mid.cross"][:1]}
    same = torch.cat([x[:1], x[:1]])
    torch.testing.assert_close(attn(x, ctx[:1].expand_as(ctx), Replace(one)), attn(same, ctx[:1].expand_as(ctx)))


def test_a_map_of_another_shape_cannot_replace(cross, full):
    attn, x, ctx = cross
    with pytest.raises(UserError, match=r"\(2, 8, 4, 77\) cannot replace \(2, 8, 64, 77\) at mid\.cross"):
        attn(x, ctx, Replace({"mid.cross": full["mid.cross"]}))
    with pytest.raises(UserError, match="cannot replace"):
        attn(x, ctx, Replace({"mid.cross": torch.ones(3, 8, 64, 77)}))


def test_a_column_of_weight_zero_contributes_nothing(cross):
    attn, x, ctx = cross
    weights = torch.ones(77)
    weights[5] = 0
    record = Record()
    attn(x, ctx, record)
    p, v = record.maps["mid.cross"], attn.split_heads(attn.to_v(ctx))
    without = p @ v - p[..., 5:6] @ v[:, :, 5:6]
    torch.testing.assert_close(attn(x, ctx, Reweight(weights)), out_of(attn, without))


def test_weights_may_differ_between_samples(cross):
    attn, x, ctx = cross
    weights = torch.ones(2, 77)
    weights[1] = 3
    got, plain = attn(x, ctx, Reweight(weights)), attn(x, ctx)
    bias = attn.to_out[0].bias
    torch.testing.assert_close(got[0], plain[0])
    torch.testing.assert_close(got[1] - bias, 3 * (plain[1] - bias), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(76,), (3, 77), (2, 8, 77)])
def test_weights_of_another_shape_are_refused(cross, shape):
    attn, x, ctx = cross
    with pytest.raises(UserError, match=r"expected \(77,\) or \(2,77\)"):
        attn(x, ctx, Reweight(torch.ones(shape)))


def test_reweight_leaves_self_attention_alone(sd, inputs):
    tap = Reweight(torch.ones(77))
    assert {s.kind for s in sd.unet.sites if tap.wants(s)} == {"cross"}
    assert relative_error(sd.unet(*inputs, tap=tap), sd.unet(*inputs)) < 1e-5


def test_each_composed_tap_sees_what_the_one_before_left(cross):
    attn, x, ctx = cross
    before, after = Record(), Record()
    attn(x, ctx, compose(before, Reweight(torch.full((77,), 0.5)), after))
    torch.testing.assert_close(after.maps["mid.cross"], before.maps["mid.cross"] / 2)

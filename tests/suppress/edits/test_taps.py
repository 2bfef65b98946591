"""The taps that replace keys, values or the output are compared with the plain UNet and with the formula."""

import pytest
import torch

import minisd
from minisd import Part, UserError, compose, select
from suppress.edits.taps import Against, KContext, MixMaps, Output, ShareMaps, VContext

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def other(sd):
    return sd.encode_text(["a cat wearing a crown", "a hat"])


@pytest.fixture(scope="module")
def attn(sd):
    return sd.unet.mid_block.attentions[0].transformer_blocks[0].attn2


def near(got, want):
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)


def test_keys_and_values_of_another_context_are_that_context(sd, inputs, other):
    z, t, ctx = inputs
    near(sd.unet(z, t, ctx, tap=compose(KContext(other), VContext(other))), sd.unet(z, t, other))


def test_two_outputs_of_the_same_queries(sd, inputs, other):
    z, t, ctx = inputs
    near(sd.unet(z, t, ctx, tap=Against(other, lambda own, others: others)), sd.unet(z, t, other))
    near(sd.unet(z, t, ctx, tap=Against(other, lambda own, others: own)), sd.unet(z, t, ctx))


def test_one_context_serves_all_samples(sd, inputs, other):
    z, t, ctx = inputs
    one = other[:1]
    near(sd.unet(z, t, ctx, tap=compose(KContext(one), VContext(one))), sd.unet(z, t, one.expand(2, -1, -1)))


def test_a_part_of_the_batch(sd, inputs, other):
    z, t, ctx = inputs
    tap = Part(compose(KContext(other[1:]), VContext(other[1:])), slice(1, 2))
    near(sd.unet(z, t, ctx, tap=tap), sd.unet(z, t, torch.cat([ctx[:1], other[1:]])))


@pytest.mark.parametrize("tap", [KContext, VContext])
def test_keys_and_values_each_by_themselves(attn, inputs, other, tap):
    ctx = inputs[2]
    x = torch.randn(2, 4, attn.to_q.in_features, generator=torch.Generator().manual_seed(0))
    q, k, v = (
        attn.split_heads(layer(c))
        for layer, c in (
            (attn.to_q, x),
            (attn.to_k, other if tap is KContext else ctx),
            (attn.to_v, other if tap is VContext else ctx),
        )
    )
    out = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1) @ v
    near(attn(x, ctx, tap(other)), attn.to_out[0](out.transpose(1, 2).flatten(2)))


def test_the_output_is_what_the_function_makes_of_it(sd, attn, inputs):
    ctx = inputs[2]
    x = torch.randn(2, 4, attn.to_q.in_features, generator=torch.Generator().manual_seed(0))
    seen = []

    def half(site, q, out, attn):
        seen.append((site.name, q))
        return out / 2

    bias = attn.to_out[0].bias
    near(attn(x, ctx, Output(half)) - bias, (attn(x, ctx) - bias) / 2)
    assert seen[0][0] == "mid.cross"
    assert torch.equal(seen[0][1], attn.split_heads(attn.to_q(x)))


def test_where(sd, other):
    at_all = [site for site in sd.unet.sites if KContext(other).wants(site)]
    assert at_all == [site for site in sd.unet.sites if site.kind == "cross"]
    coarse = VContext(other, where=select(scale=4))  # this predicate matches self attention too, which has no context
    assert [s for s in sd.unet.sites if coarse.wants(s)] == [s for s in at_all if s.scale == 4]


def test_half_precision(inputs, other):
    half = minisd.load("tiny", device="cpu", dtype=torch.bfloat16)
    z, t, ctx = inputs
    got, want = half.unet(z, t, ctx, tap=compose(KContext(other), VContext(other))), half.unet(z, t, other)
    assert (got - want).norm() < 0.05 * want.norm()


def test_a_context_for_other_samples_is_refused(sd, inputs, other):
    for tap in (KContext(torch.cat([other, other])), VContext(other[0])):
        with pytest.raises(UserError, match="for 2 samples; expected one context per sample, or one for all"):
            sd.unet(*inputs, tap=tap)


def test_mixed_maps_are_columns_of_both_branches():
    """P̂_k <- Σ_j P_j A_jk + o_k P̂_k, sample by sample; the original's maps stay."""
    p = torch.rand(4, 2, 3, 77)  # [original × 2, edited × 2]
    matrix, own = torch.rand(2, 77, 77), torch.rand(2, 77)
    tap = MixMaps(matrix, own)
    assert tap.wants(minisd.Site("mid.cross", "cross", "mid", 8, 2))
    assert not tap.wants(minisd.Site("mid.self", "self", "mid", 8, 2))
    got = tap.probs(None, p)
    assert torch.equal(got[:2], p[:2])
    for sample in (0, 1):
        for k in (0, 5, 76):
            want = (
                sum(matrix[sample, j, k] * p[sample, ..., j] for j in range(77))
                + own[sample, k] * p[2 + sample][..., k]
            )
            near(got[2 + sample, ..., k], want)


def test_all_columns_are_shared_where_the_predicate_says():
    tap = ShareMaps(None, select("self", scale=4))
    assert tap.wants(minisd.Site("up.1.0.self", "self", "up", 4, 2))
    assert not tap.wants(minisd.Site("up.2.0.self", "self", "up", 2, 2))
    p = torch.rand(4, 2, 3, 3)
    assert torch.equal(tap.probs(None, p), torch.cat([p[:2], p[:2]]))

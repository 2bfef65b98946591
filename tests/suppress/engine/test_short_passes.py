"""Short passes compute the same as the plain UNet: those that share a beginning, and those that end early."""

from dataclasses import replace

import pytest
import torch

import minisd
from minisd import Part, Record, Tap, UNet, UserError, select
from suppress.engine.short_passes import before_text, expand, finish, has_prefix, read_until

END_SITES = ["down.0.0.cross", "down.1.0.self", "mid.cross", "up.1.2.cross", "up.3.2.cross"]
LATENTS = torch.tensor([0, 1, 1, 0, 1])


def after_prefix(unet):
    """A tap that records all sites except the first, which is in the prefix."""
    return Record(lambda site: site.name != unet.sites[0].name)


@pytest.fixture(scope="module")
def contexts(sd):
    return sd.encode_text(["", "a cat", "a man without glasses", "a hat", "a woman with a beard"])


@pytest.mark.parametrize("t", [501, torch.tensor(501), torch.tensor([501, 21])], ids=["int", "scalar", "batch"])
def test_the_two_halves_equal_the_unet(sd, inputs, t):
    z, _, ctx = inputs
    got, want = finish(sd.unet, before_text(sd.unet, z, t), ctx), sd.unet(z, t, ctx)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("t", [501, torch.tensor([501, 21])], ids=["int", "batch"])
def test_one_prefix_for_several_contexts(sd, inputs, contexts, t):
    z = inputs[0]
    prefix = expand(before_text(sd.unet, z, t), LATENTS)
    tap, plain = after_prefix(sd.unet), after_prefix(sd.unet)
    got = finish(sd.unet, prefix, contexts, tap)
    want = sd.unet(z[LATENTS], t if isinstance(t, int) else t[LATENTS], contexts, tap=plain)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)
    assert list(tap.maps) == list(plain.maps) == [site.name for site in sd.unet.sites[1:]]
    for name, p in tap.maps.items():
        torch.testing.assert_close(p, plain.maps[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (17, 25)])
def test_odd_sizes(sd, contexts, size):
    z = torch.randn((1, 4, *size), generator=torch.Generator().manual_seed(0))
    prefix = expand(before_text(sd.unet, z, 501), torch.zeros(2, dtype=torch.long))
    want = sd.unet(z.expand(2, -1, -1, -1), 501, contexts[:2])
    torch.testing.assert_close(finish(sd.unet, prefix, contexts[:2]), want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_eps_has_the_dtype_of_the_latents(inputs, dtype):
    half = minisd.load("tiny", device="cpu", dtype=torch.bfloat16)
    z, t, ctx = inputs
    z = z.to(dtype)
    got, want = finish(half.unet, before_text(half.unet, z, t), ctx), half.unet(z, t, ctx)
    assert got.dtype == want.dtype == dtype
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", END_SITES)
def test_a_pass_ends_at_a_site_and_goes_no_further(sd, inputs, name):
    z, t, ctx = inputs
    tap, plain = after_prefix(sd.unet), after_prefix(sd.unet)
    read_until(sd.unet, before_text(sd.unet, z, t), ctx, tap, name)
    sd.unet(z, t, ctx, tap=plain)
    names = [site.name for site in sd.unet.sites]
    assert list(tap.maps) == names[1 : names.index(name) + 1]
    for site, p in tap.maps.items():
        torch.testing.assert_close(p, plain.maps[site], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in END_SITES if name.endswith("cross")])
def test_the_gradient_towards_the_context(sd, inputs, name):
    z, t, ctx = inputs
    leaves, taps = (
        [ctx.clone().requires_grad_() for _ in range(2)],
        [Record(lambda s: s.name == name) for _ in range(2)],
    )
    read_until(sd.unet, before_text(sd.unet, z, t), leaves[0], taps[0], name)
    sd.unet(z, t, leaves[1], tap=taps[1])
    for tap in taps:
        tap.maps[name][0, :, :, 5].sum().backward()
    assert leaves[1].grad[0, 5].abs().sum() > 0 and (leaves[1].grad[1] == 0).all()  # samples do not mix
    scale = float(leaves[1].grad.abs().max())
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad, rtol=0, atol=1e-5 * scale)


@pytest.mark.slow
def test_a_compiler_takes_them_whole(small):
    torch._dynamo.reset()

    def compiled(f):
        return torch.compile(f, fullgraph=True, dynamic=False, backend="eager")

    def last_map(unet, prefix, ctx):
        tap = Record(select("cross"))
        read_until(unet, prefix, ctx, tap, "mid.cross")
        return tap.maps["mid.cross"]

    def many(unet, prefix, ctx, latents):
        return finish(unet, expand(prefix, latents), ctx, Part(Record(select("cross")), slice(1, 2)))

    z, t, ctx = small.noise([0, 1], 64, 64), torch.tensor([501, 21]), small.encode_text(["a cat", "a hat"])
    prefix, record = compiled(before_text)(small.unet, z, t), Record(select("cross"))
    want = small.unet(z, t, ctx, tap=record)
    torch.testing.assert_close(compiled(finish)(small.unet, prefix, ctx), want, rtol=0, atol=1e-5)
    got = compiled(many)(small.unet, prefix, ctx, torch.tensor([0, 1]))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)
    got = compiled(last_map)(small.unet, prefix, ctx)
    torch.testing.assert_close(got, record.maps["mid.cross"], rtol=0, atol=1e-6)


# ---------------------------------------------------------------------- errors


def test_a_tap_that_wants_the_first_site_cannot_use_a_prefix(sd, inputs):
    z, t, ctx = inputs
    prefix = before_text(sd.unet, z, t)
    assert has_prefix(sd.unet, None) and has_prefix(sd.unet, Record(select("cross"))) and not has_prefix(sd.unet, Tap())
    for run in (
        lambda: finish(sd.unet, prefix, ctx, Record()),
        lambda: read_until(sd.unet, prefix, ctx, Tap(), "mid.cross"),
    ):
        with pytest.raises(UserError, match=r"wants the site down\.0\.0\.self, which is in the prefix"):
            run()


def test_a_tap_whose_sites_come_after_the_end_is_an_error(sd, inputs):
    z, t, ctx = inputs
    prefix = before_text(sd.unet, z, t)
    with pytest.raises(UserError, match=r"wants none .*; they are down\.0\.0\.cross$"):
        read_until(sd.unet, prefix, ctx, Record(select(place="up")), "down.0.0.cross")


def test_an_unknown_site_is_refused(sd, inputs):
    z, t, ctx = inputs
    with pytest.raises(UserError, match=r"no attention site 'mid'.*mid\.cross"):
        read_until(sd.unet, before_text(sd.unet, z, t), ctx, Record(select("cross")), "mid")


def test_a_prefix_must_fit_the_contexts(sd, inputs, contexts):
    with pytest.raises(UserError, match="5 contexts for a prefix of 2 latents"):
        finish(sd.unet, before_text(sd.unet, *inputs[:2]), contexts)


def test_a_unet_without_attention_in_the_first_block_has_no_prefix(sd):
    unet = UNet(replace(sd.config.unet, channels=(32, 32, 64, 64), attention=(False, True, True, False)))
    assert not has_prefix(unet, None)
    with pytest.raises(UserError, match="first block"):
        before_text(unet, torch.zeros(1, 4, 8, 8), 1)

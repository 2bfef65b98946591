"""Taps: what they see is what the UNet computes with, and what they return is what it goes on with."""

import pytest
import torch

from minisd import (
    Average,
    Controller,
    Record,
    Replace,
    Reweight,
    Tap,
    UserError,
    compose,
    heat_maps,
    select,
)


def relative_error(a, b):
    return float((a - b).norm() / b.norm())


@pytest.fixture(scope="module")
def inputs(goldens):
    """(z, t, ctx) of two samples with different prompts."""
    return goldens["unet.z"], 501, goldens["text.last_hidden"][goldens["unet.ctx_index"]]


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


# ---------------------------------------------------------------------- Record


def test_recording_changes_nothing_but_rounding(sd, inputs):
    eps = sd.unet(*inputs)
    assert relative_error(sd.unet(*inputs, tap=Record()), eps) < 1e-5


def test_recording_all_sites_in_sampling_changes_nothing_but_rounding(sd, goldens):
    uncond, ctx = goldens["text.last_hidden"][:2].split(1)
    for _, _, z in sd.sample(ctx, uncond, goldens["ddim.noise"], steps=20, tap=Record()):
        assert torch.isfinite(z).all()
    torch.testing.assert_close(z, goldens["ddim.latents"], rtol=0, atol=1e-3)


def test_maps_are_distributions_over_keys(sd, full):
    assert list(full) == [site.name for site in sd.unet.sites]
    for site in sd.unet.sites:
        n = (16 // site.scale) ** 2
        assert full[site.name].shape == (2, site.heads, n, n if site.kind == "self" else 77)
        assert (full[site.name] >= 0).all()
        rows = full[site.name].sum(dim=-1)
        torch.testing.assert_close(rows, torch.ones_like(rows))


def test_odd_latents_have_maps_of_rounded_up_halvings(sd, goldens, inputs):
    record = Record()
    sd.unet(goldens["unet.odd.z"], 501, inputs[2][:1], tap=record)
    grids = {1: 17 * 25, 2: 9 * 13, 4: 5 * 7, 8: 3 * 4}
    assert {s.scale: record.maps[s.name].shape[2] for s in sd.unet.sites} == grids


def test_where_picks_the_sites(sd, inputs):
    record = Record(select("cross", scale=4))
    sd.unet(*inputs, tap=record)
    wanted = [s.name for s in sd.unet.sites if s.kind == "cross" and s.scale == 4]
    assert list(record.maps) == wanted
    assert len(wanted) == 5
    up = Record(select(place="up"))
    sd.unet(*inputs, tap=up)
    assert {name.split(".")[0] for name in up.maps} == {"up"}


def test_every_pass_has_maps_of_its_own(sd, inputs):
    z, t, ctx = inputs
    record = Record(select("cross"))
    sd.unet(z, t, ctx, tap=record)
    first = record.maps
    kept = first["mid.cross"].clone()
    sd.unet(z, t, ctx.flip(0), tap=record, stop_after="mid.cross")
    assert torch.equal(first["mid.cross"], kept)
    assert not torch.equal(record.maps["mid.cross"], kept)
    assert "up.3.2.cross" in first
    assert "up.3.2.cross" not in record.maps  # the second pass did not come that far


def test_reading_an_empty_record_is_an_error():
    with pytest.raises(UserError, match="Record is empty"):
        _ = Record().maps
    with pytest.raises(UserError, match="Average is empty"):
        _ = Average().maps


def test_a_tap_that_wants_nothing_is_an_error(sd, inputs):
    with pytest.raises(UserError) as error:
        sd.unet(*inputs, tap=Record(select("cross", scale=16)))
    assert all(site.name in str(error.value) for site in sd.unet.sites)


def test_a_tap_that_wants_nothing_is_an_error_in_generate_too(sd):
    with pytest.raises(UserError, match="wants none"):
        sd.generate("a man", steps=1, tap=Replace({"no.such.site": torch.ones(1)}))


# ---------------------------------------------------------------------- Average


def test_average_is_the_mean_of_records_over_steps_and_heads(sd, goldens):
    uncond, ctx = goldens["text.last_hidden"][:2].split(1)
    record, average = Record(select("cross")), Average(select("cross"))
    steps = []
    for _ in sd.sample(ctx, uncond, goldens["ddim.noise"], steps=4, tap=compose(record, average)):
        steps.append(record.maps)
    assert set(average.maps) == set(steps[0])
    for name, mean in average.maps.items():
        expected = torch.stack([maps[name] for maps in steps]).mean(dim=(0, 2))  # steps and heads
        torch.testing.assert_close(mean, expected)


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


# ---------------------------------------------------------------------- keys and values


class Shared(Tap):
    """Keys and values of sample 0 for all."""

    def keys_values(self, site, k, v, attn):
        return k[:1].expand_as(k), v[:1].expand_as(v)


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
    tap = compose(Shared())
    tap.wants = select("cross")
    assert relative_error(sd.unet(z, t, c, tap=tap), sd.unet(z, t, c[:1].expand_as(c))) < 1e-5


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


# ---------------------------------------------------------------------- compose


class Log(Tap):
    def __init__(self, name, log, kind):
        self.name, self.log, self.kind = name, log, kind

    def wants(self, site):
        return site.kind == self.kind

    def keys_values(self, site, k, v, attn):
        self.log.append(f"{self.name} kv {site.kind}")
        return k, v

    def probs(self, site, p):
        self.log.append(f"{self.name} p {site.kind}")
        return p


def test_composed_taps_run_in_order_each_at_its_own_sites(sd, inputs):
    log = []
    tap = compose(Log("a", log, "cross"), Log("b", log, "cross"), Log("c", log, "self"))
    sd.unet(*inputs, tap=tap, stop_after="down.0.0.cross")
    assert log == ["c kv self", "c p self", "a kv cross", "b kv cross", "a p cross", "b p cross"]


def test_each_composed_tap_sees_what_the_one_before_left(cross):
    attn, x, ctx = cross
    before, after = Record(), Record()
    attn(x, ctx, compose(before, Reweight(torch.full((77,), 0.5)), after))
    torch.testing.assert_close(after.maps["mid.cross"], before.maps["mid.cross"] / 2)


def test_composed_taps_that_want_nothing_are_an_error(sd, inputs):
    with pytest.raises(UserError, match="wants none"):
        sd.unet(*inputs, tap=compose(Replace({}), Record(select("cross", scale=3))))


# ---------------------------------------------------------------------- stop_after

STOPS = ["down.0.0.self", "down.0.0.cross", "mid.cross", "up.3.2.cross"]


@pytest.mark.parametrize("name", STOPS)
def test_stopping_returns_nothing_and_goes_no_further(sd, inputs, full, name):
    record = Record()
    assert sd.unet(*inputs, tap=record, stop_after=name) is None
    names = [site.name for site in sd.unet.sites]
    assert list(record.maps) == names[: names.index(name) + 1]
    for site, p in record.maps.items():
        assert torch.equal(p, full[site])


def test_stop_after_takes_a_site_as_well(sd, inputs):
    record = Record()
    assert sd.unet(*inputs, tap=record, stop_after=sd.unet.site("down.1.0.self")) is None
    assert list(record.maps)[-1] == "down.1.0.self"


@pytest.mark.parametrize("name", STOPS[1:])
def test_a_gradient_flows_from_the_maps_to_the_context(sd, inputs, name):
    z, t, ctx = inputs
    ctx = ctx.clone().requires_grad_()
    record = Record(lambda site: site.name == name)
    sd.unet(z, t, ctx, tap=record, stop_after=name)
    record.maps[name][0, :, :, 5].sum().backward()
    assert ctx.grad[0, 5].abs().sum() > 0
    assert (ctx.grad[1] == 0).all()  # samples do not mix


# ---------------------------------------------------------------------- Controller


class PromptToPrompt:
    """Counts layers as the attention controllers of the Prompt-to-Prompt code do, and blends the second half."""

    def __init__(self):
        self.num_att_layers, self.cur_att_layer, self.cur_step = -1, 0, 0
        self.calls = []

    def __call__(self, attn, is_cross, place_in_unet):
        self.calls.append((tuple(attn.shape), is_cross, place_in_unet))
        h = attn.shape[0]
        if is_cross:
            attn[h // 2 :] = self.replace(attn[h // 2 :])
        self.cur_att_layer += 1
        if self.cur_att_layer == self.num_att_layers:
            self.cur_att_layer, self.cur_step = 0, self.cur_step + 1
        return attn

    def replace(self, attn):
        """Every conditional sample gets the maps of the first one."""
        one = attn.reshape(-1, 8, *attn.shape[1:])[:1]
        return one.expand(attn.shape[0] // 8, *one.shape[1:]).reshape(attn.shape)


class FirstRules(Tap):
    """The same as a tap: in each sample of the second half of the batch, the maps of the half's first."""

    def wants(self, site):
        return site.kind == "cross"

    def probs(self, site, p):
        b = p.shape[0] // 2
        return torch.cat([p[:b], p[b : b + 1].expand_as(p[b:])])


def test_controllers_of_prompt_to_prompt_run_as_they_are(sd, goldens):
    ctx = goldens["text.last_hidden"][1:3]
    uncond = goldens["text.last_hidden"][:1]
    z = sd.noise([0, 1], 128, 128)
    controller = PromptToPrompt()
    for _ in sd.sample(ctx, uncond, z, steps=2, tap=Controller(controller, sd.unet.sites)):
        pass
    assert (controller.cur_step, controller.cur_att_layer, controller.num_att_layers) == (2, 0, 32)
    for site, (shape, is_cross, place) in zip(sd.unet.sites * 2, controller.calls, strict=True):
        n = (16 // site.scale) ** 2
        assert shape == (4 * 8, n, 77 if is_cross else n)
        assert (is_cross, place) == (site.kind == "cross", site.place)


def test_a_controller_does_what_the_same_tap_does(sd, goldens, inputs):
    z, t, ctx = inputs
    four = torch.cat([goldens["text.last_hidden"][:1].expand_as(ctx), ctx])
    by_controller = sd.unet(torch.cat([z, z]), t, four, tap=Controller(PromptToPrompt(), sd.unet.sites))
    by_tap = sd.unet(torch.cat([z, z]), t, four, tap=FirstRules())
    assert relative_error(by_controller, by_tap) < 1e-5
    assert relative_error(by_tap, sd.unet(torch.cat([z, z]), t, four)) > 1e-3


def test_a_controller_may_be_a_function(sd, inputs):
    def crisp(attn, is_cross, place):  # not contiguous, as einops may leave it
        return attn.transpose(1, 2).contiguous().transpose(1, 2)

    assert relative_error(sd.unet(*inputs, tap=Controller(crisp, sd.unet.sites)), sd.unet(*inputs)) < 1e-5


# ---------------------------------------------------------------------- heat maps


def test_heat_maps_are_the_mean_over_sites_and_keep_the_sum_over_tokens(sd, inputs, full):
    maps = {name: p.mean(dim=1) for name, p in full.items() if name.endswith("cross")}
    heat = heat_maps(maps, (16, 16))
    assert heat.shape == (2, 77, 16, 16)
    torch.testing.assert_close(heat.sum(dim=1), torch.ones(2, 16, 16))
    one = heat_maps({"mid.cross": maps["mid.cross"]}, (16, 16))
    fine = heat_maps({"down.0.0.cross": maps["down.0.0.cross"]}, (16, 16))
    both = heat_maps({k: maps[k] for k in ("mid.cross", "down.0.0.cross")}, (16, 16))
    torch.testing.assert_close(both, (one + fine) / 2)
    torch.testing.assert_close(fine, maps["down.0.0.cross"].mT.unflatten(2, (16, 16)))


def test_heat_maps_take_maps_with_heads(full):
    maps = {name: p for name, p in full.items() if name.endswith("cross")}
    means = {name: p.mean(dim=1) for name, p in maps.items()}
    torch.testing.assert_close(heat_maps(maps, (16, 16)), heat_maps(means, (16, 16)))


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_heat_maps_of_odd_sizes_keep_places(scale):
    h, w = -(-17 // scale), -(-25 // scale)
    p = torch.zeros(1, h * w, 2)
    p[0, (h - 1) * w, 1] = 1  # the lower left pixel, token 1
    heat = heat_maps({"x.cross": p}, (17, 25))
    assert heat.shape == (1, 2, 17, 25)
    assert heat[0, 1, 16, 0] == heat.max() > 0
    assert heat[0, 1, 0].max() == 0
    assert heat[0, 0].max() == 0


def test_heat_maps_of_a_pass_over_odd_latents(sd, goldens, inputs):
    record = Record(select("cross"))
    sd.unet(goldens["unet.odd.z"], 501, inputs[2][:1], tap=record)
    heat = heat_maps(record.maps, (17, 25))
    torch.testing.assert_close(heat.sum(dim=1), torch.ones(1, 17, 25))


def test_maps_that_are_no_halving_of_the_size_are_an_error(full):
    with pytest.raises(UserError, match=r"map at mid\.cross has 256 pixels, no halving of a 17×25 grid"):
        heat_maps({"mid.cross": full["down.0.0.cross"]}, (17, 25))


def test_maps_that_are_not_of_the_same_tokens_are_an_error(full):
    with pytest.raises(UserError, match="cross maps"):
        heat_maps(full, (16, 16))
    with pytest.raises(UserError, match="cross maps"):
        heat_maps({}, (16, 16))

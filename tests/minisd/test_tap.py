"""Taps: what they see is what the UNet computes with, and what they return is what it goes on with."""

import pytest
import torch
from closeness import relative_error

from minisd import (
    Average,
    Controller,
    Part,
    Record,
    Replace,
    Tap,
    UserError,
    compose,
    heat_maps,
    select,
)
from minisd.taps.compose import check_reached

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def full(sd, inputs):
    """The maps of all sites in a full pass."""
    record = Record()
    sd.unet(*inputs, tap=record)
    return record.maps


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
    sd.unet(z, t, ctx.flip(0), tap=record)
    assert torch.equal(first["mid.cross"], kept)
    assert not torch.equal(record.maps["mid.cross"], kept)


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
    sd.unet(*inputs, tap=tap)
    assert log == 16 * ["c kv self", "c p self", "a kv cross", "b kv cross", "a p cross", "b p cross"]


def test_composed_taps_that_want_nothing_are_an_error(sd, inputs):
    with pytest.raises(UserError, match="wants none"):
        sd.unet(*inputs, tap=compose(Replace({}), Record(select("cross", scale=3))))


def test_an_idle_tap_is_an_error_in_a_composition_too(sd, inputs):
    with pytest.raises(UserError, match="the tap Replace wants none"):
        sd.unet(*inputs, tap=compose(Record(), Replace({})))


def test_each_tap_of_a_composition_must_reach_a_site(sd):
    """Those of the others are no excuse, however deep the tap lies."""
    idle, busy = Replace({"no.such.site": torch.ones(1)}), Record(select("cross"))
    half = Part(compose(busy, idle), slice(1))
    for tap in (idle, compose(), compose(busy, idle), compose(busy, compose(idle, busy)), compose(busy, half)):
        with pytest.raises(UserError, match="wants none of the sites that this pass reaches"):
            check_reached(tap, sd.unet.sites)
    check_reached(compose(busy, compose(Record(), busy)), sd.unet.sites)
    with pytest.raises(UserError, match=r"they are down\.0\.0\.self$"):  # the pass ends before the first cross site
        check_reached(busy, sd.unet.sites[:1])


@pytest.mark.parametrize("name", ["down.0.0.cross", "mid.cross", "up.3.2.cross"])
def test_a_gradient_flows_from_the_maps_to_the_context(sd, inputs, name):
    z, t, ctx = inputs
    ctx = ctx.clone().requires_grad_()
    record = Record(lambda site: site.name == name)
    sd.unet(z, t, ctx, tap=record)
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

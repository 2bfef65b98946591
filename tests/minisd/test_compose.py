"""Taps together, and taps for a part of the batch: who sees which samples, who runs fused, and what is refused."""

import pytest
import torch
import torch.nn.functional as F

from minisd import Average, Controller, Part, Record, Reweight, Tap, UserError, compose, select

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def four(sd):
    """(z, t, ctx) of four samples."""
    ctx = sd.encode_text(["a cat", "a man without glasses", "a hat", "a woman with a beard"])
    return sd.noise([0, 1, 2, 3], 64, 64), 501, ctx


@pytest.fixture
def fused(monkeypatch):
    """How many samples each call of the fused attention has, from now on."""
    counts = []
    plain = F.scaled_dot_product_attention

    def spy(q, k, v):
        counts.append(len(q))
        return plain(q, k, v)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    return counts


class Cross(Tap):
    def wants(self, site):
        return site.kind == "cross"


class Appended(Cross):
    """Keys and values twice, the second ones turned around."""

    def keys_values(self, site, k, v, attn):
        return torch.cat([k, k], dim=2), torch.cat([v, v.flip(2)], dim=2)


class Noted(Cross):
    """Remembers the shapes of what it gets."""

    def __init__(self):
        self.keys, self.maps, self.outputs = [], [], []

    def keys_values(self, site, k, v, attn):
        self.keys.append(tuple(k.shape))
        return k, v

    def probs(self, site, p):
        self.maps.append(tuple(p.shape))
        return p

    def output(self, site, q, out, attn):
        self.outputs.append((q.shape == out.shape, out.clone()))
        return out


class Plus(Cross):
    def __init__(self, n):
        self.n = n

    def output(self, site, q, out, attn):
        return out + self.n


class Times(Plus):
    def output(self, site, q, out, attn):
        return out * self.n


class Shared(Cross):
    """The keys of the first half of its samples for the second half."""

    def keys_values(self, site, k, v, attn):
        half = len(k) // 2
        return torch.cat([k[:half], k[:half]]), v


class Own(Cross):
    """Attends by itself: three times the formula."""

    def __init__(self):
        self.keys = []

    def attend(self, site, q, k, v, attn):
        self.keys.append(k)
        return 3 * ((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v)


def near(got, want, atol=1e-5):
    torch.testing.assert_close(got, want, rtol=0, atol=atol)


def rows(four, of):
    z, t, ctx = four
    return z[of], t, ctx[of]


# ---------------------------------------------------------------------- a part of the batch


def test_columns_appended_for_half_of_the_batch(sd, four):
    half = slice(2, None)
    eps = sd.unet(*four, tap=Part(Appended(), half))
    near(eps[half], sd.unet(*rows(four, half), tap=Appended()))
    near(eps[:2], sd.unet(*four)[:2])
    assert (eps - sd.unet(*four))[half].abs().max() > 1e-3


def test_the_other_samples_run_fused(sd, four, fused):
    noted = Noted()
    sd.unet(*four, tap=Part(noted, slice(1, 2)))
    assert fused == [4, 1, 2] * 16  # self attention; cross attention before and behind the sample
    assert {shape[0] for shape in noted.keys + noted.maps} == {1} and len(noted.maps) == 16


def test_neighbouring_parts_do_not_see_each_other(sd, four, fused):
    a, b = Noted(), Appended()
    eps = sd.unet(*four, tap=compose(Part(a, slice(2)), Part(b, slice(2, 4))))
    assert fused == [4] * 16
    assert {shape[0] for shape in a.maps} == {2} and {shape[-1] for shape in a.maps} == {77}
    near(eps[2:], sd.unet(*rows(four, slice(2, 4)), tap=b))


def test_parts_may_be_nested(sd, four):
    inner, outer = Noted(), Noted()
    sd.unet(*four, tap=Part(compose(outer, Part(inner, slice(1, None))), slice(1, None)))
    assert {shape[0] for shape in outer.maps} == {3} and {shape[0] for shape in inner.maps} == {2}
    eps = sd.unet(*four, tap=Part(Part(Appended(), slice(-1, None)), slice(1, 3)))
    near(eps[2:3], sd.unet(*rows(four, slice(2, 3)), tap=Appended()))
    near(eps[[0, 1, 3]], sd.unet(*four)[[0, 1, 3]])


def test_a_part_without_samples_changes_nothing(sd, four, fused):
    noted = Noted()
    for at in (slice(4, None), slice(3, 1)):
        near(sd.unet(*four, tap=Part(Part(noted, slice(1)), at)), sd.unet(*four))
    assert noted.maps == [] and set(fused) == {4}


def test_a_part_with_steps_is_refused():
    with pytest.raises(UserError, match=r"at = slice\(0, 4, 2\)"):
        Part(Tap(), slice(0, 4, 2))


def test_a_gradient_reaches_the_samples_of_a_part(sd, four):
    z, t, ctx = four
    ctx = ctx.clone().requires_grad_()
    record = Record(select("cross", scale=4))
    sd.unet(z, t, ctx, tap=Part(record, slice(1, 2)))
    next(iter(record.maps.values()))[..., 5].sum().backward()
    assert ctx.grad[1].abs().max() > 0 and ctx.grad[[0, 2, 3]].abs().max() == 0


# ---------------------------------------------------------------------- compositions


def test_each_output_is_what_the_tap_before_left(sd, four):
    before, after = Noted(), Noted()
    sd.unet(*four, tap=compose(before, Plus(1.0), Times(2.0), after))
    assert before.outputs[0][0] and torch.equal(after.outputs[0][1], (before.outputs[0][1] + 1) * 2)


def test_overlapping_taps_of_one_group(sd, four, fused):
    """A tap of all samples but the first, and parts inside: each changes its own slice."""
    seen = Noted()
    tap = compose(
        Part(seen, slice(1, None)), Part(Reweight(torch.full((77,), 0.5)), slice(2, 3)), Part(Plus(1.0), slice(3, 4))
    )
    eps = sd.unet(*four, tap=tap)
    assert fused == [4, 1] * 16 and {shape[0] for shape in seen.maps} == {3}
    near(eps[:2], sd.unet(*four)[:2])
    near(eps[2:3], sd.unet(*rows(four, slice(2, 3)), tap=Reweight(torch.full((77,), 0.5))))
    near(eps[3:], sd.unet(*rows(four, slice(3, 4)), tap=Plus(1.0)))


def test_a_tap_that_couples_samples_sees_them_together(sd, four):
    record = Record(select("cross"))
    tap = compose(Part(Shared(), slice(1, 3)), Part(record, slice(2, 3)))
    eps = sd.unet(*four, tap=tap)
    near(eps[1:3], sd.unet(*rows(four, slice(1, 3)), tap=Shared()))
    alone = Record(select("cross"))
    sd.unet(*rows(four, slice(1, 3)), tap=compose(Shared(), alone))
    near(record.maps["mid.cross"], alone.maps["mid.cross"][1:], atol=3e-6)


def test_columns_for_a_part_of_a_group_are_refused(sd, four):
    with pytest.raises(UserError, match=r"the tap Appended changes the shape .* for the samples 2 to 3 alone"):
        sd.unet(*four, tap=compose(Noted(), Part(Appended(), slice(2, None))))
    sd.unet(*four, tap=compose(Noted(), Appended()))  # for all of the group they are welcome
    sd.unet(*four, tap=compose(Part(Noted(), slice(2, None)), Part(Appended(), slice(2, None))))


def test_a_plain_tap_is_divided_among_the_groups(sd, four, fused):
    """It has every site compute its maps, and does not tie the samples together."""
    half = slice(2, None)
    for tap in (compose(Tap(), Part(Appended(), half)), compose(Part(Appended(), half), Part(Tap(), slice(1, 3)))):
        near(sd.unet(*four, tap=tap), sd.unet(*four, tap=Part(Appended(), half)))
    fused.clear()
    sd.unet(*four, tap=compose(Tap(), Part(Appended(), half)))
    assert fused == []


# ---------------------------------------------------------------------- a tap with an attend of its own


def test_it_gets_the_keys_that_the_others_left(sd, four):
    own = Own()
    near(sd.unet(*four, tap=compose(own, Shared())), sd.unet(*four, tap=compose(Shared(), Times(3.0))))
    assert torch.equal(own.keys[0][:2], own.keys[0][2:])


@pytest.mark.parametrize("at", [slice(None), slice(1, 3)])
def test_others_may_look_at_the_maps_and_change_the_output(sd, four, at):
    first, second = Average(select("cross")), Average(select("cross"))
    got = sd.unet(*four, tap=compose(first, Part(Own(), at), Plus(1.0)))
    near(got, sd.unet(*four, tap=compose(second, Part(Times(3.0), at), Plus(1.0))))
    for name, p in first.maps.items():
        near(p, second.maps[name])


def test_others_may_change_the_maps_of_other_samples_alone(sd, four):
    half = Reweight(torch.full((77,), 0.5))
    tap = compose(Noted(), Part(Own(), slice(1)), Part(half, slice(1, None)))
    near(sd.unet(*four, tap=tap)[1:], sd.unet(*rows(four, slice(1, None)), tap=half))
    with pytest.raises(UserError, match=r"the tap Reweight changes the maps at .*Own attends by itself"):
        sd.unet(*four, tap=compose(Own(), half))
    with pytest.raises(UserError, match="the tap Controller changes the maps"):
        sd.unet(*four, tap=compose(Own(), Controller(lambda attn, *_: attn * 1, sd.unet.sites)))


def test_two_of_them_for_the_same_samples_are_refused(sd, four):
    with pytest.raises(UserError, match=r"the taps Own and Mine both attend by themselves at down\.0\.0\.cross"):
        sd.unet(*four, tap=compose(Own(), type("Mine", (Own,), {})()))
    eps = sd.unet(*four, tap=compose(Part(Own(), slice(2)), Part(Own(), slice(2, None))))
    near(eps, sd.unet(*four, tap=Own()))
    eps = sd.unet(*four, tap=compose(Record(), Part(Own(), slice(2)), Part(Own(), slice(2, None))))  # one group
    near(eps, sd.unet(*four, tap=Own()))


def test_a_tap_of_another_library_is_refused():
    """An object that only looks like a tap has no `attend`."""
    duck = type("Duck", (), {"wants": lambda self, site: True, "probs": lambda self, site, p: p})()
    with pytest.raises(UserError, match=r"expected a minisd\.Tap"):
        compose(duck)

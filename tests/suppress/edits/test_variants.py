"""The other edits of SuppressEOT's authors: comparison with numpy, properties, and their effect on the UNet's maps."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import suppress
from minisd import Part, Record, Reweight, Site, Tap, UserError, compose
from suppress.edits.rows import attenuate, mpe, zero
from suppress.edits.spectrum import keep_top, strengthen, wnnm, zero_bottom, zero_top
from suppress.methods import parse_method
from suppress.methods.variant import VARIANTS
from suppress.prompt import encode, eot_rows

PROMPT = "a man without glasses"
TARGET, EOT = (4,), tuple(range(5, 77))


@pytest.fixture(scope="module")
def real(sd):
    """The context (77,192) of PROMPT, whose target and [EOT] are TARGET and EOT."""
    assert (suppress.find_rows(sd, PROMPT), eot_rows(sd, PROMPT)) == (TARGET, EOT)
    return sd.encode_text(PROMPT)[0]


def singular(ctx, rows):
    return torch.linalg.svdvals(ctx[list(rows)].double())


# 10 rows of 6 numbers; 7 rows or more have fewer singular values than rows
contexts = st.integers(0, 2**31).map(
    lambda seed: torch.randn(10, 6, generator=torch.Generator().manual_seed(seed)).double() * 3
)
row_sets = st.sets(st.integers(1, 9), min_size=2).map(sorted)
counts = st.integers(0, 6)


# ---------------------------------------------------------------------- against numpy, on a real context


def by_numpy(chi, rule):
    u, s, vt = np.linalg.svd(chi, full_matrices=False)
    return u @ np.diag(rule(s)) @ vt


def only(s, kept):
    return np.where(kept, s, 0)


RULES = {
    "swr": lambda s: s * np.exp(-s),
    "top-k": lambda s: only(s, np.arange(len(s)) >= 2),
    "bottom-k": lambda s: only(s, np.arange(len(s)) < 3),  # 73 - 70
    "attenuate": lambda s: 0.1 * s,
    "zero": lambda s: 0 * s,
    "strengthen": lambda s: 1.2 * np.exp(0.001 * s) * s,
}
EOT_RULES = {
    "wnnm": lambda s: np.maximum(s - 2 * np.sqrt(2) * np.sqrt(72) / s, 0),
    "rank-cut": lambda s: only(s, np.arange(len(s)) < 9),
    "zero-eot": lambda s: 0 * s,
}


@pytest.mark.parametrize("name", [*RULES, *EOT_RULES])
def test_spectrum_is_the_published_one(real, name):
    rows, rule = ([*TARGET, *EOT], RULES[name]) if name in RULES else ([*EOT], EOT_RULES[name])
    got = VARIANTS[name].edit(real, TARGET, EOT)
    want = by_numpy(real[rows].double().numpy(), rule)
    assert np.abs(got[rows].double().numpy() - want).max() <= 1e-6 * np.abs(want).max()
    others = [i for i in range(77) if i not in rows]
    assert torch.equal(got[others], real[others])


def test_zero_target_and_mean_of_padding(real):
    chi = real.double().numpy()
    mean = chi[5:].mean(axis=0)
    want = {"zero-target": chi.copy(), "mpe": chi.copy(), "mpe-zero": chi.copy()}
    want["zero-target"][4] = 0
    want["mpe"][4:] -= mean
    want["mpe-zero"][4:] -= mean
    want["mpe-zero"][4] = 0
    for name, expected in want.items():
        got = VARIANTS[name].edit(real, TARGET, EOT)
        assert np.abs(got.double().numpy() - expected).max() < 1e-6
        assert torch.equal(got[:4], real[:4])


def test_wnnm_thresholds_grow_with_the_rank(real):
    before, after = singular(real, EOT), singular(wnnm(real, EOT), EOT)
    kept = after > 1e-4
    assert kept.sum() == (before > math.sqrt(2 * math.sqrt(2) * math.sqrt(72))).sum() and 1 < kept.sum() < 20
    thresholds = (before - after)[kept]
    assert thresholds[0] > 0 and (thresholds.diff() > 0).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_keeps_shape_dtype_and_its_input(real, name):
    batch = torch.stack([real, real.flip(1)]).bfloat16()
    before = batch.clone()
    got = VARIANTS[name].edit(batch, TARGET, EOT)
    assert got.shape == batch.shape and got.dtype == torch.bfloat16 and torch.isfinite(got).all()
    assert torch.equal(batch, before) and torch.equal(got[:, :4], batch[:, :4])
    assert VARIANTS[name].about


@pytest.mark.parametrize("name", VARIANTS)
def test_samples_of_a_batch_do_not_mix(real, name):
    edit = VARIANTS[name].edit
    batch = torch.stack([real, 2 * real.flip(1)])
    for got, ctx in zip(edit(batch, TARGET, EOT), batch, strict=True):
        torch.testing.assert_close(got, edit(ctx, TARGET, EOT), rtol=0, atol=1e-5)


# ---------------------------------------------------------------------- properties


@given(contexts, row_sets)
def test_identities(ctx, rows):
    full = len(singular(ctx, rows))
    for same in (
        zero_top(ctx, rows, 0),
        zero_bottom(ctx, rows, 0),
        keep_top(ctx, rows, full),
        wnnm(ctx, rows, 0.0),
        strengthen(ctx, rows, 1.0, 0.0),
        attenuate(ctx, rows, 1.0),
    ):
        torch.testing.assert_close(same, ctx, rtol=0, atol=1e-10)


@given(contexts, row_sets)
def test_ways_to_zero(ctx, rows):
    full = len(singular(ctx, rows))
    want = ctx.clone()
    want[rows] = 0
    assert torch.equal(zero(ctx, rows), want)
    for zeroed in (
        zero_top(ctx, rows, full),
        zero_bottom(ctx, rows, full),
        keep_top(ctx, rows, 0),
        wnnm(ctx, rows, 1e9),
        strengthen(ctx, rows, 0.0),
        attenuate(ctx, rows, 0.0),
    ):
        assert torch.equal(zeroed, want)


@given(contexts, row_sets, counts)
def test_top_and_rest_add_up_and_are_orthogonal(ctx, rows, k):
    full = len(singular(ctx, rows))
    k = min(k, full)
    top, rest = keep_top(ctx, rows, k)[rows], zero_top(ctx, rows, k)[rows]
    torch.testing.assert_close(top + rest, ctx[rows], rtol=0, atol=1e-10)
    assert abs((top * rest).sum()) < 1e-8
    assert torch.equal(zero_bottom(ctx, rows, full - k)[rows], top)
    assert torch.linalg.matrix_rank(top, atol=1e-9) == k


@given(contexts, row_sets, st.floats(0, 20), st.floats(0, 20))
def test_wnnm_shrinks_large_values_less_and_more_with_c(ctx, rows, a, b):
    before = singular(ctx, rows)
    low, high = (singular(wnnm(ctx, rows, c), rows) for c in sorted((a, b)))
    assert (high <= low + 1e-9).all() and (low <= before + 1e-9).all()
    kept = low > 1e-9
    assert ((before - low)[kept].diff() >= -1e-9).all()
    # σ - C√n / σ = (σ² - C√n) / σ
    left = (before**2 - min(a, b) * math.sqrt(len(rows))) / before
    torch.testing.assert_close(low, left.clamp(min=0), rtol=0, atol=1e-6)


@given(contexts, row_sets, st.floats(1, 3), st.floats(0, 0.1))
def test_strengthen_multiplies_each_value_and_the_largest_most(ctx, rows, beta, alpha):
    before, after = singular(ctx, rows), singular(strengthen(ctx, rows, beta, alpha), rows)
    ratios = after / before
    assert after.norm() >= before.norm() - 1e-9
    assert (ratios.diff() <= 1e-7).all() and (ratios >= beta - 1e-7).all()


@given(contexts, row_sets)
def test_mpe_leaves_no_mean_and_ignores_an_equal_shift_of_all_rows(ctx, rows):
    target, eot = rows[:1], rows[1:]
    got = mpe(ctx, target, eot)
    assert got[eot].mean(dim=0).abs().max() < 1e-10
    shifted = ctx + torch.arange(6)
    torch.testing.assert_close(mpe(shifted, target, eot)[rows], got[rows], rtol=0, atol=1e-10)
    both = mpe(ctx, target, eot, zero_target=True)
    assert both[target].abs().max() == 0 and torch.equal(both[eot], got[eot])


@given(contexts, row_sets)
def test_other_rows_stay(ctx, rows):
    others = [i for i in range(10) if i not in rows]
    for name in VARIANTS.keys() - {"bottom-k", "rank-cut"}:  # their K is larger than the number of rows here
        got = VARIANTS[name].edit(ctx, rows[:1], rows[1:])
        assert torch.equal(got[others], ctx[others]), name


# ---------------------------------------------------------------------- the maps


@pytest.fixture(scope="module")
def branches(sd):
    """(z, t, ctx) of the batch [∅, ∅, c, c] of two branches with one seed. The last sample is the edited one."""
    z = sd.noise([3], 128, 128).expand(4, -1, -1, -1)
    return z, 701, sd.encode_text(["", "", PROMPT, PROMPT])


EDITED = slice(3, None)


def zero_map(target, at):
    """The tap of attn2zero for the samples `at`."""
    weights = torch.ones(77)
    weights[list(target)] = 0
    return Part(Reweight(weights), at)


class Shake(Tap):
    """Changes the values of the target's rows in the edited sample."""

    def wants(self, site):
        return site.kind == "cross"

    def keys_values(self, site, k, v, attn):
        v = v.clone()
        v[3, :, list(TARGET)] += 5
        return k, v


@torch.no_grad()
def test_zeroed_columns_carry_nothing_into_the_edited_sample(sd, branches):
    plain = sd.unet(*branches, tap=Shake())
    zeroed = sd.unet(*branches, tap=zero_map(TARGET, EDITED))
    shaken = sd.unet(*branches, tap=compose(Shake(), zero_map(TARGET, EDITED)))
    assert torch.equal(shaken[3], zeroed[3])
    assert not torch.allclose(plain[3], zeroed[3], atol=1e-3)


@torch.no_grad()
def test_other_samples_do_not_notice(sd, branches):
    before, after = Record(), Record()
    eps = sd.unet(*branches, tap=before)
    zeroed = sd.unet(*branches, tap=compose(zero_map(TARGET, EDITED), after))
    assert torch.equal(zeroed[:3], eps[:3]) and not torch.allclose(zeroed[3], eps[3], atol=1e-4)
    for site in sd.unet.sites:
        assert torch.equal(after.maps[site.name][:3], before.maps[site.name][:3])
        if site.kind == "cross":
            assert after.maps[site.name][3, ..., 4].abs().max() == 0
    first_site = next(site.name for site in sd.unet.sites if site.kind == "cross")
    others = [i for i in range(77) if i not in TARGET]  # nothing is renormalised
    assert torch.equal(after.maps[first_site][3][..., others], before.maps[first_site][3][..., others])


@torch.no_grad()
def test_zero_map_in_sampling_is_for_the_conditional_half(sd):
    ctx, uncond = sd.encode_text([PROMPT, "a woman with glasses"]), sd.encode_text("")
    z, seen = sd.noise([0, 1], 128, 128), Record()
    tap = compose(zero_map(TARGET, slice(2, None)), seen)
    assert [torch.isfinite(z).all() for *_, z in sd.sample(ctx, uncond, z, steps=2, tap=tap)] == [True, True]
    columns = [p[..., 4].amax(dim=(1, 2)) for name, p in seen.maps.items() if "cross" in name]
    assert all((c[:2] > 0).all() and (c[2:] == 0).all() for c in columns)


def test_zero_map_lets_the_gradient_of_the_rest_through():
    p = torch.rand(2, 1, 3, 77, requires_grad=True)
    site = Site("mid.0.cross", "cross", "mid", 4, 1)
    torch.cat([p[:1], zero_map(TARGET, slice(1, None)).tap.probs(site, p[1:])]).sum().backward()
    want = torch.ones_like(p)
    want[1, ..., 4] = 0
    assert torch.equal(p.grad, want)


# ---------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize("rows", [[], [10], [-1]])
@pytest.mark.parametrize("edit", [zero, zero_top, zero_bottom, keep_top, attenuate, wnnm, strengthen])
def test_bad_rows(edit, rows):
    with pytest.raises(UserError, match=r"rows .*0 to 9"):
        edit(torch.randn(10, 6), rows)


@pytest.mark.parametrize("target, eot", [([1], []), ([1], [10]), ([-1], [1])])
def test_bad_rows_of_mpe(target, eot):
    with pytest.raises(UserError, match="rows"):
        mpe(torch.randn(10, 6), target, eot)


@pytest.mark.parametrize("k", [-1, 4, 1.0, True, "2"])
@pytest.mark.parametrize("edit", [zero_top, zero_bottom, keep_top])
def test_bad_rank(edit, k):
    with pytest.raises(UserError, match=r"K = .* have 3 singular values.*0 to 3"):
        edit(torch.randn(10, 6), [1, 2, 3], k)


def test_bottom_70_of_a_long_prompt_says_how_many_values_there_are(sd):
    prompt = encode(sd, "a man with a beard wearing glasses and a hat in a blue shirt", ["hat"])
    with pytest.raises(UserError, match=r"K = 70; these rows have 63 singular values.*; bottom-k:value=… sets another"):
        parse_method("bottom-k").context(prompt)
    assert torch.linalg.matrix_rank(parse_method("bottom-k:value=60").context(prompt)[0, [10, *prompt.eot]]) == 3


@pytest.mark.parametrize("value", [-0.5, math.nan, math.inf, "1"])
@pytest.mark.parametrize(
    "edit, name", [(attenuate, "factor"), (wnnm, "c"), (strengthen, "beta"), (strengthen, "alpha")]
)
def test_bad_numbers(edit, name, value):
    with pytest.raises(UserError, match=f"{name} = "):
        edit(torch.randn(10, 6), [1, 2], **{name: value})


def test_overflow_is_told():
    ctx = torch.full((10, 6), 9.0).half()
    with pytest.raises(UserError, match=r"alpha = 1.*float16"):
        strengthen(ctx, [1, 2], alpha=1)
    with pytest.raises(UserError, match=r"factor = 10000.*float16"):
        attenuate(ctx, [1, 2], factor=10000)

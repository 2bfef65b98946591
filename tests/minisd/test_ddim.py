"""The noise schedule and the DDIM step: numbers computed by hand, and properties for all numbers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minisd import ScheduleConfig, UserError, ddim

pytestmark = pytest.mark.quick

SD = ScheduleConfig()
alphas = st.floats(0.004, 1.0)  # ᾱ falls from 0.9992 to 0.0047
values = st.lists(st.floats(-10, 10), min_size=3, max_size=3).map(lambda v: torch.tensor(v, dtype=torch.float64))


# ---------------------------------------------------------------------- schedule


def test_alpha_bar_by_hand():
    a = ddim.alpha_bar(SD)
    assert a.shape == (1000,)
    assert a.dtype == torch.float64
    low, high = math.sqrt(0.00085), math.sqrt(0.012)
    beta = [(low + (high - low) * k / 999) ** 2 for k in range(1000)]
    assert a[0].item() == pytest.approx(1 - 0.00085, rel=1e-12)
    assert a[1].item() == pytest.approx((1 - beta[0]) * (1 - beta[1]), rel=1e-12)
    assert a[999].item() == pytest.approx(math.exp(sum(math.log1p(-b) for b in beta)), rel=1e-9)
    assert a[999].item() == pytest.approx(0.00466, abs=1e-5)  # the published schedule's last value
    assert (a.diff() < 0).all()


def test_timesteps_of_fifty_steps():
    assert ddim.timesteps(50, SD) == list(range(981, 0, -20))


def test_timesteps_are_those_of_diffusers(goldens):
    assert ddim.timesteps(20, SD) == goldens["ddim.timesteps"].tolist()


def test_the_fewest_and_the_most_steps():
    assert ddim.timesteps(1, SD) == [1]
    assert ddim.timesteps(3, SD) == [667, 334, 1]
    assert ddim.timesteps(999, SD) == list(range(999, 0, -1))
    assert ddim.timesteps(1000, ScheduleConfig(offset=0)) == list(range(999, -1, -1))


@pytest.mark.parametrize("steps", [0, -1, 1000, 2.5, 50.0, True, "50", None, math.nan])
def test_no_other_number_of_steps(steps):
    with pytest.raises(UserError, match=r"steps = .*expected a whole number from 1 to 999"):
        ddim.timesteps(steps, SD)


def test_steps_may_be_numpys():
    t = ddim.timesteps(np.int64(50), SD)
    assert t == ddim.timesteps(50, SD)
    assert {type(k) for k in t} == {int}


@given(st.integers(1, 999))
def test_a_schedule_falls_from_noise_to_picture(steps):
    schedule = ddim.Schedule(steps, SD)
    assert len(schedule) == len(schedule.t) == steps
    assert len(schedule.alpha) == steps + 1
    table = ddim.alpha_bar(SD).tolist()
    assert schedule.alpha[:-1] == [table[t] for t in schedule.t]
    assert all(a < b for a, b in zip(schedule.alpha, schedule.alpha[1:], strict=False))
    assert schedule.alpha[-1] == table[0]  # not 1: SD's set_alpha_to_one is false


def test_the_last_alpha_may_be_one():
    schedule = ddim.Schedule(50, ScheduleConfig(final_alpha_one=True))
    assert schedule.alpha[-1] == 1
    z, eps = torch.randn(2, 4, dtype=torch.float64)
    z0 = ddim.step(z, eps, schedule.alpha[-2], 1.0)  # a step to ᾱ = 1 leaves no noise
    torch.testing.assert_close(ddim.add_noise(z0, eps, schedule.alpha[-2]), z)


def test_with_a_stride_of_one_the_last_step_goes_to_timestep_zero():
    table = ddim.alpha_bar(SD).tolist()
    assert ddim.Schedule(999, ScheduleConfig(final_alpha_one=True)).alpha[-1] == table[0]
    assert ddim.Schedule(1000, ScheduleConfig(offset=0, final_alpha_one=True)).alpha[-2:] == [table[0], 1.0]


# ---------------------------------------------------------------------- steps


@given(values, values, alphas, alphas)
def test_an_inverse_step_undoes_a_step(z, eps, alpha_t, alpha_prev):
    there = ddim.step(z, eps, alpha_t, alpha_prev)
    back = ddim.inverse_step(there, eps, alpha_prev, alpha_t)
    torch.testing.assert_close(back, z, rtol=1e-9, atol=1e-9)


@given(values, values, alphas, alphas)
def test_a_step_with_the_true_noise_stays_on_the_picture(z0, eps, alpha_t, alpha_prev):
    z = ddim.add_noise(z0, eps, alpha_t)
    there = ddim.step(z, eps, alpha_t, alpha_prev)
    torch.testing.assert_close(there, ddim.add_noise(z0, eps, alpha_prev), rtol=1e-9, atol=1e-9)


def test_a_step_by_hand():
    z, eps = torch.tensor([2.0]), torch.tensor([0.5])
    # ᾱ .25 -> .64: z0 = (2 - √.75 / 2) / .5 = 3.1340, z = .8 z0 + .6 / 2
    assert ddim.step(z, eps, 0.25, 0.64).item() == pytest.approx(0.8 * 3.1339746 + 0.3, rel=1e-6)
    assert ddim.add_noise(z, eps, 0.64).item() == pytest.approx(1.6 + 0.3, rel=1e-6)


@given(values, values)
def test_noise_of_no_strength_is_none(z0, eps):
    torch.testing.assert_close(ddim.add_noise(z0, eps, 1.0), z0)

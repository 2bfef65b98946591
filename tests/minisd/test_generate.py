"""`generate`: one image per seed, sizes, pictures to start from, and settings that are refused."""

import math

import numpy as np
import pytest
import torch
from closeness import levels_apart, psnr

from minisd import UserError
from minisd.base.arguments import check_settings, pair
from minisd.picture import to_pil

MAN = "a man without glasses"


@pytest.fixture(scope="module")
def man(sd):
    """A picture of seed 0, with enough steps for a clear picture."""
    return sd.generate(MAN, steps=10)[0]


# ---------------------------------------------------------------------- seeds, batches, pairs


def test_one_seed_is_one_image(sd):
    a, b, c = (sd.generate(MAN, seed=seed, steps=2)[0] for seed in (7, 7, 8))
    assert levels_apart(a, b) == 0
    assert levels_apart(a, c) > 20


def test_with_many_seeds_each_image_is_that_of_its_seed_alone(sd):
    uncond, ctx = sd.encode_text("").expand(3, -1, -1), sd.encode_text([MAN, "a woman", "a hat"])
    noise = sd.noise([3, 1, 4], 128, 128)
    *_, (_, _, together) = sd.sample(ctx, uncond, noise, steps=5)
    for k, seed in enumerate((3, 1, 4)):
        *_, (_, _, z) = sd.sample(ctx[k : k + 1], uncond[:1], sd.noise([seed], 128, 128), steps=5)
        torch.testing.assert_close(together[k : k + 1], z, rtol=0, atol=1e-3)
        assert levels_apart(*to_pil(sd.decode(torch.cat([together[k : k + 1], z])))) <= 1


def test_the_batch_size_changes_no_picture(sd):
    seeds = [0, 1, 2, 3, 4]
    at_once = sd.generate(MAN, seeds, steps=3, batch_size=8)
    in_twos = sd.generate(MAN, seeds, steps=3, batch_size=2)
    assert len(at_once) == len(in_twos) == 5
    for a, b in zip(at_once, in_twos, strict=True):
        assert levels_apart(a, b) <= 1
    assert levels_apart(at_once[0], at_once[1]) > 20


def test_prompts_and_seeds_are_paired(sd):
    assert pair("a", 5) == (["a"], [5])
    assert pair("a", [5, 6]) == (["a", "a"], [5, 6])
    assert pair(["a", "b"], 5) == (["a", "b"], [5, 5])
    assert pair(("a", "b"), range(2)) == (["a", "b"], [0, 1])
    [a, b] = sd.generate(["a man", "a woman"], [1, 2], steps=2)
    assert levels_apart(b, sd.generate("a woman", 2, steps=2)[0]) <= 1
    assert levels_apart(a, b) > 20


@pytest.mark.parametrize(("prompt", "seed"), [(["a", "b"], [1, 2, 3]), ([], 1), ("a", []), ([], []), ([], [1, 2])])
def test_prompts_and_seeds_that_make_no_pairs_are_refused(prompt, seed):
    with pytest.raises(UserError, match=r"\d prompts and \d seeds; expected the same number of both"):
        pair(prompt, seed)


def test_numpys_seeds_are_seeds():
    prompts, seeds = pair("a", np.random.default_rng(0).integers(2**63, size=3))
    assert prompts == ["a"] * 3
    assert {type(s) for s in seeds} == {int}
    assert pair("a", np.int64(5)) == pair("a", np.array([5])) == (["a"], [5])


@pytest.mark.parametrize("seed", [True, 1.0, -1, 2**64, "1", None, np.float64(1), np.array(1.5), [1, False]])
def test_other_seeds_are_refused(sd, seed):
    with pytest.raises(UserError, match=r"seed .*expected a whole number from 0"):
        sd.generate("a man", seed, steps=1)


@pytest.mark.parametrize("seed", [11, 2**63, 2**64 - 1, 17982163893102248868])
def test_noise_is_the_documented_one(sd, seed):
    assert pair("a", seed) == (["a"], [seed])
    g = torch.Generator().manual_seed(seed)
    assert torch.equal(sd.noise([3, seed], 136, 200)[1:], torch.randn((1, 4, 17, 25), generator=g))


def test_of_a_seed_the_lower_32_bits_are_read(sd):
    """This is PyTorch's behaviour. `noise` documents it, since two seeds of 64 bits may give the same picture."""
    assert torch.equal(*sd.noise([5, 5 + 2**32], 64, 64))
    assert not torch.equal(*sd.noise([5, 6], 64, 64))


def test_any_seed_of_other_programs_is_told(sd):
    with pytest.raises(UserError, match=r"seed -1; .*take -1 for any seed, here leave the seed out or choose one"):
        sd.generate("a man", -1)


# ---------------------------------------------------------------------- sizes


def test_sizes_with_odd_latents(sd):
    [picture] = sd.generate(MAN, steps=2, height=136, width=200)
    assert picture.size == (200, 136)
    assert np.asarray(picture).std() > 10
    assert sd.generate(MAN, steps=1, height=8, width=136)[0].size == (136, 8)


def test_one_side_may_be_left_to_the_model(sd):
    assert sd.generate(MAN, steps=1, height=64)[0].size == (128, 64)


@pytest.mark.parametrize(
    ("height", "width", "near"),
    [(130, 128, "128×128"), (128, 134, "136×128"), (0, 128, "128×8"), (128, -8, "8×128"), (3, 3, "8×8")],
)
def test_sizes_that_are_no_multiples_of_eight_are_refused_with_the_nearest(sd, height, width, near):
    with pytest.raises(UserError, match=f"multiples of 8, e\\.g\\. {near}$"):
        sd.generate("a man", height=height, width=width)


@pytest.mark.parametrize("side", [8200, 2**31, 2**63, 10**30])
def test_sizes_beyond_any_memory_are_refused_at_once(sd, side):
    with pytest.raises(UserError, match=rf"size 128×{side} .*at most 8192"):
        sd.generate("a man", height=side)


@pytest.mark.parametrize("side", [128.0, "128", True])
def test_sizes_that_are_no_whole_numbers_are_refused(sd, side):
    with pytest.raises(UserError, match="whole numbers"):
        sd.generate("a man", height=side)


# ---------------------------------------------------------------------- img2img


def test_a_small_strength_keeps_the_picture_and_one_does_not(sd, man):
    little = sd.generate(MAN, seed=1, steps=20, image=man, strength=0.05)[0]
    much = sd.generate(MAN, seed=1, steps=5, image=man, strength=1)[0]
    assert psnr(little, man) > 30
    assert psnr(much, man) < 15


def test_strength_is_the_share_of_the_steps(sd, man):
    totals = []

    def progress(steps, total):
        totals.append(total)
        return steps

    for strength in (0.01, 0.3, 0.5, 1):
        sd.generate(MAN, steps=6, image=man, strength=strength, progress=progress)
    assert totals == [1, 2, 3, 6]


def test_a_picture_of_another_size_is_fitted(sd, man):
    big = man.resize((500, 250))
    [picture] = sd.generate(MAN, seed=1, steps=20, image=big, strength=0.05, height=128, width=128)
    assert picture.size == (128, 128)
    assert psnr(picture, big.crop((125, 0, 375, 250)).resize((128, 128))) > 20
    [as_it_is] = sd.generate(MAN, steps=2, image=man.resize((200, 136)))
    assert as_it_is.size == (200, 136)


def test_a_picture_of_a_size_that_does_not_fit_is_refused_with_the_nearest(sd, man):
    with pytest.raises(UserError, match=r"size 300×201 .*e\.g\. 304×200"):
        sd.generate(MAN, image=man.resize((300, 201)))


@pytest.mark.parametrize("image", ["x.png", np.zeros((128, 128, 3)), torch.zeros(1, 3, 128, 128)], ids=type)
def test_a_start_that_is_no_picture_is_refused(sd, image):
    with pytest.raises(UserError, match=r"image = .*expected a PIL picture"):
        sd.generate(MAN, image=image)


@pytest.mark.parametrize("strength", [0, -0.1, 1.01, math.nan, "0.5", True])
def test_strength_out_of_range_is_refused(sd, man, strength):
    with pytest.raises(UserError, match=r"strength = .*above 0, at most 1"):
        sd.generate(MAN, image=man, strength=strength)


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("guidance", math.nan),
        ("guidance", math.inf),
        ("guidance", "7.5"),
        ("guidance", None),
        ("guidance", True),
        ("steps", 0),
        ("steps", 1000),
        ("steps", 2.5),
        ("steps", True),
        ("batch_size", 0),
        ("batch_size", 1.5),
        ("batch_size", True),
    ],
)
def test_settings_that_nothing_can_be_drawn_with_are_refused(sd, name, value):
    with pytest.raises(UserError, match=f"{name} = .*; expected a"):
        sd.generate("a man", **{name: value})


def test_numpys_numbers_are_settings(sd):
    check_settings(steps=np.int32(5), guidance=np.float32(7.5), strength=np.float64(1), batch_size=np.uint8(1))
    a = sd.generate("a man", np.int64(3), np.int64(2), np.float32(7.5), height=np.int64(64))[0]
    assert levels_apart(a, sd.generate("a man", 3, 2, 7.5, height=64)[0]) == 0

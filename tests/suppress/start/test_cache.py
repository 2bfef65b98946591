"""Inversions on disk: what is found again, and what is not."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import minisd
import suppress
from minisd import ddim
from suppress.start.cache import Cache, checksum
from suppress.start.inversion import Source

PROMPT = "a man with a beard wearing glasses and a hat"
SIZE = {"height": 64, "width": 64}
SWR = suppress.SuppressEOT(steps=3, start=1, iterations=0)


def entries(folder):
    return sorted(Path(folder).glob("*.safetensors"))


def same(a, b):
    unconds = zip(*([start.uncond(i) for i in range(3)] for start in (a, b)), strict=True)
    pivots = zip(a.pivots, b.pivots, strict=True)
    return all(torch.equal(x, y) for x, y in (*pivots, *unconds)) and (a.pinned, a.begin) == (b.pinned, b.begin)


# ---------------------------------------------------------------------- what is found again


@pytest.mark.parametrize("how", [*sorted({*suppress.INVERSIONS} - {"null-text"}), "null-text:iterations=1"])
def test_the_second_inversion_costs_no_pass_and_is_the_same(invert, tmp_path, how):
    first, passes = invert(how)
    second, none = invert(how)
    assert (passes > 0 or how == "noised") and none == 0
    assert torch.equal(first.z, second.z) and same(first, second)
    assert (first.around is None) == (second.around is None)
    assert len(entries(tmp_path)) == (how != "noised")  # which has nothing that is worth keeping


def test_a_second_target_costs_no_inversion(sd, engine, photos, tmp_path):
    def run(target, **more):
        given = {"image": photos[0], "inversion": "null-text:iterations=1"} | SIZE | more
        return suppress.run(sd, PROMPT, target, settings=SWR, **given)

    hat = run("hat", cache=tmp_path, engine=engine)
    passes = engine.inverted
    assert passes == 3 * 4
    glasses = run("glasses", cache=tmp_path, engine=engine)
    assert engine.inverted == passes
    assert torch.equal(hat.original_latents, glasses.original_latents)
    assert not torch.equal(hat.latents, glasses.latents)
    uncached = run("glasses")
    assert (uncached.latents - glasses.latents).abs().max() < 1e-3


def test_a_proximal_edit_is_found_again(sd, photos, tmp_path):
    found = [
        suppress.run(sd, PROMPT, "hat", settings=SWR, image=photos[0], inversion="proximal", cache=cache, **SIZE)
        for cache in (tmp_path, tmp_path, None)
    ]
    assert torch.equal(found[0].latents, found[1].latents)
    assert (found[0].latents - found[2].latents).abs().max() < 1e-4


def test_inversions_that_find_the_same_share_an_entry(invert, tmp_path):
    assert invert("direct")[1] == 3
    for how in ("ddim", "negative-prompt", "proximal:quantile=0.5", "proximal:form=l1", "direct:repeats=0"):
        assert invert(how, guidance=3.0)[1] == 0
    assert len(entries(tmp_path)) == 1


def other_picture(photo):
    photo = photo.copy()
    photo.putpixel((5, 5), (255 - photo.getpixel((5, 5))[0], 0, 0))
    return photo


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": PROMPT + " "},
        {"prompt": "a man"},
        {"how": "direct:repeats=1"},
        {"how": "ddim:guidance=1.5"},
        {"how": "null-text:iterations=0"},
        {"steps": 4},
        {"image": other_picture},
        {"image": lambda photo: photo.rotate(90)},
        {"height": 72},
    ],
)
def test_whatever_it_depends_on_makes_another_entry(sd, photos, invert, tmp_path, change):
    invert()
    if "image" in change:
        change = {"image": change["image"](photos[0])}
    passes = invert(**change)[1]
    if change == {"prompt": PROMPT + " "}:  # the tokenizer drops the space
        assert passes == 0
    else:
        assert passes > 0 and len(entries(tmp_path)) == 2


def test_the_key_depends_on_all_that_an_inversion_reads(sd, photos):
    def key(recipe="direct", picture=photos[0], **changes):
        ctx, uncond = sd.encode_text([PROMPT, ""]).split(1)
        source = Source(sd, torch.zeros(1, 4, 8, 8), ctx, uncond, ddim.Schedule(5, sd.config.schedule), 7.5)
        return Cache()._key(recipe, replace(source, **changes), picture)

    other = ddim.Schedule(5, replace(sd.config.schedule, beta_end=0.013))
    more, shifted = ddim.Schedule(6, sd.config.schedule), ddim.Schedule(5, sd.config.schedule)
    shifted.t = [t + 1 for t in shifted.t]
    keys = [
        key(),
        key("ddim"),
        key(picture=other_picture(photos[0])),
        key(ctx=sd.encode_text("a man")),
        key(uncond=sd.encode_text("a man")),
        key(schedule=other),
        key(schedule=more),
        key(schedule=shifted),
        key(picture=Image.new("RGB", (8, 16))),
        key(picture=Image.new("RGB", (16, 8))),
    ]
    assert len(set(keys)) == len(keys)
    # engine, progress, and the guidance, which is in the recipe if it is read, do not count
    assert key() == keys[0] == key(guidance=3.0, engine=suppress.Reference(sd), progress=iter)


def test_null_text_depends_on_the_guidance_and_on_all_its_settings(invert):
    assert invert("null-text:iterations=1")[1] > 0
    assert invert("null-text:iterations=1")[1] == 0
    assert invert("null-text:iterations=1", guidance=3.0)[1] > 0
    assert invert("null-text:iterations=1,rate=0.02")[1] > 0


def test_other_weights_and_another_dtype_make_another_entry(photos, invert):
    def passes(model):
        return invert(model=model)[1]

    model = minisd.load("tiny", device="cpu")
    assert passes(model) == 3 and passes(model) == 0
    cache = Cache()
    assert torch.equal(cache._checksum(model.unet), checksum(model.unet))
    for weight in (model.unet.conv_out.bias, model.vae.quant_conv.weight):
        with torch.no_grad():
            weight.view(-1)[0] += 1e-3
        assert passes(model) == 3 and passes(model) == 0
    assert torch.equal(cache._checksum(model.unet), checksum(model.unet))  # it saw the change
    assert passes(minisd.load("tiny", device="cpu", dtype=torch.bfloat16)) == 3


def test_the_checksum_sees_each_weight_its_place_and_its_name():
    def of(*weights, names="ab"):
        module = torch.nn.Module()
        for name, weight in zip(names, weights, strict=True):
            module.register_buffer(name, torch.tensor(weight))
        return checksum(module).tolist()

    base = [1.0, 2.0, 3.0, 4.0]
    sums = [
        of(base, [5.0]),
        of([2.0, 1.0, 3.0, 4.0], [5.0]),
        of([1.0, 2.0, 3.0, 4.0000005], [5.0]),
        of([-1.0, 2.0, 3.0, 4.0], [5.0]),
        of(base, [5.0], names="ac"),
        of([base], [5.0]),
        of([1.0, 2.0, 3.0], [4.0]),
    ]
    assert len({tuple(s) for s in sums}) == len(sums)
    assert of(base, [5.0]) == sums[0]
    assert all(0 < len(of([1, 2], [x])) for x in (True, 3))  # whole numbers and truth values

"""Inversions on disk: what is found again, what is not, and what cannot be damaged."""

import multiprocessing
import os
import signal
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save

import minisd
import suppress
from minisd import ddim
from minisd.picture import prepare
from suppress.start.cache import Cache, _read, checksum, default_folder, find_cache
from suppress.start.inversion import Source

PROMPT = "a man with a beard wearing glasses and a hat"
SIZE = {"height": 64, "width": 64}
SWR = suppress.SuppressEOT(steps=3, start=1, iterations=0)


class Counting(suppress.Fast):
    """Inversions take from it what a UNet pass is."""

    def noise(self, z, t, ctx):
        self.inverted = getattr(self, "inverted", 0) + len(z)
        return super().noise(z, t, ctx)


@pytest.fixture
def engine(sd):
    return Counting(sd)


@pytest.fixture
def invert(sd, engine, photos, tmp_path):
    """Inverts; returns (the start, the samples that went through the UNet for it)."""

    def call(how="direct", image=photos[0], prompt=PROMPT, cache=tmp_path, model=None, steps=3, **more):
        runner = engine if model is None else Counting(model)
        before = getattr(runner, "inverted", 0)
        start = suppress.invert(model or sd, image, prompt, how, steps, cache=cache, engine=runner, **SIZE | more)
        return start, getattr(runner, "inverted", 0) - before

    return call


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


# ---------------------------------------------------------------------- damage


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "text", "other"])
def test_a_damaged_entry_is_written_again(invert, tmp_path, damage):
    good, _ = invert()
    [entry] = entries(tmp_path)
    content = entry.read_bytes()
    flipped = content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]
    other = save({"pivots": torch.zeros(4, 1, 4, 8, 8)})  # sound, but not written by the cache
    bad = {"cut": content[:-100], "empty": b"", "flipped": flipped, "text": b"not an entry" * 99, "other": other}
    entry.write_bytes(bad[damage])
    again, passes = invert()
    assert passes == 3 and same(good, again)
    assert entry.read_bytes() == content
    assert invert()[1] == 0


def write_for_ever(folder):
    """What a process does that inverts one picture after the other."""
    cache = Cache(folder)
    found = {"pivots": torch.ones(51, 1, 4, 64, 64)}
    for n in range(10**6):
        cache._write(Path(folder) / f"{n % 3}.safetensors", found)


def test_a_process_that_is_killed_leaves_no_torn_entry(tmp_path):
    context = multiprocessing.get_context("fork")
    for k in range(4):
        process = context.Process(target=write_for_ever, args=(tmp_path,))
        process.start()
        deadline = time.monotonic() + 20
        while not entries(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.013 * k)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert entries(tmp_path)
    for entry in entries(tmp_path):
        assert _read(entry)["pivots"].shape == (51, 1, 4, 64, 64)


def test_an_entry_has_its_name_only_when_it_is_complete(monkeypatch, tmp_path):
    def stopped(*files):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        Cache(tmp_path)._write(tmp_path / "x.safetensors", {"pivots": torch.ones(1)})
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed_later(invert, tmp_path):
    old, new = tmp_path / ".minisd-0123.part", tmp_path / ".minisd-4567.part"
    for file in (old, new):
        file.write_bytes(b"half an entry")
    os.utime(old, (0, 0))
    invert()
    assert not old.exists() and new.exists()  # another process may be writing the new one


def write_and_read(folder, n, queue):
    cache = Cache(folder, bound=3 * 2**20)
    try:
        for k in range(60):
            path = Path(folder) / f"{k % 5}.safetensors"
            found = _read(path)
            if found is not None and not (found["pivots"] == k % 5).all():
                raise AssertionError(f"{path} holds something else")
            cache._write(path, {"pivots": torch.full((20, 1, 4, 64, 64), float(k % 5))})
        queue.put("good")
    except BaseException as error:
        queue.put(repr(error))


def test_two_processes_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=write_and_read, args=(tmp_path, n, queue)) for n in range(2)]
    for worker in workers:
        worker.start()
    assert [queue.get(timeout=60) for _ in workers] == ["good", "good"]
    for worker in workers:
        worker.join()
    assert sum(entry.stat().st_size for entry in entries(tmp_path)) <= 3 * 2**20
    assert not list(tmp_path.glob(".minisd-*"))


# ---------------------------------------------------------------------- the folder


def test_the_least_recently_used_entries_go_first(invert, tmp_path):
    invert(prompt="a man")
    [first] = entries(tmp_path)
    size = first.stat().st_size
    cache = Cache(tmp_path, bound=2 * size + 100)
    invert(prompt="a woman", cache=cache)
    [second] = set(entries(tmp_path)) - {first}
    os.utime(first, (1000, 1000))
    os.utime(second, (2000, 2000))
    assert invert(prompt="a man", cache=cache)[1] == 0  # used now
    invert(prompt="a boy", cache=cache)
    assert first in entries(tmp_path) and second not in entries(tmp_path)
    assert len(entries(tmp_path)) == 2


@pytest.mark.filterwarnings("error")
def test_what_cannot_be_deleted_stops_nothing(invert, tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    os.utime(tmp_path / "folder.safetensors", (0, 0))
    cache = Cache(tmp_path, bound=5000)
    assert invert(cache=cache)[1] == 3 and invert(cache=cache)[1] == 0


def test_an_entry_beyond_the_bound_is_not_kept(invert, tmp_path):
    invert(prompt="a man")
    kept = entries(tmp_path)
    assert invert(cache=Cache(tmp_path, bound=kept[0].stat().st_size - 1))[1] == 3
    assert entries(tmp_path) == kept


def test_a_folder_that_cannot_be_written_to_is_told(invert, tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="the inversion could not be kept for the next run: .*file"):
        start, passes = invert(cache=tmp_path / "file" / "folder")
    assert passes == 3 and len(start.pivots) == 4


def test_only_the_owner_can_read_the_folder(invert, tmp_path):
    invert(cache=tmp_path / "new")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_the_folder_has_a_documented_place(monkeypatch, tmp_path):
    monkeypatch.setenv("MINISD_CACHE", str(tmp_path / "given"))
    assert default_folder() == tmp_path / "given" / "inversions"
    assert find_cache(True).folder == default_folder()
    monkeypatch.delenv("MINISD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == tmp_path / "xdg" / "minisd" / "inversions"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "minisd" / "inversions"


def test_without_a_cache_nothing_is_written(invert, monkeypatch, tmp_path):
    monkeypatch.setenv("MINISD_CACHE", str(tmp_path))
    for cache in (None, False):
        assert invert(cache=cache)[1] == 3
    assert not list(tmp_path.iterdir())
    assert invert(cache=True)[1] == 3 and invert(cache=True)[1] == 0


@pytest.mark.parametrize("cache", [3, 1.5, ["x"]])
def test_what_is_no_cache(sd, photos, cache):
    with pytest.raises(minisd.UserError, match=r"cache = .*; expected True, False or a folder"):
        suppress.run(sd, PROMPT, "hat", settings=SWR, image=photos[0], cache=cache, **SIZE)
    with pytest.raises(minisd.UserError, match="bound = -1"):
        Cache(bound=-1)


def test_the_prepared_pixels_count_and_not_the_file(invert, photos, tmp_path):
    large = Image.new("RGB", (100, 80), "red")
    large.paste(photos[0], (10, 7))
    assert invert()[1] == 3
    assert invert(image=large, crop=(10, 7, 74, 71))[1] == 0
    assert invert(image=prepare(large, 64, 64, (10, 7, 74, 71)))[1] == 0
    assert invert(image=large, crop=(11, 7, 75, 71))[1] == 3

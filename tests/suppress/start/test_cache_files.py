"""The files of inversions on disk: what cannot be damaged, and the folder that they are in."""

import multiprocessing
import os
import signal
import stat
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save

import minisd
import suppress
from minisd.picture import prepare
from suppress.start.cache import Cache, _read, default_folder, find_cache

PROMPT = "a man with a beard wearing glasses and a hat"
SIZE = {"height": 64, "width": 64}
SWR = suppress.SuppressEOT(steps=3, start=1, iterations=0)


def entries(folder):
    return sorted(Path(folder).glob("*.safetensors"))


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
    assert passes == 3 and all(map(torch.equal, good.pivots, again.pivots))
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

"""`suppress PROMPT`: what is kept when it stops, what draws a picture again, and what it says about its pictures."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from png_pixels import pixels

from minisd.cli import options, parameters
from minisd.cli.commands import main as minisd_main
from suppress.cli.commands import main
from suppress.report import files as report

PROMPT = "a man without glasses"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# ---------------------------------------------------------------------- a picture repeats itself


@pytest.mark.parametrize(
    "argv",
    [
        [PROMPT, "--gamma", ".5", "--start", "1"],
        ["a man with [glasses] and a hat", "--method", "unread:shared_until=.3", "--seed", "4", "7"],
        ["a man with a hat and a dog with no hat"],  # one place of two
        [PROMPT, "--preset", "official", "--iterations", "1", "--start", "1", "--stop", "2"],
        ["a man with a beard", "--strengthen", "beard"],
        [PROMPT, "--sheet", "zero", "top-k:value=3"],
        [PROMPT, "--height", "64", "--width", "96", "--guidance", "4.5", "--engine", "reference"],
    ],
    ids=lambda argv: " ".join(argv[1:3]) or argv[0],
)
def test_a_picture_drawn_again_from_its_own_file_is_the_same(argv):
    assert main([*argv, "--steps", "3", "--out", "a.png"]) == 0
    assert main(["--params-from", "a.png", "--out", "b.png"]) == 0
    assert np.array_equal(pixels("a.png"), pixels("b.png"))
    a, b = (json.loads(open(f"{name}.json").read()) for name in "ab")
    assert a["results"][0]["settings"] == b["results"][0]["settings"]
    assert a["remove"] == b["remove"] and a["seeds"] == b["seeds"]
    _, _, fields = parameters.read("a.png")
    assert {"Version", "Torch", "Device", "Date"} <= set(fields) and {"version", "torch", "device", "date"} <= set(a)


def test_an_option_that_is_given_changes_what_it_names():
    assert main([PROMPT, "--steps", "2", "--gamma", ".5", "--out", "a.png"]) == 0
    assert main(["--params-from", "a.png", "--seed", "1", "--out", "b.png"]) == 0
    b = json.loads(open("b.json").read())
    assert b["seeds"] == [1] and b["results"][0]["settings"]["gamma"] == 0.5


def test_generate_does_not_draw_a_suppressed_picture_with_its_target(capsys):
    assert main([PROMPT, "--steps", "1", "--out", "a.png"]) == 0
    assert minisd_main(["generate", "--params-from", "a.png"]) == 2
    assert "suppress --params-from" in capsys.readouterr().err


# ---------------------------------------------------------------------- what is finished is kept


def test_the_rows_of_a_sheet_that_were_drawn_are_kept_when_it_is_stopped(monkeypatch, capsys):
    rows = []

    def bar(label):
        def wrap(steps, total):
            rows.append(label)
            for step in steps:
                if len(rows) == 3:
                    raise KeyboardInterrupt
                yield step

        return wrap

    monkeypatch.setattr(options, "progress_bar", bar)
    assert main([PROMPT, "--sheet", "zero", "suppress-eot", "unread", "--steps", "2", "--out", "s.png"]) == 130
    assert "drawn: 2 of 3 pictures, in s-unfinished.png" in capsys.readouterr().err
    kept = json.loads(open("s-unfinished.json").read())
    assert [r["method"] for r in kept["results"]] == ["zero", "suppress-eot"] and all(
        r["scores"] for r in kept["results"]
    )
    assert pixels("s-unfinished.png").shape[0] > 3 * 128  # the originals and two rows


def test_the_picture_is_written_before_its_scores_are_made(monkeypatch):
    """The picture stays if the judge fails or a text cannot be printed."""

    def scores(*_args):
        assert os.path.isfile("a.png") and os.path.isfile("a.json")
        raise RuntimeError("a judge that fails")

    monkeypatch.setattr(report.Judge, "scores", scores)
    with pytest.raises(RuntimeError, match="a judge that fails"):
        main([PROMPT, "--steps", "1", "--out", "a.png"])
    assert pixels("a.png").shape[0] > 256


def test_a_full_disk_names_the_file(monkeypatch, capsys):
    def write(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(report, "png_writer", lambda *args: write)
    assert main([PROMPT, "--steps", "1", "--out", "a.png"]) == 2
    err = capsys.readouterr().err
    assert "a.png could not be written: No space left on device; make room" in err
    assert os.listdir() == []


@pytest.mark.parametrize("encoding", ["cp1252", "cp1251", "cp932", "cp437", "ascii"])
def test_no_encoding_stops_a_run(encoding):
    """Python uses these for redirected output on Windows. The prompt has a letter that none of them has."""
    env = os.environ | {"PYTHONIOENCODING": encoding, "OMP_NUM_THREADS": "1"}
    argv = [sys.executable, "-m", "suppress.cli", "a man with a [hat] ł 👓", "--steps", "1", "--out", "a.png"]
    done = subprocess.run(argv, capture_output=True, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.rstrip().endswith(b"a.png") and os.path.isfile("a.png")


# ---------------------------------------------------------------------- what it says


def test_a_target_that_is_still_there_is_told_with_what_may_help(capsys):
    assert main([PROMPT, "--steps", "6", "--start", "6"]) == 0  # never edited
    out = capsys.readouterr().out
    assert "'glasses' is still there by DetScore, with seed 0 (" in out
    assert "what may help: an earlier --start" in out
    assert main([PROMPT, "--steps", "6", "--start", "0"]) == 0
    assert "still there" not in capsys.readouterr().out


def test_unread_says_where_it_falls_back_on_swr_and_that_nobody_published_it(sd, capsys, monkeypatch):
    assert main([PROMPT, "--steps", "1"]) == 0
    assert "SWR" in capsys.readouterr().out
    assert main(["a man with [glasses] and a hat", "--steps", "1"]) == 0
    assert "SWR" not in capsys.readouterr().out
    from dataclasses import replace

    monkeypatch.setattr(options, "load_model", lambda args: replace(sd, folder=None))
    assert main(["a man with [glasses] and a hat", "--steps", "1"]) == 0
    assert "published" not in capsys.readouterr().out.partition("DetScore")[0]
    assert main([PROMPT, "--method", "suppress-eot", "--steps", "1"]) == 0
    assert "R published" in capsys.readouterr().out


def test_a_word_that_is_removed_darkens_the_map_under_it(sd):
    """The pixels look at Unread's row of zeros more than at the word, but fetch nothing from it."""
    import suppress

    settings = suppress.Unread(steps=6, start=0)
    result = suppress.run(sd, "a man with glasses and a hat", "glasses", settings=settings, maps=True)
    [row] = result.rows
    looked, fetched = result.maps[0, row].mean(), result.fetched[0, row].mean()
    assert looked > 0.5 * result.original_maps[0, row].mean() and fetched < 1e-6
    others = [k for k in range(77) if k != row]
    assert result.fetched[0, others].sum() > 0.5


def test_what_is_fetched_of_an_untouched_prompt_is_its_map(sd):
    import suppress

    settings = suppress.SuppressEOT(steps=2, start=2)  # never edited
    result = suppress.run(sd, PROMPT, "glasses", settings=settings, maps=True)
    assert np.allclose(result.fetched, result.maps, atol=1e-5)


# ---------------------------------------------------------------------- sizes, pictures, words


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_a_size_that_is_not_square(sd, engine):
    import suppress

    settings = suppress.SuppressEOT(steps=2, start=1)
    wide = suppress.run(sd, PROMPT, "glasses", settings=settings, engine=engine, height=64, width=96, maps=True)
    assert wide.image.size == (96, 64) and wide.latents.shape == (1, 4, 8, 12) and wide.maps.shape == (1, 77, 8, 12)
    [drawn] = sd.generate(PROMPT, 0, steps=2, height=64, width=96)
    assert np.abs(np.asarray(drawn, int) - np.asarray(wide.original, int)).max() <= 1


def test_jobs_of_several_sizes_come_back_in_their_order(sd):
    import suppress

    settings = suppress.SuppressEOT(steps=2, start=1)
    sizes = [(64, 64), (96, 64), (64, 64), (64, 96)]
    jobs = [suppress.Job(PROMPT, "glasses", seed, h, w) for seed, (h, w) in enumerate(sizes)]
    many = suppress.run_batch(sd, jobs, settings=settings)
    assert [r.image.size for r in many] == [(w, h) for h, w in sizes]
    for seed, (h, w) in enumerate(sizes):
        alone = suppress.run(sd, PROMPT, "glasses", seed=seed, settings=settings, height=h, width=w)
        assert (many[seed].latents - alone.latents).abs().max() < 1e-3


def test_pictures_alone_are_saved_and_nothing_is_overwritten(tmp_path):
    argv = [PROMPT, "--steps", "1", "--seed", "0-1", "--save-pictures", "alone"]
    assert main(argv) == 0 and main(argv) == 0
    names = sorted(p.name for p in (tmp_path / "alone").iterdir())
    stem = "a-man-without-glasses-s"
    assert {f"{stem}0-original.png", f"{stem}0-suppressed.png", f"{stem}1-suppressed.png"} <= set(names)
    assert len(names) == 8
    assert pixels(f"alone/{stem}0-suppressed.png").shape == (128, 128, 3)
    assert "Suppress" not in parameters.read(f"alone/{stem}0-original.png")[2]


@pytest.mark.parametrize(
    "argv",
    [
        ["a man in a hat with a beard", "--remove", "hat", "beard"],
        ["--remove", "hat", "beard", "a man in a hat with a beard"],
        ["a man in a hat with a beard", "--remove", "hat", "--remove", "beard"],
    ],
)
def test_several_words_behind_one_remove(argv):
    assert main([*argv, "--steps", "1", "--out", "a.png"]) == 0
    assert json.loads(open("a.json").read())["targets"] == ["hat", "beard"]


def test_a_prompt_behind_remove_that_lacks_the_word_gets_a_hint(capsys):
    assert main(["--remove", "hat", "a man"]) == 2
    assert "takes all values behind it: a PROMPT goes before" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--help"], ["methods"], ["--version"]])
def test_help_and_the_list_of_methods_come_without_torch(argv):
    code = f"""
import sys
from suppress.cli import main
try:
    status = main({argv!r})
except SystemExit as end:
    status = end.code
assert status in (0, None)
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"


def test_analyze_is_analyse(capsys):
    for name in ("analyse", "analyze"):
        with pytest.raises(SystemExit) as end:
            main([name, "--help"])
        assert end.value.code == 0 and "suppress analyse" in capsys.readouterr().out

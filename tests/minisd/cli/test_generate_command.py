"""`minisd generate`: finished pictures are always kept, and each holds the parameters that repeat it."""

import errno
import re
import threading

import numpy as np
import pytest
from PIL import Image
from png_pixels import pixels

import minisd
from minisd import UserError
from minisd.base import outputs
from minisd.cli import generate as generate_command
from minisd.cli import options, parameters
from minisd.cli.commands import main


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(sd, monkeypatch):
    """The embedded model, loaded only once. A batch has two pictures."""
    monkeypatch.setattr(options, "load_model", lambda args: sd)
    monkeypatch.setattr(generate_command, "BATCH", 2)


@pytest.fixture
def no_model(monkeypatch):
    monkeypatch.setattr(options, "load_model", lambda args: pytest.fail("the work has begun"))


def names(folder):
    return sorted(p.name for p in folder.iterdir())


# ---------------------------------------------------------------------- what is finished


def stop_in_batch(monkeypatch, number, what):
    """A progress bar that raises an error in one batch. It records the labels."""
    labels = []

    def bar(label):
        labels.append(label)

        def wrap(steps, total):
            for z in steps:
                if len(labels) == number:
                    raise what
                yield z

        return wrap

    monkeypatch.setattr(options, "progress_bar", bar)
    return labels


def test_ctrl_c_keeps_the_batches_before_it(tmp_path, model, monkeypatch, capsys):
    labels = stop_in_batch(monkeypatch, 3, KeyboardInterrupt())
    assert main(["generate", "a man", "--steps", "1", "--seed", "0-4"]) == 130
    written = [f"a-man-s{k}.png" for k in range(4)]
    assert names(tmp_path) == written
    shown = capsys.readouterr()
    assert shown.out.split() == written
    assert shown.err == "\nminisd: interrupted; written: 4 of 5 pictures, a-man-s0.png to a-man-s3.png\n"
    assert labels == ["drawing 1 to 2 of 5", "drawing 3 to 4 of 5", "drawing 5 of 5"]


def test_ctrl_c_in_the_first_batch_says_so(tmp_path, model, monkeypatch, capsys):
    assert stop_in_batch(monkeypatch, 1, KeyboardInterrupt()) == []
    assert main(["generate", "a man", "--steps", "1", "--seed", "0", "1"]) == 130
    assert names(tmp_path) == [] and "interrupted; nothing was written" in capsys.readouterr().err


def test_batches_change_no_picture(tmp_path, model, monkeypatch):
    assert main(["generate", "a man", "--steps", "2", "--seed", "0-2"]) == 0
    assert main(["generate", "a man", "--steps", "2", "--seed", "2", "--out", "alone.png"]) == 0
    assert np.abs(pixels("a-man-s2.png") - pixels("alone.png")).max() <= 1


def test_a_full_disk_is_told_and_keeps_what_is_written(tmp_path, model, monkeypatch, capsys):
    png_writer, calls = generate_command.png_writer, []

    def full(*args):
        calls.append(args)

        def write(file):
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        return png_writer(*args) if len(calls) < 4 else write

    monkeypatch.setattr(generate_command, "png_writer", full)
    assert main(["generate", "a man", "--steps", "1", "--seed", "0-5"]) == 2
    assert names(tmp_path) == ["a-man-s0.png", "a-man-s1.png", "a-man-s2.png"]
    shown = capsys.readouterr()
    assert shown.out.split() == names(tmp_path)
    told = "a-man-s3.png could not be written: No space left on device; make room, or write to another disk"
    assert shown.err == f"minisd: error: {told}\n"


def test_a_name_that_is_taken_during_the_work_is_kept(tmp_path, model, monkeypatch, capsys):
    """Two runs with the same --out: the second gets the next name, with a warning."""

    def bar(_label):
        (tmp_path / "a.png").write_bytes(b"of another run")
        return lambda steps, total: steps

    monkeypatch.setattr(options, "progress_bar", bar)
    assert main(["generate", "a man", "--steps", "1", "--out", "a.png"]) == 0
    assert (tmp_path / "a.png").read_bytes() == b"of another run"
    shown = capsys.readouterr()
    assert shown.out == "a-2.png\n" and pixels("a-2.png").shape == (128, 128, 3)
    assert shown.err == "minisd: a.png appeared during the work and was kept; this is written as a-2.png\n"


def test_overwrite_is_for_the_name_that_is_given(tmp_path, model):
    (tmp_path / "a-man-s0.png").write_bytes(b"mine")
    assert main(["generate", "a man", "--steps", "1", "--overwrite"]) == 0
    assert (tmp_path / "a-man-s0.png").read_bytes() == b"mine"
    assert main(["generate", "a man", "--steps", "1", "--overwrite", "--out", "a-man-s0.png"]) == 0
    assert names(tmp_path) == ["a-man-s0-2.png", "a-man-s0.png"]
    assert (pixels("a-man-s0.png") == pixels("a-man-s0-2.png")).all()


# ---------------------------------------------------------------------- what a picture says


def test_a_picture_says_what_repeats_it(model):
    import torch

    assert main(["generate", "a man", "--steps", "1", "--out", "a.png"]) == 0
    fields = parameters.read("a.png")[2]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", fields.pop("Date"))
    assert fields == {
        "Steps": "1",
        "Sampler": "DDIM",
        "CFG scale": "7.5",
        "Seed": "0",
        "Size": "128x128",
        "Model": "tiny",
        "Version": f"minisd {minisd.__version__}",
        "Torch": torch.__version__,
        "Device": "cpu",
    }


def test_a_picture_says_what_it_was_drawn_over(model, capsys):
    Image.new("RGB", (64, 64), "red").save("red, round.png")
    Image.new("RGB", (64, 64), "blue").save("blue.png")
    start = ["--image", "red, round.png", "--strength", "0.5"]
    assert main(["generate", "a man", "--steps", "2", *start, "--out", "a.png"]) == 0
    fields = parameters.read("a.png")[2]
    assert (fields["Denoising strength"], fields["Image"]) == ("0.5", "red, round.png")
    assert main(["generate", "--params-from", "a.png"]) == 2
    assert "was drawn over a picture, which the file does not hold: give it as --image (red, round.png)" in (
        capsys.readouterr().err
    )
    assert main(["generate", "--params-from", "a.png", "--image", "red, round.png", "--out", "b.png"]) == 0
    assert capsys.readouterr() == ("b.png\n", "")
    assert (pixels("a.png") == pixels("b.png")).all()
    assert main(["generate", "--params-from", "a.png", "--image", "blue.png"]) == 0
    assert "blue.png is not the picture that a.png was drawn over (red, round.png)" in capsys.readouterr().err


def test_names_that_are_no_text_stop_nothing(model, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "\udcff.png")  # a file name with bytes that are not UTF-8
    assert main(["generate", "a man", "--steps", "1", "--image", "\udcff.png", "--out", "a.png"]) == 0
    assert parameters.read("a.png")[2]["Image"] == r"\udcff.png"


def test_a_picture_to_start_from_is_laid_on_white_and_told_once(model, capsys):
    Image.new("RGBA", (128, 128), (0, 0, 0, 0)).save("clear.png")
    job = ["generate", "a man", "--steps", "20", "--strength", "0.05", "--seed", "0-2", "--image", "clear.png"]
    assert main(job) == 0
    assert pixels("a-man-s2.png").mean() > 200
    assert capsys.readouterr().err == "minisd: the picture: transparent parts laid on white\n"


# ---------------------------------------------------------------------- told before the work


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "steps = 0; expected"),
        (["--guidance", "inf"], "guidance = inf; expected"),
        (["--seed", "-1"], "seed -1; expected a whole number from 0 to 2^64 - 1; other programs take -1 for any seed"),
        (["--seed", str(2**64)], "seed 18446744073709551616; expected"),
        (["--image", "x.png", "--strength", "0"], "strength = 0.0; expected"),
        (["--image", "x.png"], "'x.png' holds numbers that are no picture"),
        (["--out", "x" * 300 + ".png"], "no file can have this name (File name too long)"),
        (["--out", "a\0b.png"], "no file can have this name"),
    ],
)
def test_mistakes_are_told_before_the_model_is_loaded(no_model, monkeypatch, capsys, options, message):
    def unreadable(path):
        raise UserError(f"{path!r} holds numbers that are no picture")

    monkeypatch.setattr(generate_command, "open_picture", unreadable)
    assert main(["generate", "a man", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--image", "--params-from", "--model"])
def test_an_empty_value_is_not_a_missing_one(tmp_path, capsys, option):
    """A shell passes an empty value for a variable that is not set."""
    assert main(["generate", "a man", "--steps", "1", option, ""]) == 2
    assert capsys.readouterr().err.startswith("minisd: error: ") and names(tmp_path) == []


@pytest.mark.parametrize("options", [["--steps", "0"], ["--guidance", "nan"], ["--seed", "-1"], ["--out", "x.gif"]])
def test_maps_too(no_model, capsys, options):
    assert main(["maps", "a man", *options]) == 2
    assert capsys.readouterr().err.startswith("minisd: error: ")


def test_numbers_beyond_any_range(model, tmp_path, capsys):
    for option in ("--steps", "--height", "--width", "--seed"):
        assert main(["generate", "a man", option, str(2**64 + 8)]) == 2
        assert main(["maps", "a man", option, str(2**64 + 8)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 8 and all("minisd: error: " in line for line in errors)
    assert names(tmp_path) == []


def test_maps_of_a_picture_that_is_not_square(model, sd, capsys):
    job = ["maps", "a man", "--steps", "1", "--height", "192", "--width", "64", "--seed", "3", "--out", "m.png"]
    assert main(job) == 0
    sheet = pixels("m.png")  # the picture, [SOT], two words, [EOT] in one row of 64×192, with a line of text below
    assert sheet.shape[1] == 5 * 68 + 4 and 192 < sheet.shape[0] < 230
    [picture] = sd.generate("a man", 3, steps=1, height=192, width=64)
    assert np.abs(sheet[4:196, 4:68] - np.asarray(picture, dtype=int)).max() <= 1
    assert parameters.read("m.png")[2]["Size"] == "64x192"


@pytest.mark.parametrize("command", ["generate", "maps"])
def test_size_is_width_times_height(model, capsys, command):
    assert main([command, "a man", "--steps", "1", "--size", "64x32", "--out", f"{command}.png"]) == 0
    assert parameters.read(f"{command}.png")[2]["Size"] == "64x32"
    with pytest.raises(SystemExit, match="2"):
        main([command, "a man", "--size", "64x32", "--height", "64"])
    assert "--size 64x32 and --height 64 contradict each other" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["generate", "maps"])
def test_signs_of_other_programs_are_told(model, capsys, command):
    assert main([command, "a (man:1.2) with [hat]", "--negative", "<lora:x:1>", "--steps", "1"]) == 0
    errors = capsys.readouterr().err
    assert all(sign in errors for sign in ("'(man:1.2)' is read", "'[hat]' is read", "'<lora:x:1>' is read"))


# ---------------------------------------------------------------------- two at once


def test_four_at_once_with_one_name_lose_nothing(tmp_path):
    barrier = threading.Barrier(4)

    def work(k):
        barrier.wait()
        files = {".png": lambda file: file.write(b"%d" % k), ".json": outputs.utf8(str(k))}
        for _ in range(25):
            outputs.write_output(files, None, "x", folder=tmp_path)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(names(tmp_path)) == 200 and len(pictures) == 100
    assert sorted(p.read_text() for p in pictures) == sorted("0123" * 25)
    assert all(p.read_text() == p.with_suffix(".json").read_text() for p in pictures)

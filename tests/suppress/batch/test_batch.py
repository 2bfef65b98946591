"""`suppress batch`: a picture for each line, faults told by number before anything is drawn, and resume."""

import csv
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from png_pixels import pixels

import suppress
from minisd import weighted
from minisd.cli import options, parameters
from suppress.batch.folder import Folder, figures
from suppress.batch.lines import read_lines
from suppress.cli import batch as command
from suppress.cli.commands import main

LINES = """prompt,target,seed,negative,steps,guidance,size,picture,mask
a man with glasses and a hat,glasses,3,,,,,,
a man with glasses and a hat,glasses; hat,4,rain,2,3,72x64,,
a man without a hat,,,,,,,,
a man with a hat,hat,,,,,,photo.png,
"""
NAMES = [
    "0002-a-man-with-glasses-and-a-hat-s3.png",
    "0003-a-man-with-glasses-and-a-hat-s4.png",
    "0004-a-man-without-a-hat-s0.png",
    "0005-a-man-with-a-hat.png",
]
JOB = ["batch", "list.csv", "--size", "64x64", "--steps", "1"]


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_list(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "load_model", lambda args: small)
    (tmp_path / "list.csv").write_text(LINES)
    Image.radial_gradient("L").convert("RGB").resize((64, 64)).save("photo.png")


def entries(folder="list"):
    with open(f"{folder}/scores.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def pictures(folder="list"):
    return sorted(name for name in os.listdir(folder) if name.endswith(".png"))


def test_weights_of_the_prompts_are_read_when_they_are_asked_for(small):
    lines = "prompt,target,negative\na (man:0.6) with a hat,hat,(rain:1.4)\n"
    Path("list.csv").write_text(lines)
    assert main([*JOB, "--weights", "--method", "zero:start=0"]) == 0
    [name] = pictures()
    job = {"steps": 1, "height": 64, "width": 64, "negative_prompt": weighted("(rain:1.4)")}
    result = suppress.run(small, weighted("a (man:0.6) with a hat"), "hat", "zero:start=0", **job)
    assert np.array_equal(pixels(f"list/{name}"), np.asarray(result.image))
    [entry] = entries()
    assert entry["prompt"] == "a (man:0.6) with a hat" and entry["negative"] == "(rain:1.4)"
    assert parameters.read(f"list/{name}")[:2] == ("a (man:0.6) with a hat", "(rain:1.4)")
    assert main([*JOB, "--method", "zero:start=0"]) == 2  # another way to read the lines: another folder
    Path("list.csv").write_text(lines.replace(":0.6)", ""))
    assert main([*JOB, "--weights", "--out", "other"]) == 2


def test_each_line_is_drawn_as_by_itself(capsys):
    assert main([*JOB, "--json"]) == 0
    assert pictures() == NAMES
    answer = json.loads(capsys.readouterr().out)
    lists = [os.path.join("list", name) for name in ("scores.jsonl", "scores.csv")]
    assert answer["written"] == [*(os.path.join("list", name) for name in NAMES), *lists]
    assert [entry["line"] for entry in entries()] == [2, 3, 4, 5] and answer["scores"] == entries()
    with open("list/scores.csv", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [line["file"] for line in table] == NAMES and table[1]["target"] == "glasses; hat"
    for line, entry in zip(table, entries(), strict=True):
        assert float(line["detscore_after"]) == figures(entry["scores"])["detscore_after"]
    with Image.open(f"list/{NAMES[1]}") as image:
        assert image.size == (72, 64)
    _, negative, fields = parameters.read(f"list/{NAMES[1]}")
    assert negative == "rain" and fields["Steps"] == "2" and fields["CFG scale"] == "3.0"
    again = ["--params-from", f"list/{NAMES[3]}", "--image", "photo.png", "--no-cache", "--out", "p.png"]
    assert main(again) == 0
    assert np.abs(pixels("p-suppressed.png") - pixels(f"list/{NAMES[3]}")).max() <= 1


def test_a_stopped_batch_goes_on(monkeypatch, capsys):
    drawn = []

    def wrap(steps, total):
        for k, z in enumerate(steps):
            if len(drawn) == 3 and k == 1:  # the second of three steps
                os.kill(os.getpid(), signal.SIGINT)
            yield z

    monkeypatch.setattr(options, "progress_bar", lambda label: drawn.append(label) or wrap)
    monkeypatch.setattr(command, "AT_ONCE", 1)
    assert main([*JOB, "--steps", "3"]) == 130
    told = "drawn: 2 of 4 lines, in list; the same command goes on"
    assert told in capsys.readouterr().err and pictures() == NAMES[:2] and len(entries()) == 2
    first = os.stat(f"list/{NAMES[0]}").st_mtime_ns
    monkeypatch.setattr(options, "progress_bar", lambda label: drawn.append(label))
    assert main([*JOB, "--steps", "3"]) == 0
    assert "4 lines, 2 to draw" in capsys.readouterr().out
    assert pictures() == NAMES and os.stat(f"list/{NAMES[0]}").st_mtime_ns == first
    assert [entry["line"] for entry in entries()] == [2, 3, 4, 5]
    assert main([*JOB, "--steps", "3"]) == 0 and "0 to draw" in capsys.readouterr().out


def test_all_faults_are_told_before_anything_is_drawn(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("suppress.job.run_batch", lambda *args, **kwargs: pytest.fail("it draws"))
    faults = {
        "a man,glasses,,,,,,,": "the prompt has no 'glasses'.",
        ",hat,,,,,,,": "prompt is empty",
        "a hat,hat,-1,,,,,,": "seed = '-1'; expected a whole number",
        "a hat,hat,,,2.5,,,,": "steps = '2.5'; expected a whole number",
        "a hat,hat,,,,x,,,": "guidance = 'x'; expected a number",
        "a hat,hat,,,,,64,,": "size = '64'; expected width × height",
        "a hat,hat,,,,,65x64,,": "size 65×64",
        "a hat,hat,,,,,,no.png,": "there is no such file",
        "a hat,hat,3,,,,,photo.png,": "seed = '3' with a picture",
        "a hat,hat,,,,,,,photo.png": "a mask belongs to a picture",
        "a hat,hat,,,,,,,,5": "more values than there are columns",
        "a hat,,,,,,,,": "does not say what to remove",
    }
    (tmp_path / "list.csv").write_text("\n".join([LINES.splitlines()[0], *faults]) + "\n")
    assert main(JOB) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "suppress batch: error: nothing was drawn:" and len(told) == 1 + len(faults)
    for n, (line, fault) in enumerate(zip(told[1:], faults.values(), strict=True), 2):
        assert line.startswith(f"  line {n}: ") and fault in line
    assert not (tmp_path / "list").exists()


@pytest.mark.parametrize(
    ("text", "argv", "message"),
    [
        ("prompt,colour\na,b\n", [], "has the columns ['prompt', 'colour']; expected prompt, and if needed target"),
        ("prompt,target,remove\na,b,c\n", [], "the columns target and remove, which mean the same"),
        ("prompt\n", [], "has no line after the names of its columns"),
        (LINES, ["--method", "magic"], "method 'magic' is unknown"),
        (LINES, ["--method", "strengthen"], "--method strengthen draws more of what it is given"),
        (LINES, ["--out", "."], "--out . holds other files; give the name of a new folder"),
        (LINES, ["--out", "photo.png"], "--out photo.png is a file"),
    ],
)
def test_a_file_that_cannot_be_drawn_is_told(tmp_path, capsys, text, argv, message):
    (tmp_path / "list.csv").write_text(text)
    assert main([*JOB, *argv]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_of_another_run_is_refused(tmp_path, capsys):
    (tmp_path / "list").mkdir()
    entry = {"key": "x", "file": "y.png", "scores": {}, "run": {"model": "other", "method": "zero"}}
    (tmp_path / "list" / "scores.jsonl").write_text(json.dumps(entry) + "\n")
    assert main(JOB) == 2
    assert "list is a batch of model other, method zero, not of model tiny, method unread" in capsys.readouterr().err
    (tmp_path / "list" / "scores.jsonl").write_text("[]\n")
    assert main(JOB) == 2
    assert "line 1: no line of this command; name another --out" in capsys.readouterr().err
    (tmp_path / "list" / "scores.jsonl").write_bytes(b"\xff\n")
    assert main(JOB) == 2
    assert "line 1: no line of this command; name another --out" in capsys.readouterr().err


def read(*argv):
    return options.parse(command._parser(), ["list.csv", *argv])


def test_a_folder_knows_what_its_pictures_were_drawn_with(small, tmp_path):
    given = command._run(small, read("--lora", "a:0.5", "--clip-skip", "1", "--vae", "v"), "unread")
    assert given == command._run(small, read(), "unread") | {"lora": ["a:0.5"], "clip_skip": 1, "vae": "v"}
    entry = {"key": "x", "file": "y.png", "scores": {}, "run": given, "prompt": "a\u2028hat\x85"}
    (tmp_path / "scores.jsonl").write_text(json.dumps(entry, ensure_ascii=False) + "\n", encoding="utf-8")
    assert Folder(tmp_path, given).done == {"x": entry}


def test_a_size_is_that_of_all_lines_without_one(capsys):
    for argv in (["--size", "72x64"], ["--width", "72", "--height", "64"]):
        lines = read_lines(Path("list.csv"), command._usual(read(*argv)))
        assert [line.values["size"] for line in lines] == ["72x64"] * 4
    assert main(["batch", "list.csv", "--height", "64"]) == 2
    assert "a batch takes both, or --size WxH" in capsys.readouterr().err


def test_the_file_of_a_picture_is_read_once_for_its_key():
    line = read_lines(Path("list.csv"), {})[3]
    key = line.key
    os.remove("photo.png")
    assert line.key == key


def test_the_target_that_is_seen_best_counts():
    scores = {
        "DetScore a": {"original": [0.9], "suppressed": [0.1]},
        "DetScore b": {"original": [0.5], "suppressed": [0.4]},
        "CLIP score a": {"original": [0.2], "suppressed": [0.1]},
        "CLIP score b": {"reason": "none"},
    }
    want = {"detscore_before": 0.9, "detscore_after": 0.4, "clip_before": "", "clip_after": "", "reason": "none"}
    assert figures(scores) == want

"""`--quiet` and `--json` of both programs, and completion in the shell."""

import argparse
import io
import json
import os
import subprocess
import sys
import warnings

import pytest

import minisd.cli
import suppress.cli
from minisd import UserError
from minisd.cli import options
from minisd.cli.answer import add_answer_options, wrote

TINY = ["--size", "64x64", "--steps", "1"]
DRAW = ["generate", "a man", *TINY]


@pytest.fixture
def model(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "load_model", lambda args: small)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(command, *argv):
    """The exit status of a command with these options."""
    parser = argparse.ArgumentParser(prog="p")
    add_answer_options(parser)
    return options.run("p", command, options.parse(parser, argv))


# ---------------------------------------------------------------------- both options


@pytest.mark.parametrize(
    "command",
    [
        *(("minisd", name) for name in ("generate", "maps", "film", "info", "fetch", "export")),
        ("suppress",),
        *(("suppress", name) for name in ("methods", "analyse", "batch", "sheet", "eval", "train", "ui")),
        ("suppress", "eval", "merge"),
    ],
    ids=" ".join,
)
def test_every_command_has_both(command, capsys):
    program, *rest = command
    with pytest.raises(SystemExit):
        {"minisd": minisd.cli.main, "suppress": suppress.cli.main}[program]([*rest, "--help"])
    text = capsys.readouterr().out
    assert "--quiet" in text and "--json" in text


def test_json_is_all_that_standard_output_has(capsys):
    def command(args):
        print("for people")
        wrote(args, "a.png", "a.png", "b.png")
        args.answer["scores"] = {"x": 1}

    assert run(command, "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"program": "p", "status": 0, "written": ["a.png", "b.png"], "scores": {"x": 1}}
    assert shown.err == "for people\n"
    assert run(command, "--json", "--quiet") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["written"] == ["a.png", "b.png"] and shown.err == ""
    assert run(command) == 0
    assert capsys.readouterr().out == "for people\n"


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (UserError("no such hat"), 2, "no such hat"),
        (KeyboardInterrupt("2 of 3 are written"), 130, "interrupted; 2 of 3 are written"),
        (MemoryError("x"), 2, "not enough memory; "),
    ],
)
def test_json_tells_what_went_wrong_and_what_is_written(capsys, error, status, told):
    def command(args):
        wrote(args, "a.png")
        raise error

    assert run(command, "--json", "--quiet") == status
    shown = capsys.readouterr()
    answer = json.loads(shown.out)
    assert answer["status"] == status and answer["error"].startswith(told) and answer["written"] == ["a.png"]
    assert told in shown.err  # people see it, too


def test_a_command_that_ends_itself_still_answers(capsys):
    def command(args):
        raise SystemExit(130)

    with pytest.raises(SystemExit):
        run(command, "--json")
    assert json.loads(capsys.readouterr().out)["status"] == 130


def test_quiet_draws_no_bar_but_warns(monkeypatch):
    def command(args):
        print("for people")
        list(options.progress_bar("drawing")(range(3)))
        warnings.warn("mind the hat", stacklevel=1)

    for given, bar in (((), True), (("--quiet",), False)):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        assert run(command, *given) == 0
        assert ("drawing" in terminal.getvalue()) is bar and "p: mind the hat" in terminal.getvalue()


# ---------------------------------------------------------------------- the commands


def test_what_is_drawn_is_answered(model, capsys):
    assert minisd.cli.main([*DRAW, "--seed", "0", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == ["a-man-s0.png", "a-man-s1.png"]
    assert minisd.cli.main([*DRAW, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert minisd.cli.main(["maps", "a hat", *TINY, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["written"] == ["a-hat-s0-maps.png"] and list(answer["shares"]) == ["[SOT]", "a", "hat", "[EOT]"]
    assert sum(answer["shares"].values()) == pytest.approx(1, abs=1e-4)


def test_what_is_suppressed_is_answered_with_its_scores(model, capsys):
    job = ["a man with a hat", "--remove", "hat", *TINY, "--seed", "3", "--save-pictures", "each", "--out", "p.png"]
    assert suppress.cli.main([*job, "--json"]) == 0
    shown = capsys.readouterr()
    answer = json.loads(shown.out)
    stem = os.path.join("each", "a-man-with-a-hat-s3")
    assert answer["written"] == [f"{stem}-original.png", f"{stem}-suppressed.png", "p.png", "p.json"]
    [result] = answer["results"]
    with open("p.json", encoding="utf-8") as file:
        assert result["scores"] == json.load(file)["results"][0]["scores"]
    assert result["seeds"] == [3] and "removing 'hat'" in shown.err


def test_lists_are_answered(capsys):
    assert suppress.cli.main(["methods", "--json", "--quiet"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert "unread" in answer["methods"] and answer["inversions"]["noised"]["passes"] == "0"
    assert minisd.cli.main(["fetch", "--json", "--quiet"]) == 0
    assert "sd-v1-4" in json.loads(capsys.readouterr().out)["checkpoints"]
    assert minisd.cli.main(["info", "nowhere", "--json"]) == 2
    assert "nowhere" in json.loads(capsys.readouterr().out)["error"]


# ---------------------------------------------------------------------- completion


@pytest.mark.parametrize(
    ("line", "words", "absent"),
    [
        ("minisd ", {"generate", "film", "--version"}, "--steps"),
        ("minisd film --ma", {"--maps"}, "film"),
        ("suppress e", {"eval"}, "train"),
        ("suppress eval --pi", {"--pictures"}, "eval"),
        ("suppress 'a hat' --method unr", {"unread"}, "uce"),
    ],
)
def test_the_shell_is_answered(tmp_path, line, words, absent):
    """As the shell's script calls the program at a Tab."""
    pytest.importorskip("argcomplete", reason="completion needs the extra: pip install 'minisd[completion]'")
    out = tmp_path / "out"
    asked = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9", "_ARGCOMPLETE": "1"}
    asked |= {"_ARGCOMPLETE_STDOUT_FILENAME": str(out), "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SHELL": "bash"}
    code = f"from {line.partition(' ')[0]}.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = {word.strip() for word in out.read_text().splitlines()}
    assert words <= found and absent not in found

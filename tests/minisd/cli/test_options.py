"""What all command lines share: options, how they start, and how they end."""

import argparse
import errno
import io
import os
import subprocess
import sys

import pytest

import minisd
import suppress.cli
from minisd import UserError
from minisd.cli import commands as cli
from minisd.cli import options

# ---------------------------------------------------------------------- what cannot be shown

ENCODINGS = ["cp1252", "cp1251", "cp932", "cp437", "ascii"]  # encodings of terminals and pipes, mostly on Windows
COMMANDS = [
    (cli.main, ["--help"], "usage: minisd"),
    (cli.main, ["generate", "--help"], "usage: minisd generate"),
    (cli.main, ["fetch"], "CompVis/stable-diffusion-v1-4"),
    (cli.main, ["info", "tiny"], "Stable Diffusion v1.x"),
    (suppress.cli.main, ["--help"], "usage: suppress"),
    (suppress.cli.main, ["methods"], "unread"),
    (suppress.cli.main, ["analyse", "--help"], "usage: suppress analyse"),
    (suppress.cli.main, ["eval", "--help"], "usage: suppress eval"),
]


def printed(monkeypatch, encoding, run):
    """The text that is printed if standard output has another encoding, with Python's strict errors."""
    with monkeypatch.context() as patch:
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        patch.setattr(sys, "stdout", stream)
        run()
        stream.flush()
        return stream.buffer.getvalue()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("main", "argv", "shown"), COMMANDS, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_no_character_stops_a_command(monkeypatch, encoding, main, argv, shown):
    def run():
        try:
            assert main(argv) == 0
        except SystemExit as end:  # --help
            assert end.code == 0

    assert shown.encode() in printed(monkeypatch, encoding, run)


def test_what_cannot_be_shown_is_escaped(monkeypatch):
    def run():
        options.accept_any_character()
        print("zdzisław \udcff")  # the second is from a file name with a byte that is not UTF-8

    assert printed(monkeypatch, "ascii", run) == rb"zdzis\u0142aw \udcff" + os.linesep.encode()


def test_streams_that_cannot_be_set_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", None)  # a program without a terminal, on Windows
    options.accept_any_character()
    print("ł")
    assert sys.stdout.getvalue() == "ł\n"


def run_cli(code, **streams):
    # standard output with Python's own buffer, as for a pipe
    return subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, **streams)


def test_a_pipe_that_is_closed_is_no_error():
    read, write = os.pipe()
    os.close(read)
    try:
        for argv in (["fetch"], ["--help"]):
            done = run_cli(f"import sys; from minisd.cli import main; sys.exit(main({argv}))", stdout=write)
            assert (done.returncode, done.stderr) == (0, "")
    finally:
        os.close(write)


def test_a_full_disk_below_the_output_is_one_line():
    with open("/dev/full", "w") as full:
        done = run_cli("import sys; from minisd.cli import main; sys.exit(main(['fetch']))", stdout=full)
    assert done.returncode == 2
    assert done.stderr == f"minisd: error: [Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}\n"


# ---------------------------------------------------------------------- the end of a command


@pytest.mark.parametrize(
    ("stop", "told"),
    [(KeyboardInterrupt(), "nothing was written"), (KeyboardInterrupt("3 of 8 are written"), "3 of 8 are written")],
)
def test_ctrl_c_says_what_was_written(capsys, stop, told):
    def command(args):
        raise stop

    assert options.run("minisd", command, argparse.Namespace()) == 130
    assert capsys.readouterr().err == f"\nminisd: interrupted; {told}\n"


def test_ctrl_c_while_pytorch_is_imported(tmp_path):
    (tmp_path / "torch.py").write_text("raise KeyboardInterrupt")
    path = os.pathsep.join([str(tmp_path), *(p for p in sys.path if p)])
    argv = [sys.executable, "-m", "minisd.cli", "generate", "a man"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path})
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "\nminisd: interrupted; nothing was written\n"


# ---------------------------------------------------------------------- options


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"minisd {minisd.__version__}\n"


@pytest.mark.parametrize(
    ("argv", "seeds"),
    [
        ([], [0]),
        (["--seed", "3"], [3]),
        (["--seed", "0", "2"], [0, 2]),
        (["--seed", "0-3"], [0, 1, 2, 3]),
        (["--seed", "0,3,5-7", "2"], [0, 3, 5, 6, 7, 2]),
        (["--seed", "5-5"], [5]),
        (["--seed", "1", "--seed", "2-3"], [1, 2, 3]),
        (["--seed", "-1"], [-1]),  # `pair` refuses it, with the reason
        (["--seed", "18446744073709551615"], [2**64 - 1]),
        (["--seed", "0-9999"], list(range(10_000))),
    ],
)
def test_seeds_and_their_ranges(argv, seeds):
    parser = argparse.ArgumentParser()
    options.add_seed_option(parser, "…", [0])
    for _ in range(2):  # the values do not change the default list
        assert parser.parse_args(argv).seed == seeds


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a man", "'a man' is not a seed; a PROMPT goes before --seed"),
        ("1.5", "'1.5' is not a seed"),
        ("0,,1", "'0,,1' is not a seed"),
        ("", "'' is not a seed"),
        ("٣", "'٣' is not a seed"),
        ("7-0", "'7-0' counts down"),
        ("0-10000", "'0-10000' is more than 10,000 seeds"),
        (f"0-{2**64}", "is more than 10,000 seeds"),
        ("9" * 5000, "999…' is not a seed"),
    ],
)
def test_seeds_that_are_none(text, told, capsys):
    parser = argparse.ArgumentParser()
    options.add_seed_option(parser, "…")
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--seed", text])
    assert told in capsys.readouterr().err


def test_an_error_of_the_users_ends_with_2(capsys):
    def command(args):
        print("so far")
        raise UserError("no")

    assert options.run("minisd", command, argparse.Namespace()) == 2
    assert capsys.readouterr() == ("so far\n", "minisd: error: no\n")

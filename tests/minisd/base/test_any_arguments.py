"""Every command line gets an answer or one clear error, never a traceback."""

import contextlib
import io
import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from minisd import UserError
from minisd.base.picture_files import save_png
from minisd.cli import options
from minisd.cli.commands import main
from minisd.loading import manifest

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module", autouse=True)
def _stop_before_the_work(tmp_path_factory):
    """In a folder with a picture. No model is loaded, nothing is drawn or downloaded."""

    def stop(*_args, **_more):
        raise UserError("the arguments have been read")

    folder = tmp_path_factory.mktemp("arguments")
    save_png(Image.new("RGB", (64, 64)), folder / "p.png", "a man\nSteps: 5, Seed: 3")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(options, "load_model", stop)
        patch.setattr(manifest, "fetch", stop)
        yield folder


TAKES_A_VALUE = ["seed", "steps", "guidance", "height", "width", "negative", "out", "image", "strength", "params-from"]
TAKES_A_VALUE += ["model", "device", "dtype", "variant", "revision", "threads"]
NUMBERS = [0, 1, -1, 7.5, "0-7", "0,3,5", "7-0", 2**31, 2**63, 2**64 - 1, 2**64, -(2**63), 10**30, "9" * 5000, "1e400"]
ODD = ["", " ", "-", "--", "-h", ".", "..", "/", "x" * 5000, "x" * 300 + ".png", "a\0.png", "\udcff", "\udcff.png"]
ODD += [
    "nan",
    "inf",
    "²",
    "٣",
    "1_000",
    "0x10",
    "p.png",
    "p.png/x.png",
    "none.png",
    "no/where.png",
    ".png",
    "fp32",
    "cpu",
]

texts = st.one_of(st.sampled_from([*map(str, NUMBERS), *ODD]), st.text(st.characters(), max_size=8))
given_options = st.one_of(
    st.tuples(st.sampled_from([f"--{name}" for name in TAKES_A_VALUE]), texts),
    st.sampled_from([("--overwrite",), ("--ema",), ("--no-ema",), ("--nonsense",), ("--version",), ("--help",)]),
    st.tuples(texts),
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["generate", "maps", "info", "fetch"]), texts, st.lists(given_options, max_size=3))
@example("generate", "a man", [("--seed", "99999999999999999999")])
@example("generate", "a man", [("--out", "--")])
@example("generate", "a man", [("--out", "\udcff.png")])
@example("generate", "a man", [("--params-from", "p.png"), ("--image", "p.png")])
@example("maps", "\ud800", [])
@example("info", "\0", [])
@example("info", "x" * 5000, [])
@example("fetch", "a/b", [("--revision", "\0")])
def test_any_arguments_have_an_answer(_stop_before_the_work, command, prompt, given_options):
    argv = [command, prompt, *(part for option in given_options for part in option)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(argv)
        except SystemExit as end:  # raised by argparse
            status = end.code
    assert status in (0, 2), err.getvalue()
    assert "Traceback" not in err.getvalue()
    assert status == 0 or "error: " in err.getvalue()
    assert os.listdir(_stop_before_the_work) == ["p.png"]

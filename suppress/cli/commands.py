"""`suppress PROMPT --remove WORD`: a prompt drawn with its target and without it, and the scores.

`suppress methods | analyse | eval` are separate commands. Nothing here imports PyTorch, so help comes at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from minisd.cli import options

from ..engine import ENGINES


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    command = argv[0] if argv else None
    if command == "methods":
        listing = argparse.ArgumentParser(prog="suppress methods", description="List the methods and what they do.")
        return options.run("suppress methods", _methods, options.parse(listing, argv[1:]))
    if command in ("analyse", "analyze"):
        from .analyse import main as analyse

        return analyse(argv[1:])
    if command == "eval":
        from .evaluate import main as evaluate

        return evaluate(argv[1:])
    return options.run("suppress", _suppress, options.parse(_parser(), argv))


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="suppress",
        description="Draw a prompt without something that it names. Writes one picture: left the original, right the "
        "same without the target, and under each a map of what was fetched from the target's token. Also writes a JSON "
        "file with settings and scores.",
        epilog="Without --remove the target is what the prompt has in [brackets] or negates (without, no, not). "
        "`suppress methods` lists the methods, `suppress analyse PROMPT` looks into a prompt, `suppress eval` "
        "compares methods on the drawn world.",
    )
    options.add_version_option(p)
    p.add_argument("prompt", metavar="PROMPT", nargs="?", help='what to draw, e.g. "a man without glasses"')
    target = p.add_mutually_exclusive_group()
    words: dict[str, Any] = {"metavar": "WORD", "nargs": "+", "action": "extend"}
    target.add_argument("--remove", **words, help='words or phrases of the prompt: hat "van gogh"; may be repeated')
    target.add_argument("--strengthen", **words, help="the opposite: draw more of it (the paper's appendix F)")
    options.add_seed_option(p, "one row of pictures per seed: 3, or several: 0 3 5, 0,3,5, 0-7 (default 0)")
    p.add_argument("--params-from", metavar="FILE.png", help="draw a picture again; other options change it")
    _add_method_options(p)
    options.add_sampling_options(p)
    options.add_size_options(p)
    options.add_model_options(p)
    options.add_output_options(p)
    pictures = "also write each picture by itself, the original and the suppressed one, into this folder"
    p.add_argument("--save-pictures", metavar="DIR", help=pictures)
    return p


def _add_method_options(p: argparse.ArgumentParser) -> None:
    method = p.add_argument_group("method")
    method.add_argument(
        "--method", metavar="NAME", help="see `suppress methods`; with settings: suppress-eot:lambda_nl=0.3,heads=4"
    )
    method.add_argument(
        "--preset",
        choices=("official", "paper"),
        help="suppress-eot with the settings of its authors' code, or of the paper's text",
    )
    method.add_argument(
        "--start",
        metavar="R",
        type=_number,
        help="the first step with the edited prompt: a step number, or a fraction of the steps below 1. An early step "
        "removes more, a late one keeps more of the layout (default: the published .2; the embedded model has its own, "
        "which was measured: weights/tiny/defaults.json)",
    )
    method.add_argument(
        "--engine",
        choices=ENGINES,
        help="the way to compute the same picture: fast (default); reference, the loop as in the paper; or compiled, "
        "the fast one with torch.compile, whose first run takes a minute or more longer",
    )
    method.add_argument(
        "--gamma", type=float, help="the strength γ of SWR, σ̂ = σ e^(-γσ); 0 changes nothing (default 1)"
    )
    method.add_argument("--iterations", type=int, help="gradient steps of ITO at each step (default 0, paper 10)")
    method.add_argument(
        "--stop",
        metavar="STEP",
        type=_number,
        help="ITO ends before this step: a step number or a fraction (default .4)",
    )
    method.add_argument(
        "--sheet",
        metavar="NAME",
        nargs="*",
        help="compare methods: one row per method, one column per seed, the originals on top (default: "
        "zero, suppress-eot, official, paper, unread)",
    )


def _number(text: str) -> int | float:
    """ "5" is a step, "0.1" and ".0" are fractions of the steps."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    raise argparse.ArgumentTypeError(f"{text!r} is no number; expected a step such as 5, or a fraction such as .1")


def _methods(_args: argparse.Namespace) -> None:
    from ..methods import describe_methods

    print("\n".join(describe_methods()))


def _suppress(args: argparse.Namespace) -> None:
    from .draw import suppress

    suppress(args)

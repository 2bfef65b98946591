"""`suppress PROMPT --remove WORD`: a prompt drawn with its target and without it, and the scores.

`suppress methods | analyse | batch | sheet | eval | train | ui` are separate commands. Nothing here imports PyTorch, so
help comes at once.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any

from minisd.cli import options
from minisd.cli.answer import add_answer_options
from minisd.cli.completion import completed_command, completing
from minisd.cli.prompts import add_weights_option

from ..engine import ENGINES
from ..methods.catalogue import METHODS
from ..start.catalogue import INVERSIONS

COMMANDS = ("methods", "analyse", "batch", "sheet", "eval", "train", "ui")


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    command = completed_command(COMMANDS) or (argv[0] if argv else None)
    if command == "methods":
        listing = argparse.ArgumentParser(
            prog="suppress methods",
            description="List the methods, what they do, what they need and cost, and who published them.",
        )
        about = "print the settings of this method, with their defaults and sources"
        listing.add_argument("name", metavar="NAME", nargs="?", help=about)
        add_answer_options(listing)
        return options.run("suppress methods", _methods, options.parse(listing, argv[1:]))
    if command in ("analyse", "analyze"):
        from .analyse import main as analyse

        return analyse(argv[1:])
    if command == "batch":
        from .batch import main as draw_batch

        return draw_batch(argv[1:])
    if command == "sheet":
        from .sheet import main as draw_sheet

        return draw_sheet(argv[1:])
    if command == "eval":
        from .evaluate import main as evaluate

        return evaluate(argv[1:])
    if command == "train":
        from .train import main as train

        return train(argv[1:])
    if command == "ui":
        from .ui import main as serve_page

        return serve_page(argv[1:])
    return options.run("suppress", _suppress, options.parse(make_parser(), argv))


def make_parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="suppress",
        description="Draw a prompt without something that it names. Writes one picture: left the original, right the "
        "same without the target, and under each a map of what was fetched from the target's token. Also writes a JSON "
        "file with settings and scores.",
        epilog="With --image, a picture of yours is edited, which the prompt describes. Without --remove the target is "
        "what the prompt has in [brackets] or negates (without, no, not). `suppress methods` lists the methods, "
        "`suppress analyse PROMPT` looks into a prompt, `suppress batch FILE.csv` draws a picture for each "
        "line of a file, `suppress sheet` draws what all methods do on one sheet, "
        "`suppress eval` compares methods on the drawn world, `suppress train` makes the model forget something, "
        "`suppress ui` opens a page to click on.",
    )
    options.add_version_option(p)
    prompt = p.add_argument("prompt", metavar="PROMPT", nargs="?", help='what to draw, e.g. "a man without glasses"')
    completing(prompt, COMMANDS)
    target = p.add_mutually_exclusive_group()
    words: dict[str, Any] = {"metavar": "WORD", "nargs": "+", "action": "extend"}
    target.add_argument("--remove", **words, help='words or phrases of the prompt: hat "van gogh"; may be repeated')
    target.add_argument("--strengthen", **words, help="the opposite: draw more of it (the paper's appendix F)")
    options.add_seed_option(p, "one row of pictures per seed: 3, or several: 0 3 5, 0,3,5, 0-7 (default 0)")
    p.add_argument("--negative", metavar="PROMPT", help="what guidance leads away from in both pictures")
    add_weights_option(p, square=False)
    p.add_argument("--params-from", metavar="FILE.png", help="draw a picture again; other options change it")
    _add_method_options(p)
    _add_picture_options(p)
    options.add_sampling_options(p)
    options.add_size_options(p)
    options.add_model_options(p)
    options.add_output_options(p)
    add_answer_options(p)
    pictures = "also write each picture by itself, the original and the suppressed one, into this folder (with --image "
    pictures += "this is done anyway, beside the output)"
    p.add_argument("--save-pictures", metavar="DIR", help=pictures)
    p.set_defaults(repeats={})  # the parameters of --params-from, once they are read
    return p


def _add_method_options(p: argparse.ArgumentParser) -> None:
    method = p.add_argument_group("method")
    about = "see `suppress methods`; with settings: suppress-eot:lambda_nl=0.3,heads=4"
    completing(method.add_argument("--method", metavar="NAME", help=about), METHODS)
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
        "--keep-outside",
        dest="keep",
        metavar="RATE",
        type=_rate,
        nargs="?",
        const=1.0,
        help="pull all that the edit does not concern back to the original after each step, at a rate from 0 (not at "
        "all) to 1 (the default if no RATE follows). For a picture (--image) it is on, except for presets",
    )
    method.add_argument(
        "--sheet",
        metavar="NAME",
        nargs="*",
        help="compare methods: one row per method, one column per seed, the originals on top (default: "
        "zero, suppress-eot, official, paper, unread)",
    )


def _add_picture_options(p: argparse.ArgumentParser) -> None:
    picture = p.add_argument_group("a picture of yours")
    picture.add_argument("--image", metavar="FILE", help="edit this picture; PROMPT describes it as it is")
    how = "how the start is found from which the model draws it again: direct (default), null-text, …; with "
    how += "settings: null-text:iterations=20. `suppress methods` lists them"
    completing(picture.add_argument("--inversion", metavar="NAME", help=how), INVERSIONS)
    picture.add_argument(
        "--crop",
        metavar="L,T,R,B",
        type=read_box,
        help="the part to take: left, top, right and bottom in pixels of the upright picture (default: the centre)",
    )
    mask = "white where the picture may change. The edit, or --keep-outside, takes it in place of one that it finds"
    picture.add_argument("--mask", metavar="FILE", help=mask)
    picture.add_argument("--show-mask", action="store_true", help="write the mask of the edit, too")
    pixels = "put the picture's own pixels back outside the mask"
    picture.add_argument("--paste", action=argparse.BooleanOptionalAction, help=pixels)
    picture.add_argument("--no-cache", action="store_true", help="invert it anew, and keep nothing of it on the disk")


def read_box(text: str) -> tuple[int, ...]:
    """ "10,0,522,512" -> (10, 0, 522, 512)"""
    match = re.fullmatch(r"\s*,\s*".join([r"(-?[0-9]{1,9})"] * 4), text.strip())
    if not match:
        raise argparse.ArgumentTypeError(f"{text[:60]!r}; expected left,top,right,bottom in pixels, as 10,0,522,512")
    return tuple(int(side) for side in match.groups())


def _rate(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # --keep-outside may stand without a value, and so it takes a prompt that comes after it, too
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r} is no number; a PROMPT goes before --keep-outside, which takes a rate from 0 to 1"
        ) from None


def _number(text: str) -> int | float:
    """ "5" is a step, "0.1" and ".0" are fractions of the steps."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    raise argparse.ArgumentTypeError(f"{text!r} is no number; expected a step such as 5, or a fraction such as .1")


def _methods(args: argparse.Namespace) -> None:
    from ..methods import describe_method, describe_methods

    if args.name is not None:
        lines = describe_method(args.name)
        args.answer |= {"method": args.name, "about": lines}
        print("\n".join(lines))
        return
    args.answer["methods"] = {
        name: {"about": entry.about, "passes": entry.passes, "source": entry.source, "needs": entry.needs}
        for name, entry in METHODS.items()
    }
    args.answer["inversions"] = {name: {"about": e.about, "passes": e.passes} for name, e in INVERSIONS.items()}
    print("\n".join(describe_methods()))
    symbols = "T: steps, k: repeats, s: skipped steps"
    print(f"\ninversions of a picture (--image, --inversion), with their UNet passes; {symbols}")
    width = max(map(len, INVERSIONS))
    print("\n".join(f"{name:<{width}}  {entry.about}; {entry.passes}" for name, entry in INVERSIONS.items()))


def _suppress(args: argparse.Namespace) -> None:
    from .draw import suppress

    suppress(args)

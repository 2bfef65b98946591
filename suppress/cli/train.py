"""`suppress train NAME --concept WORD --out FILE.safetensors`: an eraser is trained and written as a delta file.

Some erasers need no training: suppress/cli/solve.py.

The parser needs no PyTorch: help comes at once.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minisd import UserError
from minisd.base.arguments import shown
from minisd.base.counted import counted
from minisd.cli import options
from minisd.cli.answer import add_answer_options, wrote

from ..methods import METHODS
from ..training.catalogue import ERASERS
from .solve import SOLVED, solve

if TYPE_CHECKING:
    from ..training.eraser import Eraser

PROGRAM = "suppress train"
# options that set a field of the same name, if the eraser has it
_FIELDS = ("weights", "iterations", "lr", "batch", "seed", "anchor")


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    args = options.parse(_parser(), argv)
    args.command = shlex.join(["suppress", "train", *argv])
    return options.run(PROGRAM, _train, args)


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, ERASERS))
    trained = "\n".join(f"  {name:<{width}}  {e.about} ({e.source})" for name, e in ERASERS.items())
    solved = "\n".join(f"  {name:<{width}}  {METHODS[name].about} ({METHODS[name].source})" for name in SOLVED)
    p = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Train the model to forget a concept. Writes the changed weights into a file, with which\n"
        "`suppress PROMPT --remove WORD --method delta:FILE.safetensors` draws. Ctrl-C keeps what is done.",
        epilog=f"erasers:\n{trained}\n\nwithout a training; the files of uce and rece are for --method "
        f"context-map:FILE, those of casteer for --method casteer:FILE:\n{solved}"
        "\n\nThe settings are the published ones, or those that were measured on the model.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("name", metavar="NAME", help="an eraser; with settings: esd:eta=2,sampling_steps=20")
    of = "what is to be forgotten; uce and rece take several, with commas"
    p.add_argument("--concept", metavar="WORDS", required=True, help=of)
    start = p.add_mutually_exclusive_group()
    of = "prompts from which it is to be forgotten (default: the concept alone)"
    start.add_argument("--from", dest="prompts", metavar="PROMPT", nargs="+", help=of)
    start.add_argument(
        "--prompts",
        dest="file",
        metavar="FILE.txt",
        help="the same from a file, one per line; [brackets] mark the phrase that belongs to the concept",
    )
    p.add_argument("--anchor", metavar="WORDS", help="concept-ablation: what is drawn in its place (default: nothing)")
    training = p.add_argument_group("training")
    training.add_argument("--weights", help="which are trained: kv, cross, others or full")
    training.add_argument("--iterations", type=int, metavar="N", help="steps of the optimiser")
    training.add_argument("--lr", type=float, help="learning rate")
    training.add_argument("--batch", type=int, metavar="N", help="pictures per iteration")
    training.add_argument("--seed", type=int, metavar="N", help="of all that is drawn at random (default 0)")
    options.add_model_options(p)
    _add_output_options(p)
    return p


def _add_output_options(p: argparse.ArgumentParser) -> None:
    group = p.add_argument_group("output")
    group.add_argument("--out", metavar="FILE.safetensors", required=True, help="the delta file")
    rank = "write the change of each matrix as one of this rank, in float16: a small file (default 0: whole matrices)"
    group.add_argument("--rank", type=int, default=0, metavar="N", help=rank)
    group.add_argument("--resume", action="store_true", help="go on with a training of --out that was stopped")
    group.add_argument("--overwrite", action="store_true", help="replace --out, and start anew")
    every = "keep the training after every N iterations, in case the machine stops (default 100)"
    group.add_argument("--save-every", type=int, default=100, metavar="N", help=every)
    add_answer_options(p)


def _train(args: argparse.Namespace) -> None:
    name = args.name.partition(":")[0]
    if name not in (*ERASERS, *SOLVED):
        raise UserError(f"the eraser {shown(args.name)} is unknown; expected one of {', '.join((*ERASERS, *SOLVED))}")
    if name in SOLVED:
        solve(args)
    else:
        _descend(args)


def _descend(args: argparse.Namespace) -> None:
    from ..defaults import measured_defaults
    from ..training.names import measured
    from ..training.run import check_output, train

    out = check_output(args.out, args.rank, args.resume, args.overwrite, args.save_every)
    given = _given(args)
    sd = options.load_model(args)
    defaults = measured_defaults(sd)
    eraser = _eraser(args, defaults, given)
    name = args.name.partition(":")[0]
    origin = f"measured on {sd.name}" if measured(defaults, name) else "published"
    print(f"{name}: {describe(eraser)} (settings not given: {origin})", flush=True)
    about = train(sd, name, eraser, out, options.progress_bar(name), args.command)
    size = out.path.stat().st_size
    loss = f"loss {about['first loss']:.4g} -> {about['last loss']:.4g}, " if "last loss" in about else ""
    print(f"{loss}{about['seconds']:.0f} s ({about['cpu seconds']:.0f} s of processor time), {size / 1e6:.2f} MB")
    wrote(args, out.path)
    args.answer["training"] = about
    print(out.path)


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that the options name. UserError if the file of prompts cannot be read, or is empty."""
    given = {name: getattr(args, name) for name in _FIELDS if getattr(args, name) is not None}
    prompts = read_prompts(args.file) if args.file is not None else args.prompts
    return given | {"concept": args.concept} | ({"prompts": tuple(prompts)} if prompts else {})


def _eraser(args: argparse.Namespace, defaults: dict[str, Any], given: dict[str, Any]) -> Eraser:
    from ..training.names import parse_eraser

    return parse_eraser(args.name, defaults, **given)


def read_prompts(name: str) -> list[str]:
    """The lines of a text file that are not empty. UserError if there are none, or if it cannot be read."""
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(
            f"--prompts {name!r} cannot be read: {error}; expected a text file, one prompt per line"
        ) from None
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise UserError(f"--prompts {name!r} has no prompts; expected one per line")
    return prompts


def describe(eraser: Eraser) -> str:
    """The most important settings, in one line."""
    parts = [f"forgetting {eraser.concept!r}"]
    parts += [f"from {counted(len(eraser.prompts), 'prompt')}"] if eraser.prompts else []
    wordings = {
        "weights": "weights: {}".format,
        "iterations": lambda number: counted(number, "iteration"),
        "lr": "learning rate {:g}".format,
    }
    parts += [words(getattr(eraser, field)) for field, words in wordings.items() if hasattr(eraser, field)]
    return ", ".join(parts)


if __name__ == "__main__":
    raise SystemExit(main())

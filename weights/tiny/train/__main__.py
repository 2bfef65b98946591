"""`python -m weights.tiny.train`: makes the embedded model from the drawn world.

The parser needs no PyTorch: help comes at once.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from minisd.base.arguments import whole_number
from minisd.cli import options

from .budget import STAGES, budgets

PROGRAM = "python -m weights.tiny.train"
_MOST_WORKERS = 15


def main(argv: Sequence[str] | None = None) -> int:
    return options.run(PROGRAM, _train, options.parse(_parser(), argv))


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Make the embedded model from the drawn world: tokenizer, CLIP, VAE, detector and UNet, one after\n"
        "the other. The folder then loads with minisd.load(FOLDER). Ctrl-C keeps what is done.",
        epilog="Log, checkpoints and sample sheets are in FOLDER/training. For several GPUs:\n"
        "  torchrun --nproc_per_node=N -m weights.tiny.train …",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--out", metavar="FOLDER", help="a new folder (default: trained-tiny or trained-micro)")
    p.add_argument("--resume", action="store_true", help="go on with the run in FOLDER, with its settings")
    of = "tiny (default): the embedded model; micro: the same parts with few channels, a test of a minute on a CPU"
    p.add_argument("--recipe", choices=("tiny", "micro"), help=of)
    of = f"a stage's budget: N for all, or STAGE=N; stages: {', '.join(STAGES)} (default: the recipe's steps)"
    p.add_argument("--steps", nargs="+", default=[], metavar="N", help=of)
    of = "the same in seconds, in which the machine's speed decides about the weights"
    p.add_argument("--seconds", nargs="+", default=[], metavar="S", help=of)
    p.add_argument("--seed", type=int, metavar="N", help="of pictures, weights and noise (default 2026)")
    p.add_argument("--pictures", type=int, metavar="N", help="that are drawn (default 120000 for tiny, 96 for micro)")
    p.add_argument("--device", help="cpu or cuda (default: cuda if present)")
    p.add_argument("--workers", type=int, metavar="N", help="processes that draw (default: one for each other core)")
    p.add_argument("--threads", type=options.thread_count, metavar="N", help="processor threads of PyTorch")
    p.add_argument("--compile", action="store_true", help="with torch.compile: faster, after minutes of compiling")
    return p


def _train(args: argparse.Namespace) -> None:
    found = budgets(args.steps, args.seconds)
    out = Path(args.out or f"trained-{args.recipe or 'tiny'}")
    workers = _workers() if args.workers is None else whole_number("workers", args.workers, 0, 256)
    import torch

    from .processes import processes
    from .run import train
    from .settings import Given

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    given = Given(args.recipe, args.seed, args.pictures, found)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` ends it as Ctrl-C does
    try:
        with processes(args.device) as these:
            train(out, given, these, workers, args.resume, args.compile)
            if these.is_first:
                print(out)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(
            stop.args[0] if stop.args else "go on with --resume; finished stages are kept"
        ) from None


def _workers() -> int:
    """One for each core but this process's own, shared by the processes of torchrun."""
    cores = (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return max(1, min(_MOST_WORKERS, cores - 1))


if __name__ == "__main__":
    raise SystemExit(main())

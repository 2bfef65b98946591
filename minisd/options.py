"""What the command lines share: the options that choose a model, and how a user's mistake is told."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from .errors import UserError

if TYPE_CHECKING:
    from .pipeline import StableDiffusion

DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        metavar="SOURCE",
        help="tiny (default), a folder in diffusers layout, a .safetensors or .ckpt file, or a hub id",
    )
    group.add_argument("--device", help="cpu, cuda, mps, … (default: cuda, mps or cpu, the first present)")
    group.add_argument("--dtype", choices=DTYPES, help="of the weights (default fp32)")
    group.add_argument("--variant", help="of a folder's or the hub's files, e.g. fp16")
    group.add_argument("--revision", help="of the hub's repository")
    threads = "processor threads (default: one for each core; fewer may be faster on a busy machine)"
    group.add_argument("--threads", metavar="N", type=thread_count, help=threads)
    group.add_argument("--ema", action=argparse.BooleanOptionalAction, help="a single file's EMA weights")


def whole_seed(text: str) -> int:
    """For `--seed` with several values, which would swallow a prompt that stands behind it."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; a PROMPT goes before --seed") from None


def thread_count(text: str) -> int:
    """A number of threads. PyTorch starts as many as it is told to, so a slip of the hand is stopped here."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= 1024):
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number of threads from 1 to 1024")
    return int(text)


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    """Defaults are None where a command fills them in later (from a picture's parameters, from a checkpoint)."""
    group = parser.add_argument_group("sampling")
    group.add_argument("--steps", type=int, help="DDIM steps (default 50)")
    group.add_argument("--guidance", type=float, help="classifier-free guidance (default 7.5)")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--out", metavar="FILE.png", help="default: the next free name made of the prompt and the seed")
    group.add_argument("--overwrite", action="store_true", help="replace an existing --out")


def before_torch() -> None:
    """Settings that PyTorch reads when it is imported. A user's own setting wins.

    Idle threads of PyTorch's thread pool spin while they wait for work. On a busy machine they take the processor from
    the thread that they wait for, and a run takes several times as long (`python -m bench.busy`). A passive thread
    sleeps. On idle cores the difference does not show.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def load_model(args: argparse.Namespace) -> StableDiffusion:
    import torch

    from .checkpoint import load

    if args.threads is not None:
        torch.set_num_threads(args.threads)

    return load(
        args.model or "tiny",
        args.device,
        getattr(torch, DTYPES[args.dtype or "fp32"]),
        variant=args.variant,
        revision=args.revision,
        ema=bool(args.ema),
    )


def model_fields(sd: StableDiffusion, args: argparse.Namespace) -> dict[str, object]:
    """What a picture's parameters say of its model; None where it is the default."""
    return {
        "Model": sd.name,
        "Variant": args.variant,
        "Revision": args.revision,
        "EMA": "yes" if args.ema else None,
        "Precision": None if args.dtype == "fp32" else args.dtype,
    }


def progress_bar(label: str) -> Callable:
    """A tqdm bar on standard error for `progress=`; none where that is not a terminal."""
    from tqdm import tqdm

    return partial(tqdm, desc=label, unit="step", leave=False, disable=None)


def run(program: str, command: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> int:
    """The exit status: 0, 2 for a mistake of the user's (one line, no traceback), 130 for Ctrl-C."""
    before_torch()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = partial(_show_warning, program)
            command(args)
        return 0
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, OSError) as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        way_out = "ask for a smaller picture, for fewer seeds at once, or for --dtype bf16"
        print(f"{program}: error: not enough memory; {way_out} ({_first_line(error)})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted; nothing was written", file=sys.stderr)
        return 130


def _is_out_of_memory(error: Exception) -> bool:
    """PyTorch has a class for this on CUDA alone; on the CPU and on Apple's GPUs the words must tell."""
    words = ("can't allocate memory", "not enough memory", "out of memory", "Storage size calculation overflowed")
    return isinstance(error, MemoryError) or any(w in str(error) for w in words)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _show_warning(program: str, message: Warning | str, *_where: object) -> None:
    print(f"{program}: {message}", file=sys.stderr)

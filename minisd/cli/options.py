"""What the command lines share: how they start and end, and the options that several of them have."""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from ..base.errors import UserError

if TYPE_CHECKING:
    from ..pipeline import StableDiffusion

MOST_SEEDS = 10_000  # of one command: a range such as 0-99999999 is a slip of the hand

SPINS = "1000"  # turns of the loop in which a thread waits; with 10000 a busy machine slows a run noticeably more
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


def add_seed_option(parser: argparse.ArgumentParser, help: str, default: list[int] | None = None) -> None:
    """`--seed` with one or several seeds: "--seed 3", "--seed 0 1 2", "--seed 0-7", "--seed 0,3,5-7"."""
    parser.add_argument("--seed", metavar="N", type=seeds, nargs="+", action=_Joined, default=default, help=help)


def seeds(text: str) -> list[int]:
    """ "3" -> [3], "0-3" -> [0, 1, 2, 3], "0,3,5-7" -> [0, 3, 5, 6, 7]. `arguments.pair` checks their range."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(-?[0-9]{1,99})(?:-([0-9]{1,99}))?\s*", part)
        if not match:
            # with several values `--seed` would swallow a prompt that stands behind it
            raise argparse.ArgumentTypeError(
                f"{_short(text)} is no seed; a PROMPT goes before --seed, which takes 3, or 0,3,5, or 0-7"
            )
        low, high = int(match[1]), int(match[2] or match[1])
        if high < low:
            raise argparse.ArgumentTypeError(f"{_short(part)} counts down; a range of seeds is written as 0-7")
        if high - low >= MOST_SEEDS:
            raise argparse.ArgumentTypeError(f"{_short(part)} is more than {MOST_SEEDS:,} seeds; give a shorter range")
        found += range(low, high + 1)
    return found


class _Joined(argparse.Action):
    """One list of several: each value of the option is a list, and the option may be repeated."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        known = getattr(namespace, self.dest)
        before = [] if known is self.default else known
        setattr(namespace, self.dest, [*before, *(value for part in values for value in part)])


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")


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


def add_size_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--height", type=int, help="pixels, a multiple of 8 (default: as the model was trained)")
    parser.add_argument("--width", type=int, help="likewise")


def add_version_option(parser: argparse.ArgumentParser) -> None:
    from .. import __version__

    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--out", metavar="FILE.png", help="default: the next free name made of the prompt and the seed")
    group.add_argument("--overwrite", action="store_true", help="replace an existing --out")


def before_torch() -> None:
    """Settings that PyTorch reads when it is imported. A user's own setting wins.

    Idle threads of PyTorch's thread pool spin while they wait for work. On a busy machine they take the processor from
    the thread that they wait for, and a run takes several times as long (`python -m bench.busy`). A passive thread
    sleeps, but to wake it up takes long: on idle cores the layers of a small model wait for that. So GNU's OpenMP,
    which PyTorch has on Linux, is told to spin for a moment, and to sleep then; others have no such number.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def load_model(args: argparse.Namespace) -> StableDiffusion:
    import torch

    from ..loading.checkpoint import load

    if args.threads is not None:
        torch.set_num_threads(args.threads)

    return load(
        "tiny" if args.model is None else args.model,
        args.device,
        getattr(torch, DTYPES[args.dtype or "fp32"]),
        variant=args.variant,
        revision=args.revision,
        ema=bool(args.ema),
    )


def drawing_fields(
    sd: StableDiffusion, args: argparse.Namespace, steps: int, guidance: float, seed: int, size: tuple[int, int]
) -> dict[str, object]:
    """What a picture's parameters say of how it was drawn, in the field's order and names. size: (width, height)"""
    return {
        "Steps": steps,
        "Sampler": "DDIM",
        "CFG scale": guidance,
        "Seed": seed,
        "Size": f"{size[0]}x{size[1]}",
        **model_fields(sd, args),
    }


def model_fields(sd: StableDiffusion, args: argparse.Namespace) -> dict[str, object]:
    """What a picture's parameters say of its model and its making; None where it is the default."""
    return {
        "Model": sd.name,
        "Variant": args.variant,
        "Revision": args.revision,
        "EMA": "yes" if args.ema else None,
        "Precision": None if args.dtype == "fp32" else args.dtype,
        **making_fields(sd),
    }


def making_fields(sd: StableDiffusion) -> dict[str, object]:
    """With what, where and when something is made: last digits depend on it."""
    import torch

    from .. import __version__

    card = f" ({torch.cuda.get_device_name(sd.device)})" if sd.device.type == "cuda" else ""
    return {
        "Version": f"minisd {__version__}",
        "Torch": torch.__version__,
        "Device": sd.device.type + card,
        "Date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


_FOREIGN_SIGNS = {
    re.compile(r"\([^()]*:\s*[\d.]+\s*\)"): "there are no weights in a prompt",
    re.compile(r"<(?:lora|lyco|hypernet):[^<>]*>"): "no such file is loaded",
    re.compile(r"\[[^\[\]]*\]"): "brackets weaken nothing (in `suppress` they name what to remove)",
}


def note_foreign_signs(prompt: str) -> None:
    """Warns of signs of other programs, which Stable Diffusion's text encoder reads as letters and punctuation."""
    for sign, reading in _FOREIGN_SIGNS.items():
        if found := sign.search(prompt):
            warnings.warn(f"{_short(found[0])} is read as plain text: {reading}", stacklevel=2)


def progress_bar(label: str) -> Callable:
    """A tqdm bar on standard error for `progress=`; none where that is not a terminal."""
    from tqdm import tqdm

    return partial(tqdm, desc=label, unit="step", leave=False, disable=None)


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments. Every command begins with this: from here on no character that is printed stops it."""
    accept_any_character()
    for argument in sys.argv[1:] if argv is None else argv:
        if argument.startswith("--") and argument.endswith("=--"):  # of which argparse makes no value at all
            parser.error(f"{argument.removesuffix('=--')} was given no value; '--' is none")
    try:
        return parser.parse_args(argv)
    except SystemExit:  # --help and --version have printed
        _close_output()
        raise


def accept_any_character() -> None:
    """Where a terminal or a pipe cannot show a character, as on Windows, its escape is printed: "\\u0142".

    Standard error does so from the start; standard output would raise UnicodeEncodeError.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not in a notebook; and a stream that was closed is None
            stream.reconfigure(errors="backslashreplace")


def run(program: str, command: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> int:
    """The exit status: 0, 2 for a mistake of the user's (one line, no traceback), 130 for Ctrl-C.

    A command that keeps what it has done when it is stopped says so: `raise KeyboardInterrupt("3 of 8 are written")`.
    """
    before_torch()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = partial(_show_warning, program)
            command(args)
        if sys.stdout:
            sys.stdout.flush()
        return 0
    except BrokenPipeError:  # `| head` has read enough
        _close_output()
        return 0
    except (UserError, OSError) as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        _close_output()
        return 2
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        way_out = "ask for a smaller picture, for fewer seeds at once, or for --dtype bf16"
        print(f"{program}: error: not enough memory; {way_out} ({_first_line(error)})", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"\n{program}: interrupted; {stop.args[0] if stop.args else 'nothing was written'}", file=sys.stderr)
        return 130


def _close_output() -> None:
    """Prints what waits to be printed. Where that fails, Python must not try again at its end, with a traceback."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_out_of_memory(error: Exception) -> bool:
    """PyTorch has a class for this on CUDA alone; on the CPU and on Apple's GPUs the words must tell."""
    words = ("can't allocate memory", "not enough memory", "out of memory", "Storage size calculation overflowed")
    return isinstance(error, MemoryError) or any(w in str(error) for w in words)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _show_warning(program: str, message: Warning | str, *_where: object) -> None:
    print(f"{program}: {message}", file=sys.stderr)

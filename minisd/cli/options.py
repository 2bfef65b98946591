"""What all command lines share: options, how they start, and how they end."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from ..base.errors import UserError
from .answer import print_answer, printing
from .completion import complete
from .model_choice import ModelChoice

if TYPE_CHECKING:
    from ..pipeline import StableDiffusion

MOST_SEEDS = 10_000  # of one command: a range such as 0-99999999 is a typing error

SPINS = "1000"  # rounds of a thread's waiting loop; with 10000, a busy machine slows a run noticeably more
DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        metavar="SOURCE",
        help="tiny (default), a folder in diffusers layout, a .safetensors or .ckpt file, or a hub id",
    )
    add_loading_options(group)


def add_loading_options(group: Any) -> None:
    """How the model is loaded, and what is put into it."""
    lora = "a LoRA that is merged into the weights, as style.safetensors:0.8 (scale 0.8; default 1); may be repeated"
    group.add_argument("--lora", metavar="FILE[:SCALE]", action="append", help=lora)
    group.add_argument("--vae", metavar="SOURCE", help="another VAE: a file, a folder or a hub id")
    skip = "leave out the text encoder's last N layers (default 0; other programs call 1 a Clip skip of 2)"
    group.add_argument("--clip-skip", metavar="N", type=int, help=skip)
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
            # `--seed` takes several values, and so it takes a prompt that comes after it, too
            raise argparse.ArgumentTypeError(
                f"{_short(text)} is not a seed; a PROMPT goes before --seed, which takes 3, or 0,3,5, or 0-7"
            )
        low, high = int(match[1]), int(match[2] or match[1])
        if high < low:
            raise argparse.ArgumentTypeError(f"{_short(part)} counts down; a range of seeds is written as 0-7")
        if high - low >= MOST_SEEDS:
            raise argparse.ArgumentTypeError(f"{_short(part)} is more than {MOST_SEEDS:,} seeds; give a shorter range")
        found += range(low, high + 1)
    return found


class _Joined(argparse.Action):
    """Joins the lists that the option's values are. The option may be repeated."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        known = getattr(namespace, self.dest)
        before = [] if known is self.default else known
        setattr(namespace, self.dest, [*before, *(value for part in values for value in part)])


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")


def thread_count(text: str) -> int:
    """A number of threads. PyTorch would start any number, so a typing error is found here."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= 1024):
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number of threads from 1 to 1024")
    return int(text)


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    """The defaults are None: the commands fill them in later, from a picture's parameters or from the checkpoint."""
    group = parser.add_argument_group("sampling")
    group.add_argument("--steps", type=int, help="DDIM steps (default 50)")
    group.add_argument("--guidance", type=float, help="classifier-free guidance (default 7.5)")


def add_size_options(parser: argparse.ArgumentParser) -> None:
    """--size, --height and --width. `parse` gives the values of --size to the other two."""
    size = "pixels, width × height, multiples of 8: 768x512 (default: the model's own size)"
    parser.add_argument("--size", metavar="WxH", type=picture_size, help=size)
    parser.add_argument("--height", type=int, help="the height alone")
    parser.add_argument("--width", type=int, help="the width alone")


def picture_size(text: str) -> tuple[int, int]:
    """ "768x512" -> (768, 512), width and height"""
    match = re.fullmatch(r"([0-9]{1,9})[xX×]([0-9]{1,9})", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{_short(text)} is no size; expected width × height, such as 768x512")
    return int(match[1]), int(match[2])


def _read_size(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Gives --width and --height the values of --size. An error if one of them says something else."""
    if getattr(args, "size", None) is None:
        return
    for name, side in zip(("width", "height"), args.size, strict=True):
        if getattr(args, name) not in (None, side):
            given = "x".join(map(str, args.size))
            parser.error(f"--size {given} and --{name} {getattr(args, name)} contradict each other")
        setattr(args, name, side)


def add_version_option(parser: argparse.ArgumentParser) -> None:
    from .. import __version__

    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")


def add_output_options(parser: argparse.ArgumentParser, file: str = "FILE.png") -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--out", metavar=file, help="default: the next free name made of the prompt and the seed")
    group.add_argument("--overwrite", action="store_true", help="replace an existing --out")


def before_torch() -> None:
    """Settings that PyTorch reads when it is imported. A user's own settings are kept.

    Idle threads of PyTorch spin while they wait for work. On a busy machine they take processor time from the thread
    that they wait for, and a run takes several times as long (`python -m bench.busy`). A passive thread sleeps instead,
    but it wakes up slowly: on idle cores, the layers of a small model wait for that. Therefore GNU's OpenMP, which
    PyTorch uses on Linux, is told to spin for a moment and then to sleep. Other OpenMPs have no such setting.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def load_model(args: argparse.Namespace) -> StableDiffusion:
    import torch

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    return ModelChoice.of(args).load(args.device)


def drawing_fields(
    sd: StableDiffusion, args: argparse.Namespace, steps: int, guidance: float, seed: int, size: tuple[int, int]
) -> dict[str, object]:
    """The parameters that repeat a drawing, with the usual names and order. size: (width, height)"""
    return sampling_fields(steps, guidance, seed, size) | model_fields(sd, args)


def sampling_fields(steps: int, guidance: float, seed: int | None, size: tuple[int, int]) -> dict[str, object]:
    """Those of them that do not name the model."""
    return {
        "Steps": steps,
        "Sampler": "DDIM",
        "CFG scale": guidance,
        "Seed": seed,
        "Size": f"{size[0]}x{size[1]}",
    }


def model_fields(sd: StableDiffusion, args: argparse.Namespace) -> dict[str, object]:
    """The parameters that name the model, and those of `making_fields`. None: the default."""
    return {
        "Model": sd.name,
        "Variant": args.variant,
        "Revision": args.revision,
        "EMA": "yes" if args.ema else None,
        "LoRA": json.dumps(args.lora, ensure_ascii=False) if args.lora else None,
        "VAE": args.vae,
        "Clip skip": args.clip_skip + 1 if args.clip_skip else None,  # as other programs count it
        "Precision": None if args.dtype == "fp32" else args.dtype,
        **making_fields(sd),
    }


def making_fields(sd: StableDiffusion) -> dict[str, object]:
    """Versions, device and date: the last digits of the result depend on the first two."""
    import torch

    from .. import __version__

    card = f" ({torch.cuda.get_device_name(sd.device)})" if sd.device.type == "cuda" else ""
    return {
        "Version": f"minisd {__version__}",
        "Torch": torch.__version__,
        "Device": sd.device.type + card,
        "Date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def progress_bar(label: str) -> Callable:
    """A tqdm bar on standard error, for `progress=`. It is hidden if standard error is not a terminal."""
    from tqdm import tqdm

    return partial(tqdm, desc=label, unit="step", leave=False, disable=None)


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments. Every command begins with this call: afterwards, printing any character is safe."""
    accept_any_character()
    complete(parser)
    for argument in sys.argv[1:] if argv is None else argv:
        if argument.startswith("--") and argument.endswith("=--"):  # argparse would drop the "--"
            parser.error(f"{argument.removesuffix('=--')} was given no value; '--' is not a value")
    try:
        args = parser.parse_args(argv)
        _read_size(parser, args)
        args.answer = {}  # what --json prints (answer.py)
        return args
    except SystemExit:  # --help and --version have printed
        _close_output()
        raise


def accept_any_character() -> None:
    """If a terminal or a pipe cannot show a character, as on Windows, its escape is printed: "\\u0142".

    Standard error does this anyway; standard output would raise UnicodeEncodeError.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's stream has no such method, and a closed stream is None
            stream.reconfigure(errors="backslashreplace")


def run(program: str, command: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> int:
    """The exit status: 0, 2 for a user's mistake (one line, no traceback), 130 for Ctrl-C.

    A command that was stopped may say what it has kept: `raise KeyboardInterrupt("3 of 8 are written")`.
    """
    before_torch()
    status, error = 0, ""
    try:
        with printing(args):
            status, error = _run(program, command, args)
    except SystemExit as end:  # the command has said why
        print_answer(args, program, end.code if isinstance(end.code, int) else 1, "interrupted")
        raise
    try:
        print_answer(args, program, status, error)
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:  # `| head` has closed the pipe
        _close_output()
    return status


def _run(program: str, command: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> tuple[int, str]:
    """(exit status, what went wrong)"""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = partial(_show_warning, program)
            command(args)
        if sys.stdout:
            sys.stdout.flush()
        return 0, ""
    except BrokenPipeError:
        _close_output()
        return 0, ""
    except (UserError, OSError) as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        _close_output()
        return 2, str(error)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        way_out = "ask for a smaller picture, for fewer seeds at once, or for --dtype bf16"
        told = f"not enough memory; {way_out} ({_first_line(error)})"
        print(f"{program}: error: {told}", file=sys.stderr)
        return 2, told
    except KeyboardInterrupt as stop:
        told = f"interrupted; {stop.args[0] if stop.args else 'nothing was written'}"
        print(f"\n{program}: {told}", file=sys.stderr)
        return 130, told


def _close_output() -> None:
    """Flushes standard output. If that fails, Python must not try it again at exit, with a traceback."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out. PyTorch has a class for this on CUDA only; elsewhere the message must tell."""
    words = ("can't allocate memory", "not enough memory", "out of memory", "Storage size calculation overflowed")
    return isinstance(error, MemoryError) or any(w in str(error) for w in words)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _show_warning(program: str, message: Warning | str, *_where: object) -> None:
    print(f"{program}: {message}", file=sys.stderr)

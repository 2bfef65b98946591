"""`--quiet` and `--json`: what a command says, and in which form.

A command prints its text for people. What it wrote and found, it also notes in `args.answer`:

    wrote(args, path);  args.answer["scores"] = …

With --json this is printed as one JSON object, and the text for people goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO


def add_answer_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is printed")
    group.add_argument("--quiet", action="store_true", help="nothing but warnings and errors, and no progress bar")
    about = "one JSON object on standard output: what was written and the scores; the text for people goes to standard "
    group.add_argument("--json", action="store_true", help=about + "error, or with --quiet nowhere")


def wrote(args: argparse.Namespace, *paths: Path | str, instead_of: Sequence[Path] = ()) -> None:
    """Notes files that were written, each once. A script calls a command without options, and nothing is noted.

    instead_of: files that were noted before, and that these have replaced.
    """
    known = getattr(args, "answer", {}).setdefault("written", [])
    known[:] = [path for path in known if path not in map(str, instead_of)]
    known += [path for path in dict.fromkeys(map(str, paths)) if path not in known]


@contextmanager
def printing(args: argparse.Namespace) -> Iterator[None]:
    """Inside, what is printed goes where --quiet and --json want it."""
    quiet, as_json = getattr(args, "quiet", False), getattr(args, "json", False)
    with ExitStack() as stack:
        if quiet:
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(_NoTerminal(sys.stderr)))
        elif as_json:
            stack.enter_context(redirect_stdout(sys.stderr))
        yield


class _NoTerminal:
    """Standard error for --quiet: progress bars draw themselves on a terminal only, and this says that it is none."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def isatty(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def print_answer(args: argparse.Namespace, program: str, status: int, error: str) -> None:
    """The JSON object, if --json wants it. error: what went wrong or was interrupted; empty: nothing."""
    if not getattr(args, "json", False):
        return
    about: dict[str, Any] = {"program": program, "status": status, **({"error": error} if error else {})}
    print(json.dumps(about | {"written": []} | args.answer, indent=2, ensure_ascii=False, default=str))

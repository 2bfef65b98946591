"""The prompts of the command lines: `--weights`, and what other programs' signs mean without it."""

from __future__ import annotations

import argparse
import re
import warnings

_SHOWN = 60  # characters of a sign in a warning

_FOREIGN_SIGNS = {
    re.compile(r"\([^()]*:\s*[\d.]+\s*\)"): "give --weights to read it as a weight",
    re.compile(r"<(?:lora|lyco|hypernet):[^<>]*>"): "a file is given as --lora FILE:0.8",
    re.compile(r"\[[^\[\]]*\]"): "brackets weaken nothing (in `suppress` they name what to remove)",
}


def add_weights_option(parser: argparse.ArgumentParser, square: bool = True) -> None:
    """square: whether [brackets] are weights for this command."""
    about = "read (word:1.3) in the prompts as a weight, (word) as 1.1"
    about += ", [word] as 1/1.1" if square else " ([word] still marks what to remove)"
    about += r"; \( is the bracket itself. By default, brackets are plain text"
    parser.add_argument("--weights", action="store_true", default=None, help=about)


def read_prompt(args: argparse.Namespace, text: str) -> str:
    """The prompt, with its weights if --weights was given. Otherwise a warning tells about other programs' signs.

    UserError for brackets and weights that cannot be used.
    """
    if args.weights:
        from ..emphasis import weighted  # which needs PyTorch; the parsers, which import this file, do not

        return weighted(text)
    note_foreign_signs(text)
    return text


def note_foreign_signs(prompt: str) -> None:
    """Warns about the syntax of other programs, which Stable Diffusion's text encoder reads as plain text."""
    for sign, reading in _FOREIGN_SIGNS.items():
        if found := sign.search(prompt):
            text = found[0] if len(found[0]) <= _SHOWN else found[0][: _SHOWN - 1] + "…"
            warnings.warn(f"{text!r} is read as plain text: {reading}", stacklevel=2)

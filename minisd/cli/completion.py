"""Completion in the shell, by the library argcomplete (the extra `completion`), for bash, zsh and fish.

    pip install "minisd[completion]" && eval "$(register-python-argcomplete minisd suppress)"       # in ~/.bashrc

The shell then runs the program itself at each Tab, with the line in COMP_LINE, and `complete` answers.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Collection, Iterable
from typing import Any

_START = "_ARGCOMPLETE"  # set by the shell: the number of words before the arguments, the program's name among them


def complete(parser: argparse.ArgumentParser) -> None:
    """Answers the shell and ends the program, if the shell has asked. Otherwise it does nothing."""
    if _START not in os.environ:
        return
    try:
        import argcomplete
    except ImportError:  # of another Python than that of the shell's script
        return
    argcomplete.autocomplete(parser)


def completed_command(commands: Collection[str]) -> str | None:
    """The command that the shell's line has after the program's name, if it is one of these and another word follows.

    That word is left out for `complete`, so that the command's own parser sees its own arguments.
    """
    if _START not in os.environ:
        return None
    start = int(os.environ[_START])
    try:
        words = shlex.split(os.environ.get("COMP_LINE", "")[: int(os.environ.get("COMP_POINT", "0"))])
    except ValueError:  # a quote that is still open: the user is inside a later word
        words = os.environ["COMP_LINE"].split()
    ended = os.environ.get("COMP_LINE", "").endswith(" ")
    if len(words) <= start or words[start] not in commands or (len(words) == start + 1 and not ended):
        return None
    os.environ[_START] = str(start + 1)
    return words[start]


def completing(action: Any, words: Iterable[str]) -> None:
    """These words complete the values of an option or a positional argument."""
    action.completer = lambda **_: list(words)

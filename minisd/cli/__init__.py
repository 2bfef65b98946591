"""The command `minisd`, and what it shares with `suppress`: options, parameters in pictures."""

from .commands import main

__all__ = ["main"]

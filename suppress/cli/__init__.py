"""The command `suppress`."""

from .commands import main

__all__ = ["main"]

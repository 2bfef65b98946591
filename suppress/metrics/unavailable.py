"""A score that cannot be given here: the reason is told in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minisd import UserError


class Unavailable(UserError):
    """str(error) is the reason, as a phrase for the reader."""


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Around the loading of a judge: whatever is wrong with its files, there is no score, and the picture is kept."""
    try:
        yield
    except Unavailable:
        raise
    except Exception as error:  # JSON's, safetensors', PyTorch's, the system's: they share no base class
        reason = (str(error).strip().splitlines() or [""])[0]
        raise Unavailable(f"{folder} is damaged or incomplete: {type(error).__name__}: {reason}") from error

"""A score that cannot be given: the reason stands in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minisd import UserError


class Unavailable(UserError):
    """str(error) is the reason, a phrase for the user."""


@contextmanager
def unavailable_if_damaged(folder: Path) -> Iterator[None]:
    """Loads a detector or a CLIP inside this block. Anything wrong with its files becomes Unavailable.

    So a damaged file costs the score, and the picture is kept.
    """
    try:
        yield
    except Unavailable:
        raise
    except Exception as error:  # errors of JSON, safetensors, PyTorch and the system have no base class in common
        reason = (str(error).strip().splitlines() or [""])[0]
        raise Unavailable(f"{folder} is damaged or incomplete: {type(error).__name__}: {reason}") from error

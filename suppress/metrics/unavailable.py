"""A score that cannot be given: the reason stands in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minisd import CheckpointError, UserError
from minisd.loading.manifest import fetch


class Unavailable(UserError):
    """str(error) is the reason, a phrase for the user."""


def cached(name: str, about: str) -> Path:
    """The folder of a public model of weights/manifest.json in the hub's cache. Unavailable if it is not there.

    about: what a reader calls the model. Nothing is downloaded: a score must not start to load gigabytes by itself.
    """
    try:
        return fetch(name, download=False)[1]
    except CheckpointError as error:
        raise Unavailable(f"{about} is not in the hub's cache (`minisd fetch {name}`)") from error


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

"""Reading files that may be anything: no pipe is waited for, and damaged JSON is a clear error."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from .errors import CheckpointError


def check_regular(path: Path) -> None:
    """CheckpointError if the path is a folder, a pipe or a device. Opening a pipe may wait for ever."""
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError):
        return  # the error comes when the file is opened
    if not stat.S_ISREG(kind):
        what = "a folder" if stat.S_ISDIR(kind) else "a pipe, a socket or a device"
        raise CheckpointError(f"{path} cannot be read: it is {what}, expected a file")


_LARGEST_JSON = 100 * 2**20  # bytes; a tokenizer.json has 2 to 4 million


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; CheckpointError if the file is missing or damaged."""
    check_regular(path)
    try:
        if (size := path.stat().st_size) > _LARGEST_JSON:
            raise ValueError(f"{size:,} bytes, expected at most {_LARGEST_JSON:,}")
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # some editors put a byte order mark in front
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} is missing: a folder in diffusers layout has unet/, vae/, text_encoder/, each with a "
            "config.json, tokenizer/ and scheduler/scheduler_config.json"
        ) from None
    except (ValueError, RecursionError, OSError) as error:  # ValueError: also bad UTF-8, an integer of 4,300 digits
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds {type(content).__name__}, expected a JSON object")
    return content

"""Public checkpoints by short name: weights/manifest.json says where they are and under which licence."""

from __future__ import annotations

import json
from pathlib import Path

from .errors import UserError
from .source import data_folder, find


def manifest() -> dict[str, dict[str, str]]:
    """name -> {repo, revision, licence, about}"""
    return json.loads((data_folder() / "manifest.json").read_text())


def fetch(name: str, variant: str | None = None) -> tuple[str, Path]:
    """Brings a checkpoint of the manifest into the hub's cache. Returns its hub id and the folder.

    Only what minisd reads comes down: configs, tokenizer, and one set of weights.
    """
    known = manifest()
    if name not in known:
        raise UserError(f"no checkpoint {name!r} in the manifest; it has {', '.join(known)}")
    entry = known[name]
    return entry["repo"], find(entry["repo"], variant, entry["revision"]).path

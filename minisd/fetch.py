"""Public checkpoints by short name: weights/manifest.json says where they are and under which licence."""

from __future__ import annotations

import json
from pathlib import Path

from .errors import UserError
from .source import data_folder, find, snapshot


def manifest() -> dict[str, dict[str, str]]:
    """name -> {repo, revision, licence, about} and, where it is no checkpoint, the files that are needed."""
    return json.loads((data_folder() / "manifest.json").read_text())


def fetch(name: str, variant: str | None = None) -> tuple[str, Path]:
    """Brings a checkpoint of the manifest into the hub's cache. Returns its hub id and the folder.

    Only what minisd reads comes down: configs, tokenizer, and one set of weights.
    """
    known = manifest()
    if name not in known:
        raise UserError(f"no checkpoint {name!r} in the manifest; it has {', '.join(known)}")
    entry = known[name]
    if "files" in entry:  # no Stable Diffusion: what is needed of it is written out
        return entry["repo"], snapshot(entry["repo"], entry["revision"], entry["files"].split())
    return entry["repo"], find(entry["repo"], variant, entry["revision"]).path

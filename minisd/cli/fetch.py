"""Public checkpoints by short name: weights/manifest.json says where they are and under which licence."""

from __future__ import annotations

from pathlib import Path

from ..base.errors import UserError
from ..loading.source import data_folder, find, is_hub_id, read_json, snapshot


def manifest() -> dict[str, dict[str, str]]:
    """name -> {repo, revision, licence, about} and, where it is no checkpoint, the files that are needed."""
    return read_json(data_folder() / "manifest.json")


def fetch(
    name: str, variant: str | None = None, revision: str | None = None, download: bool = True
) -> tuple[str, Path]:
    """Brings a checkpoint into the hub's cache: a name of the manifest, or a hub id. Returns its hub id and the folder.

    Only what minisd reads comes down: configs, tokenizer, and one set of weights. revision: None is the manifest's.
    download=False only looks into the cache.
    """
    known = manifest()
    if name not in known and not is_hub_id(name):
        raise UserError(
            f"no checkpoint {name!r} in the manifest; it has {', '.join(known)}. A hub id such as "
            "CompVis/stable-diffusion-v1-4 can be fetched as well"
        )
    entry = known.get(name, {"repo": name})
    revision = revision or entry.get("revision")
    if "files" in entry:  # no Stable Diffusion: what is needed of it is written out
        return entry["repo"], snapshot(entry["repo"], revision, entry["files"].split(), download)
    return entry["repo"], find(entry["repo"], variant, revision, download).path

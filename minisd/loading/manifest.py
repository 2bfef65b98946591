"""Public checkpoints by short name. weights/manifest.json has their hub ids and licences."""

from __future__ import annotations

from pathlib import Path

from ..base.errors import UserError
from ..base.inputs import read_json
from .source import data_folder, find, is_hub_id, snapshot


def manifest() -> dict[str, dict[str, str]]:
    """name -> {repo, revision, licence, about}. If an entry is not a checkpoint, it lists its files too."""
    return read_json(data_folder() / "manifest.json")


def fetch(
    name: str, variant: str | None = None, revision: str | None = None, download: bool = True
) -> tuple[str, Path]:
    """Downloads a checkpoint into the hub's cache. Returns its hub id and the folder.

    name: of the manifest, or a hub id. revision: None means the manifest's. Only the files that minisd reads are
    downloaded: configs, tokenizer, and one set of weights. With download=False, only the cache is searched.
    """
    known = manifest()
    if name not in known and not is_hub_id(name):
        raise UserError(
            f"no checkpoint {name!r} in the manifest; it has {', '.join(known)}. A hub id such as "
            "CompVis/stable-diffusion-v1-4 can be fetched as well"
        )
    entry = known.get(name, {"repo": name})
    revision = revision or entry.get("revision")
    if "files" in entry:  # not a Stable Diffusion model: the manifest lists its files
        return entry["repo"], snapshot(entry["repo"], revision, entry["files"].split(), download)
    return entry["repo"], find(entry["repo"], variant, revision, download).path

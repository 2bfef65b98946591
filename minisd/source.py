"""Where a checkpoint is: "tiny", a folder, a single file, a hub id. Brings what is missing, reads nothing."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import CheckpointError, UserError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SINGLE = (".safetensors", ".ckpt", ".pt", ".pth")


@dataclass(frozen=True)
class Source:
    """A checkpoint on this disk. `name` is what the user called it."""

    name: str
    path: Path

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()


def data_folder() -> Path:
    """The weights that come with minisd: inside an installed package, beside it in a clone."""
    package = Path(__file__).parent
    return next((f for f in (package / "weights", package.parent / "weights") if f.is_dir()), package / "weights")


def find(
    source: str | os.PathLike[str], variant: str | None = None, revision: str | None = None, download: bool = True
) -> Source:
    """Resolve what `minisd.load` was given; a hub id is fetched into the hub's cache (`download`) or looked up there.

    Raises UserError where it is none of the four, CheckpointError where it is one and cannot be had.
    """
    name = os.fspath(source)
    path = Path(name).expanduser()
    if name == "tiny":
        return Source("tiny", data_folder() / "tiny")
    if path.is_dir() or path.is_file():
        return Source(name, path)
    if _HUB_ID.fullmatch(name) and path.suffix not in _SINGLE:
        return Source(name, _from_hub(name, variant, revision, download))
    raise UserError(
        f"no model {name!r}: there is no such folder or file here. Expected 'tiny', a folder in diffusers layout, "
        "a .safetensors or .ckpt file, or a hub id such as CompVis/stable-diffusion-v1-4"
    )


def _from_hub(repo: str, variant: str | None, revision: str | None, download: bool) -> Path:
    """The snapshot folder. Only what this code reads is fetched; .bin files where there are no .safetensors."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    def fetch(endings: tuple[str, ...]) -> Path:
        patterns = ["model_index.json", "*/config.json", "scheduler/*.json", "tokenizer/*"]
        patterns += [f"{part}/{name}" for part in PARTS for e in endings for name in weight_names(part, variant, e)]
        return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns, local_files_only=not download))

    try:
        folder = fetch((".safetensors",))
        if not any((folder / "unet").glob("*.safetensors")):
            folder = fetch((".bin",))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{repo} is not in the hub's cache and could not be fetched: {reason}. Check the name and the network "
            "(HF_HUB_OFFLINE, HF_TOKEN for gated models), or give a local folder or file"
        ) from error
    return folder


# weight files of a folder in diffusers layout: part -> stem
PARTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}


def weight_names(part: str, variant: str | None, ending: str) -> list[str]:
    """File names (the last with wildcards) that a part's weights may have, the first found being taken."""
    stem = "pytorch_model" if ending == ".bin" and part == "text_encoder" else PARTS[part]
    v = f".{variant}" if variant else ""
    return [
        f"{stem}{v}{ending}",
        f"{stem}{ending}.index{v}.json",
        f"{stem}{v}{ending}.index.json",
        f"{stem}{v}-*-of-*{ending}",
    ]


def weight_file(folder: Path, part: str, variant: str | None) -> Path:
    """The file (or index of shards) with a part's weights; CheckpointError with what there is instead."""
    for ending in (".safetensors", ".bin"):
        for name in weight_names(part, variant, ending)[:3]:
            if (folder / part / name).is_file():
                return folder / part / name
    there = sorted(p.name for p in (folder / part).glob("*") if p.suffix in (".safetensors", ".bin", ".json"))
    asked = f"of variant {variant!r}" if variant else "without a variant"
    raise CheckpointError(
        f"{folder / part} has no weights {asked} ({weight_names(part, variant, '.safetensors')[0]}); "
        f"it has {', '.join(there) or 'no weight files at all'}"
        + ("" if variant else ". A name like model.fp16.safetensors is loaded with variant='fp16'" if there else "")
    )


def read_json(path: Path) -> dict[str, Any]:
    """A config file; CheckpointError where it is absent or damaged."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} is missing: a folder in diffusers layout has unet/, vae/, text_encoder/ with a config.json each, "
            "tokenizer/ and scheduler/scheduler_config.json"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds {type(content).__name__}, expected a JSON object")
    return content

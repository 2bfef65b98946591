"""Where a checkpoint is: "tiny", a folder, a single file, a hub id. Brings what is missing, reads nothing."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base.errors import CheckpointError, UserError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SINGLE = (".safetensors", ".ckpt", ".pt", ".pth")
_HUB_FILE = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)/(\w[\w./ -]*)")  # owner/model/file
_WEB_FILE = re.compile(r"/([^/]+/[^/]+)/(?:blob|resolve)/([^/]+)/([^?#]+).*")  # what follows the hub's address


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
    package = Path(__file__).parents[1]
    return next((f for f in (package / "weights", package.parent / "weights") if f.is_dir()), package / "weights")


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of a hub id, owner/model."""
    return bool(_HUB_ID.fullmatch(name)) and Path(name).suffix not in _SINGLE


def find(
    source: str | os.PathLike[str],
    variant: str | None = None,
    revision: str | None = None,
    download: bool = True,
) -> Source:
    """Resolve what `minisd.load` was given. A hub id is fetched into the hub's cache, or looked up there.

    Raises UserError where it is none of the four, CheckpointError where it is one and cannot be had.
    """
    if source == "tiny":
        return Source("tiny", data_folder() / "tiny")
    try:
        name = os.fspath(source)
        path = Path(name).expanduser()
        if name and path.exists():
            return Source(name, path)
        if is_hub_id(name):
            return Source(name, _from_hub(name, variant, revision, download))
        if file := _hub_file(name, revision):
            return Source(name, _file_from_hub(*file, download))
    except CheckpointError:
        raise
    except (TypeError, ValueError, OSError, RuntimeError):
        pass  # no path at all: a number, bytes, a name with NUL or too long, the home of nobody
    raise UserError(
        f"no model {source!r}: there is no such folder or file here. Expected 'tiny', a folder in diffusers "
        "layout, a .safetensors or .ckpt file, a hub id such as CompVis/stable-diffusion-v1-4, or a file on the hub as "
        "owner/model/file.safetensors"
    )


def _hub_file(name: str, revision: str | None) -> tuple[str, str, str | None] | None:
    """(repository, file, revision) of "owner/model/file.safetensors", or of that file's address on the hub."""
    if Path(name).suffix.partition("?")[0] not in _SINGLE or ".." in Path(name).parts:
        return None
    if "://" not in name:
        match = _HUB_FILE.fullmatch(name)
        return (match[1], match[2], revision) if match else None
    from huggingface_hub.constants import ENDPOINT

    address = _WEB_FILE.fullmatch(name.removeprefix(ENDPOINT)) if name.startswith(ENDPOINT) else None
    return (address[1], address[3], revision or address[2]) if address else None


def _file_from_hub(repo: str, file: str, revision: str | None, download: bool) -> Path:
    path = snapshot(repo, revision, [file], download) / file
    if not path.is_file():
        raise CheckpointError(f"the hub's repository {repo} has no file {file}")
    return path


def _from_hub(repo: str, variant: str | None, revision: str | None, download: bool) -> Path:
    """The snapshot folder. Only what this code reads is fetched, in the order in which `weight_files` looks for it."""

    def fetch(parts: Iterable[str], kind: str | None, ending: str) -> Path:
        # nothing that is not needed: offline, the hub's library refuses a snapshot without a file asked for
        patterns = ["model_index.json", "scheduler/*.json", "tokenizer/*"]
        patterns += [f"{part}/config.json" for part in PARTS]
        patterns += [f"{part}/{name}" for part in parts for name in weight_names(part, kind, ending)]
        return snapshot(repo, revision, patterns, download)

    lacking = list(PARTS)
    for kind in dict.fromkeys((variant, None)):
        for ending in _ENDINGS:
            folder = fetch(lacking, kind, ending)
            lacking = [part for part in lacking if not _weights(folder, part, kind, ending)]
            if not lacking:
                return folder
        if len(lacking) == len(PARTS):
            return folder  # a variant that no part has is an error: the plain weights would be fetched for nothing
    return folder


def snapshot(repo: str, revision: str | None, patterns: list[str], download: bool = True) -> Path:
    """The folder in the hub's cache with a repository's files; CheckpointError where they cannot be had."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns, local_files_only=not download))
    except Exception as error:  # its own, its HTTP client's and the system's: they share no base class
        if not download and isinstance(error, LocalEntryNotFoundError):
            raise CheckpointError(
                f"{repo} is not, or not completely, in the hub's cache; `minisd fetch {repo}`, with the same --variant "
                "and --revision if any, brings it there"
            ) from error
        reason = (str(error).strip().splitlines() or [""])[0].rstrip(".")
        raise CheckpointError(
            f"{repo} is not, or not completely, in the hub's cache and could not be fetched: "
            f"{type(error).__name__}: {reason}. Check the name and the network (HF_HUB_OFFLINE, HF_TOKEN for "
            "gated models), or give a local folder or file"
        ) from error


# weight files of a folder in diffusers layout: part -> stem
PARTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
_ENDINGS = (".safetensors", ".bin")  # the first found is taken


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


def _weights(folder: Path, part: str, variant: str | None, ending: str) -> Path | None:
    names = weight_names(part, variant, ending)[:3]  # without the shards: their index leads to them
    return next((folder / part / name for name in names if (folder / part / name).exists()), None)


def weight_files(folder: Path, variant: str | None = None) -> dict[str, Path]:
    """part -> the file (or index of shards) with its weights.

    variant: a part that has none of it gives its plain weights, as v1.5's VAE and text encoder do for "non_ema".
    CheckpointError, with what there is instead, where no part has the variant, or a part has no weights at all.
    """
    if not (folder / "unet").is_dir():
        there = sorted(p.name for p in folder.iterdir())
        more = ", …" if len(there) > 12 else ""
        raise CheckpointError(
            f"{folder} is not a model in diffusers layout: it has no unet/ folder "
            f"(there is {', '.join(there[:12]) or 'nothing'}{more}){_single_files(folder)}"
        )
    special = {part: _weight_file(folder, part, variant) for part in PARTS}
    if not any(special.values()) and variant:
        raise CheckpointError(
            f"no part of {folder} has weights of variant {variant!r}, e.g. "
            f"{weight_names('unet', variant, _ENDINGS[0])[0]}; "
            + "; ".join(f"{folder / part} has {_there(folder / part)}" for part in PARTS)
        )
    return {part: file or _plain_file(folder, part) for part, file in special.items()}


def _single_files(folder: Path) -> str:
    """A way out, if a folder holds checkpoints in one file."""
    files = sorted(str(p) for p in folder.iterdir() if p.suffix in _SINGLE and p.is_file())
    return f". For a checkpoint in one file, give the file itself: {' or '.join(files[:3])}" if files else ""


def _plain_file(folder: Path, part: str) -> Path:
    if found := _weight_file(folder, part, None):
        return found
    there = _there(folder / part)
    hint = ". A name like model.fp16.safetensors is loaded with variant='fp16'" if ".safetensors" in there else ""
    raise CheckpointError(
        f"{folder / part} has no weights without a variant ({weight_names(part, None, _ENDINGS[0])[0]}); "
        f"it has {there}{hint}"
    )


def _weight_file(folder: Path, part: str, variant: str | None) -> Path | None:
    return next((file for ending in _ENDINGS if (file := _weights(folder, part, variant, ending))), None)


def _there(folder: Path) -> str:
    names = sorted(p.name for p in folder.glob("*") if p.suffix in (*_ENDINGS, ".json"))
    return ", ".join(names) or "no weight files at all"


def check_regular(path: Path) -> None:
    """CheckpointError for what is there and is no file of bytes: opening a pipe or a device may wait for ever."""
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError):
        return  # whoever opens it says why that fails
    if not stat.S_ISREG(kind):
        what = "a folder" if stat.S_ISDIR(kind) else "a pipe, a socket or a device"
        raise CheckpointError(f"{path} cannot be read: it is {what}, expected a file")


_LARGEST_JSON = 100 * 2**20  # bytes; a tokenizer.json has 2 to 4 million


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object; CheckpointError where it is absent or damaged."""
    check_regular(path)
    try:
        if (size := path.stat().st_size) > _LARGEST_JSON:
            raise ValueError(f"{size:,} bytes, expected at most {_LARGEST_JSON:,}")
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a mark
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} is missing: a folder in diffusers layout has unet/, vae/, text_encoder/, each with a "
            "config.json, tokenizer/ and scheduler/scheduler_config.json"
        ) from None
    except (ValueError, RecursionError, OSError) as error:  # ValueError: also no UTF-8, an integer of 4,300 digits
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds {type(content).__name__}, expected a JSON object")
    return content

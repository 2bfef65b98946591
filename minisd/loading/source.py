"""Finds a checkpoint: "tiny", a folder, a single file, or a hub id, whose missing files are downloaded."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import CheckpointError, UserError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SINGLE = (".safetensors", ".ckpt", ".pt", ".pth")
_HUB_FILE = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)/(\w[\w./ -]*)")  # owner/model/file
_WEB_FILE = re.compile(r"/([^/]+/[^/]+)/(?:blob|resolve)/([^/]+)/([^?#]+).*")  # after the hub's own address


@dataclass(frozen=True)
class Source:
    """A checkpoint on the disk. `name` is the name that the user gave."""

    name: str
    path: Path

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()


def data_folder() -> Path:
    """The folder of the weights that come with minisd: inside an installed package, or beside it in a clone."""
    package = Path(__file__).parents[1]
    return next((f for f in (package / "weights", package.parent / "weights") if f.is_dir()), package / "weights")


def is_hub_id(name: str) -> bool:
    """Whether the name has the form of a hub id: owner/model."""
    return bool(_HUB_ID.fullmatch(name)) and Path(name).suffix not in _SINGLE


def find(
    source: str | os.PathLike[str],
    variant: str | None = None,
    revision: str | None = None,
    download: bool = True,
) -> Source:
    """The checkpoint that `minisd.load` was asked for. A hub id is downloaded into the hub's cache, or found there.

    UserError if the source is none of the four kinds; CheckpointError if it is a hub id that cannot be downloaded.
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
        pass  # no path: a number, bytes, a name that is too long or has a NUL, the home of an unknown user
    raise UserError(
        f"no model {source!r}: there is no such folder or file here. Expected 'tiny', a folder in diffusers "
        "layout, a .safetensors or .ckpt file, a hub id such as CompVis/stable-diffusion-v1-4, or a file on the hub as "
        "owner/model/file.safetensors"
    )


def find_file(name: str, what: str) -> Path:
    """The path of a weight file: a local one, or one on the hub ("owner/model/file.safetensors"), which is fetched.

    UserError, which says `what` was looked for, if there is none.
    """
    try:
        path = Path(name).expanduser()
        if name and path.is_file():
            return path
        if file := _hub_file(name, None):
            return _file_from_hub(*file, download=True)
    except CheckpointError:
        raise
    except (ValueError, OSError, RuntimeError):  # a name that is too long or has a NUL, the home of an unknown user
        pass
    raise UserError(
        f"no file {name!r} for {what}: expected a .safetensors, .ckpt or .pt file, or a file on the hub as "
        "owner/model/file.safetensors"
    )


def _hub_file(name: str, revision: str | None) -> tuple[str, str, str | None] | None:
    """(repository, file, revision) of "owner/model/file.safetensors", or of the web address of such a file."""
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
    """The folder of a repository in the hub's cache. Only the files that `load` reads are downloaded."""

    def fetch(parts: Iterable[str], kind: str | None, ending: str) -> Path:
        # ask only for files that are needed: offline, the hub's library refuses a folder that lacks one of them
        patterns = ["model_index.json", "scheduler/*.json", "tokenizer/*"]
        patterns += [f"{part}/config.json" for part in PARTS]
        patterns += [f"{part}/{name}" for part in parts for name in weight_names(part, kind, ending)]
        return snapshot(repo, revision, patterns, download)

    missing = list(PARTS)
    for kind in dict.fromkeys((variant, None)):
        for ending in _ENDINGS:
            folder = fetch(missing, kind, ending)
            missing = [part for part in missing if not _weights(folder, part, kind, ending)]
            if not missing:
                return folder
        if len(missing) == len(PARTS):
            return folder  # no part has the variant, which is an error: do not download the plain weights
    return folder


def snapshot(repo: str, revision: str | None, patterns: list[str], download: bool = True) -> Path:
    """The folder in the hub's cache with files of a repository; CheckpointError if they cannot be downloaded."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns, local_files_only=not download))
    except Exception as error:  # errors of the hub, of its HTTP client and of the system have no common base class
        if not download and isinstance(error, LocalEntryNotFoundError):
            raise CheckpointError(
                f"{repo} is not, or not completely, in the hub's cache; `minisd fetch {repo}`, with the same --variant "
                "and --revision if any, downloads it"
            ) from error
        reason = (str(error).strip().splitlines() or [""])[0].rstrip(".")
        raise CheckpointError(
            f"{repo} is not, or not completely, in the hub's cache and could not be fetched: "
            f"{type(error).__name__}: {reason}. Check the name and the network (HF_HUB_OFFLINE, HF_TOKEN for "
            "gated models), or give a local folder or file"
        ) from error


# the parts of a folder in diffusers layout, and the stem of their weight files
PARTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
_ENDINGS = (".safetensors", ".bin")  # in order of preference


def weight_names(part: str, variant: str | None, ending: str) -> list[str]:
    """The file names that a part's weights may have, in order of preference. The last one has wildcards."""
    stem = "pytorch_model" if ending == ".bin" and part == "text_encoder" else PARTS[part]
    v = f".{variant}" if variant else ""
    return [
        f"{stem}{v}{ending}",
        f"{stem}{ending}.index{v}.json",
        f"{stem}{v}{ending}.index.json",
        f"{stem}{v}-*-of-*{ending}",
    ]


def _weights(folder: Path, part: str, variant: str | None, ending: str) -> Path | None:
    names = weight_names(part, variant, ending)[:3]  # not the shards themselves: they are found through their index
    return next((folder / part / name for name in names if (folder / part / name).exists()), None)


def weight_files(folder: Path, variant: str | None = None) -> dict[str, Path]:
    """part -> the file (or index of shards) with its weights.

    variant: a part without this variant is loaded from its plain file; v1.5's VAE has no "non_ema", for example.
    CheckpointError, with the files that exist, if no part has the variant or if a part has no weights.
    """
    if not (folder / "unet").is_dir():
        names = sorted(p.name for p in folder.iterdir())
        more = ", …" if len(names) > 12 else ""
        raise CheckpointError(
            f"{folder} is not a model in diffusers layout: it has no unet/ folder "
            f"(there is {', '.join(names[:12]) or 'nothing'}{more}){_single_files(folder)}"
        )
    special = {part: _weight_file(folder, part, variant) for part in PARTS}
    if not any(special.values()) and variant:
        raise CheckpointError(
            f"no part of {folder} has weights of variant {variant!r}, e.g. "
            f"{weight_names('unet', variant, _ENDINGS[0])[0]}; "
            + "; ".join(f"{folder / part} has {_weight_file_names(folder / part)}" for part in PARTS)
        )
    return {part: file or _plain_file(folder, part) for part, file in special.items()}


def _single_files(folder: Path) -> str:
    """Advice for an error, if the folder holds checkpoints in single files."""
    files = sorted(str(p) for p in folder.iterdir() if p.suffix in _SINGLE and p.is_file())
    return f". For a checkpoint in one file, give the file itself: {' or '.join(files[:3])}" if files else ""


def _plain_file(folder: Path, part: str) -> Path:
    if found := _weight_file(folder, part, None):
        return found
    names = _weight_file_names(folder / part)
    hint = ". A name like model.fp16.safetensors is loaded with variant='fp16'" if ".safetensors" in names else ""
    raise CheckpointError(
        f"{folder / part} has no weights without a variant ({weight_names(part, None, _ENDINGS[0])[0]}); "
        f"it has {names}{hint}"
    )


def _weight_file(folder: Path, part: str, variant: str | None) -> Path | None:
    return next((file for ending in _ENDINGS if (file := _weights(folder, part, variant, ending))), None)


def _weight_file_names(folder: Path) -> str:
    names = sorted(p.name for p in folder.glob("*") if p.suffix in (*_ENDINGS, ".json"))
    return ", ".join(names) or "no weight files at all"

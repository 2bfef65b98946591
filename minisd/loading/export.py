"""`export`: a model -> a folder in diffusers layout, which `minisd.load` and diffusers read.

The folder is written under a temporary name beside its place and then renamed, so it is there whole or not at all.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file

from ..base.arguments import shown
from ..base.errors import UserError
from ..base.outputs import PART
from ..pipeline import StableDiffusion, check_model
from .config_json import pipeline_json, schedule_json, text_json, unet_json, vae_json
from .diffusers_layout import CONFIGS
from .source import PARTS
from .vocabulary import vocabulary_files

_INDEX = "model_index.json"
_FOLDERS = (*PARTS, "tokenizer", "scheduler")


def export(sd: StableDiffusion, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Writes the model as a folder in diffusers layout, and returns the folder.

    `minisd.load(folder, dtype=sd.dtype)` has the same weights, bit for bit, and diffusers'
    `StableDiffusionPipeline.from_pretrained(folder)` draws the same pictures. A LoRA that was merged into the weights,
    another VAE, and a text encoder with fewer layers (clip skip) are part of what is written. What stands beside a
    checkpoint for this project alone (defaults.json, a detector) is not.

    overwrite: replace a folder that holds a model and nothing else. UserError for any other that exists, and if the
    folder cannot be written; then nothing is changed.
    """
    check_model(sd)
    path = check_folder(folder, overwrite)
    with _temporary(path) as part:
        _write(sd, part)
        _put(part, path)
    return path


def check_folder(folder: str | os.PathLike[str], overwrite: bool) -> Path:
    """The place for the model; UserError if it cannot be taken."""
    try:
        path = Path(folder).expanduser()
        os.lstat(path)
        exists = True
    except (FileNotFoundError, NotADirectoryError):
        exists = False
    except (TypeError, ValueError, OSError, RuntimeError) as error:  # RuntimeError: the home of an unknown user
        raise UserError(f"folder = {shown(folder)}; expected the name of a new folder ({error})") from None
    if not path.name:
        raise UserError(f"folder = {shown(folder)}; expected the name of a new folder")
    parent = path.absolute().parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(f"{path}: there is no folder {parent} that can be written to")
    if exists:
        _check_replaceable(path, overwrite)
    return path


def _check_replaceable(path: Path, overwrite: bool) -> None:
    """UserError unless it is a folder that holds a model and nothing else, and may be replaced."""
    if not overwrite:
        raise UserError(f"{path} exists; give another name, or overwrite (--overwrite) to replace it")
    if path.is_symlink() or not path.is_dir():
        raise UserError(f"{path} is no folder; only a folder with a model is replaced. Give another name")
    strange = sorted(entry.name for entry in path.iterdir() if entry.name not in (_INDEX, *_FOLDERS))
    if strange or not (path / _INDEX).is_file():
        what = f"it also holds {', '.join(strange[:3])}" if strange else f"it has no {_INDEX}"
        raise UserError(f"{path} is not replaced: {what}. A model alone is; give another name")


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, which is removed at the end if it is still there."""
    part = path.absolute().parent / PART.format(secrets.token_hex(8))
    try:
        part.mkdir()
        yield part
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror or error}; write to another place") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _put(part: Path, path: Path) -> None:
    """Gives the finished folder its name. The one that it replaces is kept until then."""
    if not os.path.lexists(path):
        part.rename(path)
        return
    with _temporary(path) as old:
        path.rename(old)  # a folder may take the name of an empty one
        try:
            part.rename(path)
        except BaseException:
            old.rename(path)
            raise


def _write(sd: StableDiffusion, folder: Path) -> None:
    c, tokenizer = sd.config, sd.tokenizer
    vocabulary = vocabulary_files(tokenizer.vocab, tokenizer.merges, tokenizer.added)
    texts = {
        _INDEX: _json(pipeline_json()),
        CONFIGS["unet"]: _json(unet_json(c.unet)),
        CONFIGS["vae"]: _json(vae_json(c.vae, sd.side)),
        CONFIGS["scheduler"]: _json(schedule_json(c.schedule)),
        CONFIGS["text_encoder"]: _json(
            text_json(c.text, c.text.dim, (tokenizer.sot, tokenizer.eot)) | {"dtype": str(sd.dtype).split(".")[-1]}
        ),
        **{f"tokenizer/{name}": text for name, text in vocabulary.items()},
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for name, stem in PARTS.items():
        prefix = "text_model." if name == "text_encoder" else ""  # transformers 4 and 5 read this spelling
        state = {prefix + key: _plain(x) for key, x in getattr(sd, name).state_dict().items()}
        save_file(state, folder / name / f"{stem}.safetensors", {"format": "pt"})


def _plain(x: torch.Tensor) -> torch.Tensor:
    """On the CPU, in the usual layout, with memory of its own: safetensors writes nothing else."""
    x = x.detach().cpu().contiguous()
    return x if x.untyped_storage().nbytes() == x.numel() * x.element_size() else x.clone()


def _json(content: dict[str, object]) -> str:
    return json.dumps(content, indent=2) + "\n"

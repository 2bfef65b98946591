"""Inversions on disk, so that a second target in the same picture costs no second inversion.

An entry is the file KEY.safetensors with what an inversion found (`Inversion.find`). The key is a hash of all that this
depends on: the picture's pixels, the prompt's and the empty prompt's contexts (so also tokenizer and text encoder),
the inversion with its settings, the noise levels and timesteps, the dtype, and a checksum of the weights of UNet and
VAE. The engine and the device do not count, because they change the numbers by rounding alone.

An entry holds the latents of the picture: who can read it can see the picture. The folder is made readable for its
owner only. It is `$MINISD_CACHE/inversions`, or `minisd/inversions` in `$XDG_CACHE_HOME` or in `~/.cache`, and can be
deleted at any time.

Stopping a process half-way, or two processes at once, cannot damage an entry: it is written under another name and
then renamed. An entry that is damaged all the same is written again. When the folder grows beyond its bound, the
entries that were not used for the longest time are deleted.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from minisd import UserError, __version__
from minisd.base.arguments import shown, whole_number
from minisd.base.outputs import PART, write_file
from minisd.picture import Prepared

from ..edits.fingerprint import bits, checksum
from .inversion import Inversion, Source

BOUND = 2**30  # bytes of all entries; an inversion of 50 steps at 512² has 3 MB, null-text 15 MB
FORMAT = 1  # of the entries; raise it when an inversion finds something else than before
ABANDONED = 3600  # seconds after which a file under a temporary name belongs to no running process


class Cache:
    """A folder of inversions. It remembers the checksum of the weights, so use one for many runs.

    bound: bytes. An entry larger than this is not kept.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, bound: int = BOUND):
        self.folder = default_folder() if folder is None else Path(folder)
        self.bound = whole_number("bound", bound, 0, most=2**62)
        self._checksums: WeakKeyDictionary[nn.Module, tuple[list[tuple[int, int]], Tensor]] = WeakKeyDictionary()

    def find(self, inversion: Inversion, source: Source, image: Prepared) -> dict[str, Tensor]:
        """What `inversion.find(source)` returns: from the folder, or else found and put there."""
        recipe = inversion.recipe(source)
        if recipe is None:
            return inversion.find(source)
        path = self.folder / f"{self._key(recipe, source, image.picture)}.safetensors"
        found = _read(path)
        if found is None:
            found = inversion.find(source)
            self._write(path, found)
        return {name: tensor.to(source.z.device) for name, tensor in found.items()}

    def _key(self, recipe: str, source: Source, picture: Image.Image) -> str:
        sd, schedule = source.sd, source.schedule
        about = [FORMAT, __version__, recipe, picture.size, schedule.t, schedule.alpha, str(sd.dtype), repr(sd.config)]
        key = hashlib.sha256(json.dumps(about).encode())
        key.update(picture.tobytes())
        for tensor in (source.ctx, source.uncond, self._checksum(sd.unet), self._checksum(sd.vae)):
            key.update(_bytes(tensor))
        return key.hexdigest()[:40]

    def _checksum(self, module: nn.Module) -> Tensor:
        """`checksum`, computed again only if a weight was exchanged or changed in place."""
        state = [
            (w.data_ptr(), 0 if w.is_inference() else w._version) for w in module.state_dict(keep_vars=True).values()
        ]
        known = self._checksums.get(module)
        if known is None or known[0] != state:
            known = self._checksums[module] = state, checksum(module)
        return known[1]

    def _write(self, path: Path, found: dict[str, Tensor]) -> None:
        """Keeps an entry. A folder that cannot be written to is told in a warning."""
        content = save({name: x.contiguous().cpu() for name, x in found.items()}, {"sha256": _hash(found)})
        if len(content) > self.bound:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_file(path, lambda file: file.write(content))
        except (OSError, UserError) as error:
            warnings.warn(f"the inversion could not be kept for the next run: {error}", stacklevel=2)
            return
        with suppress(OSError):  # another process deletes files, too
            self._tidy()

    def _tidy(self) -> None:
        """Deletes what was not used for the longest time, until the bound is kept."""
        for file in self.folder.glob(PART.format("*")):
            if time.time() - file.stat().st_mtime > ABANDONED:
                file.unlink(missing_ok=True)
        entries = [(file.stat(), file) for file in self.folder.glob("*.safetensors")]
        total = sum(stat.st_size for stat, _ in entries)
        for stat, file in sorted(entries, key=lambda entry: entry[0].st_mtime):
            if total <= self.bound:
                break
            file.unlink(missing_ok=True)
            total -= stat.st_size


def find_cache(cache: Any) -> Cache | None:
    """The cache that `run` means. None, False: no cache; True: the default folder; or a folder; or a Cache."""
    if cache is None or cache is False:
        return None
    if cache is True:
        return Cache()
    if isinstance(cache, str | os.PathLike):
        return Cache(cache)
    if isinstance(cache, Cache):
        return cache
    raise UserError(f"cache = {shown(cache)}; expected True, False or a folder")


def default_folder() -> Path:
    if given := os.environ.get("MINISD_CACHE"):
        return Path(given) / "inversions"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minisd" / "inversions"


def _read(path: Path) -> dict[str, Tensor] | None:
    """The entry; None if there is none, or if it is damaged."""
    try:
        with safe_open(path, "pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}
            whole = (file.metadata() or {}).get("sha256") == _hash(found)
        if whole:
            os.utime(path)  # it was used now
    except (OSError, RuntimeError, SafetensorError):  # RuntimeError: PyTorch opens it again; it may be deleted by now
        return None
    return found if whole else None


def _hash(found: dict[str, Tensor]) -> str:
    sha = hashlib.sha256()
    for name in sorted(found):
        sha.update(f"{name} {tuple(found[name].shape)} {found[name].dtype}\n".encode())
        sha.update(_bytes(found[name]))
    return sha.hexdigest()


def _bytes(x: Tensor) -> bytes:
    return bits(x).cpu().numpy().tobytes()

"""GIE's adapter: a small network that reads a concept's attention at the first step and says its scale.

    w = f(m̄_1, …, m̄_L),   f: L → 64 → 32 → 1 with ReLU        (Chen et al. 2025, section 4.2; L cross attentions)

The file is a .safetensors file, which says in its metadata for which model and form of GIE it was trained, and how.
`suppress/training/gie_adapter.py` makes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor, nn

from minisd import StableDiffusion, UserError
from minisd.base.arguments import printable

from .fingerprint import dtype_name, fingerprint
from .tensor_file import described, existing, read_tensors, write_tensors

FORMAT = "minisd gie adapter 1"
OWN = "own"  # the name of the adapter that comes with a checkpoint
TRAIN = "python -m suppress.training.gie_adapter"


class Adapter(nn.Module):
    """The network. It computes in float32."""

    def __init__(self, sites: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(sites, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, means: Tensor) -> Tensor:
        """m̄ (…,L) -> w (…)"""
        return self.layers(means)[..., 0]


def find_adapter(name: str, sd: StableDiffusion, form: str) -> Adapter | None:
    """The adapter that a setting names: "" for none, "own" for the checkpoint's, or a file."""
    if not name:
        return None
    return read_adapter(own_path(sd, form) if name == OWN else Path(name), sd, form)


def own_path(sd: StableDiffusion, form: str) -> Path:
    """Where a checkpoint's own adapter stands. UserError if it has none."""
    file = "gie.safetensors" if form == "paper" else f"gie-{form}.safetensors"
    path = sd.folder / "adapters" / file if sd.folder else None
    if path is None or not path.is_file():
        raise UserError(
            f"{sd.name} comes with no adapter for GIE in the form {form!r}; train one ({TRAIN}) and give adapter=FILE, "
            "or give a fixed scale, such as scale=-5"
        )
    return path


def read_adapter(path: Path, sd: StableDiffusion, form: str) -> Adapter:
    """The adapter in a file. UserError if it is missing or damaged, or was made for another model or form."""
    about, tensors = _content(existing(path, f"an adapter that {TRAIN} wrote"))
    sites = sum(site.kind == "cross" for site in sd.unet.sites)
    adapter = Adapter(sites)
    expected = {name: tuple(x.shape) for name, x in adapter.state_dict().items()}
    model = printable(str(about.get("model", "?")))
    if {name: tuple(x.shape) for name, x in tensors.items()} != expected:
        raise UserError(f"{path} was trained for {model}, not for a UNet with {sites} cross attentions")
    if about.get("form") != form:
        raise UserError(f"{path} was trained for form={printable(str(about.get('form')))}, not for form={form}")
    known = about.get("fingerprints")
    if not isinstance(known, Mapping) or known.get(dtype_name(sd.dtype)) != fingerprint(sd.unet, sd.dtype):
        raise UserError(
            f"{path} was trained for {model}, and the UNet of {sd.name} has other weights; train an adapter for it "
            f"({TRAIN}), or give a fixed scale, such as scale=-5"
        )
    adapter.load_state_dict(tensors)
    return adapter.float().to(sd.device).requires_grad_(False)


def write_adapter(path: Path, adapter: Adapter, about: Mapping[str, Any]) -> None:
    """Writes the file; an existing one is replaced. about: for JSON."""
    write_tensors(path, adapter.state_dict(), described(FORMAT, about))


def _content(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(what the file says about itself, its tensors)."""
    try:
        metadata, tensors = read_tensors(path)
        about = json.loads(metadata["about"]) if metadata.get("format") == FORMAT else None
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be read: {error}; expected an adapter that {TRAIN} wrote") from None
    if not isinstance(about, dict):
        raise UserError(f"{path} is no adapter for GIE; expected a file that {TRAIN} wrote")
    return about, tensors

"""Modules <-> the files that `minisd.load` and the judges read: a config.json, and float16 .safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from minisd.base.outputs import write_text
from suppress.edits.tensor_file import write_tensors

PIPELINE = "diffusion_pytorch_model.safetensors"  # the weights of UNet and VAE
MODEL = "model.safetensors"  # of text encoder, CLIP and detector


def write_json(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(content, indent=1))


def write_weights(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Floating-point tensors become float16; counters stay integers."""
    half = {name: x.half() if x.is_floating_point() else x for name, x in tensors.items()}
    write_tensors(file, half, {"format": "pt"})


def read_weights(file: Path, module: nn.Module, prefix: str = "") -> Any:
    """The module, with the file's weights in float32, frozen. prefix: of the names in the file."""
    state = {name.removeprefix(prefix): x for name, x in load_file(file).items()}
    module.load_state_dict({name: x.float() if x.is_floating_point() else x for name, x in state.items()})
    return module.eval().requires_grad_(False)

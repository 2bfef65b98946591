"""Clip skip: the text encoder without its last layers. The final LayerNorm stays.

Some checkpoints were trained on what the last layer but one says, so they must be drawn with a skip of 1. It is the
`clip_skip` of diffusers, where 0 or None changes nothing. AUTOMATIC1111's web UI counts otherwise: "Clip skip: 2" there
is a skip of 1. As there, it holds for every text, also for the empty prompt of the guidance. diffusers encodes that one
with all layers.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from ..base.arguments import whole_number
from ..config import TextConfig
from ..pipeline import StableDiffusion
from ..text import TextEncoder


def check_clip_skip(clip_skip: int | None, config: TextConfig) -> int:
    """How many layers are left out; UserError unless at least one is left."""
    return 0 if clip_skip is None else whole_number("clip_skip", clip_skip, 0, config.layers - 1)


def skip_layers(sd: StableDiffusion, clip_skip: int | None) -> StableDiffusion:
    """The model with a text encoder that lacks its last `clip_skip` layers. It shares all weights with `sd`.

    UserError unless at least one layer is left.
    """
    skipped = check_clip_skip(clip_skip, sd.config.text)
    if not skipped:
        return sd
    config = replace(sd.config.text, layers=sd.config.text.layers - skipped)
    with torch.device("meta"):
        encoder = TextEncoder(config)
    state = sd.text_encoder.state_dict()
    encoder.load_state_dict({key: state[key] for key in encoder.state_dict()}, assign=True)
    return replace(
        sd,
        config=replace(sd.config, text=config),
        text_encoder=encoder.eval().requires_grad_(False),
        changes={**sd.changes, "clip_skip": skipped + sd.changes.get("clip_skip", 0)},
    )

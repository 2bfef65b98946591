"""The parts that earlier stages have written, as later stages need them."""

from __future__ import annotations

from pathlib import Path

from minisd import AutoencoderKL, TextEncoder
from minisd.base.inputs import read_json
from minisd.loading.config_files import text_config, vae_config

from .files import MODEL, PIPELINE, read_weights


def read_vae(out: Path) -> AutoencoderKL:
    """The autoencoder with its scaling, frozen."""
    config = vae_config(read_json(out / "vae" / "config.json"))
    return read_weights(out / "vae" / PIPELINE, AutoencoderKL(config))


def read_text_encoder(out: Path) -> TextEncoder:
    """The text encoder, frozen."""
    config = text_config(read_json(out / "text_encoder" / "config.json"))
    return read_weights(out / "text_encoder" / MODEL, TextEncoder(config), "text_model.")

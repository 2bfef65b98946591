"""The model that a table is about, in the words of its sentences."""

from __future__ import annotations

from minisd.cli.model_choice import ModelChoice

EMBEDDED = ModelChoice()


def described(model: ModelChoice) -> str:
    """What the figures of a table are about."""
    if model == EMBEDDED:
        return "the embedded model, which draws cartoon portraits"
    skip = f"clip skip {model.clip_skip}" if model.clip_skip else None
    put_in = [part for part in (*(model.lora or ()), model.vae, skip) if part]
    return " with ".join([model.source, *([", ".join(put_in)] if put_in else [])])

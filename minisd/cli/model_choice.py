"""Which model a command draws with: the options of `options.add_model_options`, as values that another process can get.

A new option of `minisd.load` is a field here. All that loads a model, or says with what it was loaded, goes by the
fields.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..pipeline import StableDiffusion

TINY = "tiny"


@dataclass(frozen=True)
class ModelChoice:
    """The arguments of `minisd.load`, all but the device. dtype: as --dtype takes it."""

    source: str = TINY
    dtype: str | None = None
    variant: str | None = None
    revision: str | None = None
    ema: bool = False
    lora: tuple[str, ...] | None = None
    vae: str | None = None
    clip_skip: int | None = None

    @classmethod
    def of(cls, args: argparse.Namespace) -> ModelChoice:
        given = {"source": args.model} | {name: getattr(args, name) for name in ("dtype", *OPTIONS)}
        given["lora"] = tuple(args.lora) if args.lora else None
        return cls(**{name: value for name, value in given.items() if value is not None})

    def load(self, device: str | None) -> StableDiffusion:
        import torch

        from ..loading.checkpoint import load
        from .options import DTYPES

        dtype = None if self.dtype is None else getattr(torch, DTYPES[self.dtype])
        return load(self.source, device, dtype, **{name: getattr(self, name) for name in OPTIONS})


# the options that are arguments of `minisd.load` under the same name
OPTIONS = tuple(field.name for field in fields(ModelChoice) if field.name not in ("source", "dtype"))

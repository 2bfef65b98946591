"""Which model a table is about, in a form that can be sent to another process."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from minisd import StableDiffusion

TINY = "tiny"
_OPTIONS = ("variant", "revision", "ema", "dtype", "lora", "vae", "clip_skip")


@dataclass(frozen=True)
class ModelChoice:
    """The options of `minisd.load`. dtype: as --dtype takes it."""

    source: str = TINY
    dtype: str | None = None
    variant: str | None = None
    revision: str | None = None
    ema: bool = False
    lora: tuple[str, ...] = ()
    vae: str | None = None
    clip_skip: int | None = None

    @classmethod
    def of(cls, args: argparse.Namespace) -> ModelChoice:
        given = {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}
        return cls(args.model or TINY, **(given | {"lora": tuple(args.lora or ())}))

    def load(self, device: str) -> StableDiffusion:
        import torch

        from minisd.cli.options import DTYPES
        from minisd.loading.checkpoint import load

        return load(
            self.source,
            device,
            None if self.dtype is None else getattr(torch, DTYPES[self.dtype]),
            variant=self.variant,
            revision=self.revision,
            ema=self.ema,
            lora=self.lora or None,
            vae=self.vae,
            clip_skip=self.clip_skip,
        )

    @property
    def described(self) -> str:
        """For the sentences of a table: what its figures are about."""
        if self == EMBEDDED:
            return "the embedded model, which draws cartoon portraits"
        skip = f"clip skip {self.clip_skip}" if self.clip_skip else None
        put_in = [part for part in (*self.lora, self.vae, skip) if part]
        return " with ".join([self.source, *([", ".join(put_in)] if put_in else [])])


EMBEDDED = ModelChoice()
